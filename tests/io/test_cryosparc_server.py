"""cryosparc-tools itself, up to where it would ask a server: its data sets, models and controllers are the real ones.

What a server answers is written here, from cryosparc-tools' own models. That a server agrees is not tested.
"""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from io_project import assert_same_particles, random_table

from gemmap.errors import InputError, OutputError
from gemmap.io.cryosparc_server import CryosparcJob, open_job
from gemmap.io.cs import read_cs
from gemmap.io.cs_write import write_cs

pytestmark = pytest.mark.peer
tools = pytest.importorskip("cryosparc.tools", reason="needs cryosparc-tools: the extra 'cryosparc'")

VOLUME_FIELDS = [("path", "O"), ("shape", "3u4"), ("psize_A", "f4")]


def job_model(uid: str, kind: str, outputs: dict) -> SimpleNamespace:
    spec = SimpleNamespace(type=kind, outputs=SimpleNamespace(root=outputs), inputs=SimpleNamespace(root={}))
    return SimpleNamespace(project_uid="P3", uid=uid, spec=spec)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MagicMock:
    """A server's ``api``; all of cryosparc-tools in front of it is real."""
    from cryosparc.controllers.job import ExternalJobController
    from cryosparc.controllers.project import ProjectController
    from cryosparc.models.job_spec import Output, OutputResult

    volume = [OutputResult(name=name, dtype="some_blob") for name in ("map", "map_half_A", "map_half_B", "precision")]
    outputs = {
        "particles": Output(type="particle", title="All particles"),
        "volume": Output(type="volume", title="Refined volume", results=volume),
    }
    cs = MagicMock()
    models = {"J42": job_model("J42", "nonuniform_refine_new", outputs), "J99": job_model("J99", "snowflake", {})}

    def find_one(project: str, uid: str) -> SimpleNamespace:
        if (project, uid) not in {("P3", "J42"), ("P3", "J99")}:
            raise ValueError("*** [API] (GET code 404) not found")
        return models[uid]

    cs.api.jobs.find_one.side_effect = find_one
    for call in ("add_external_input", "add_external_output", "connect", "save_output", "mark_running"):
        getattr(cs.api.jobs, call).return_value = models["J99"]
    cs.api.projects.get_directory.return_value = str(tmp_path)
    cs.api.jobs.get_output_fields.side_effect = lambda _project, _job, _name, _parameters: [
        (f"{slot.name}/{field}", kind)
        for slot in cs.api.jobs.add_external_output.call_args.args[3].slots
        for field, kind in VOLUME_FIELDS
    ]
    cs.api.assets.upload.side_effect = lambda _project, _job, stream, **_: b"".join(stream.stream())
    cs.find_project.side_effect = lambda uid: ProjectController(cs, SimpleNamespace(uid=uid))
    cs.create_external_job.side_effect = lambda *_, **__: ExternalJobController(cs, models["J99"])
    monkeypatch.setattr(tools, "CryoSPARC", MagicMock(return_value=cs))
    return cs


def opened(source_output: str = "particles") -> CryosparcJob:
    return open_job("http://localhost:39000", "P3", "W1", "J42", source_output, "GEM")


@pytest.mark.parametrize("compressed", [False, True])
def test_the_particles_of_a_data_set_are_those_of_the_file(tmp_path: Path, compressed: bool) -> None:
    """Ours, through their reader and writer, and back."""
    from cryosparc.dataset import CSDAT_FORMAT, NUMPY_FORMAT, Dataset

    table = random_table(11)
    write_cs(tmp_path / "ours.cs", table)
    theirs = Dataset.load(tmp_path / "ours.cs")
    assert len(theirs) == 11
    theirs.save(tmp_path / "theirs.cs", format=CSDAT_FORMAT if compressed else NUMPY_FORMAT)
    ours, back = (read_cs(tmp_path / name)[0] for name in ("ours.cs", "theirs.cs"))
    assert_same_particles(back, ours, rtol=0)
    np.testing.assert_array_equal(back.half, ours.half)


def test_a_job_is_made_with_the_particles_as_its_input(server: MagicMock, tmp_path: Path) -> None:
    job = opened()
    assert job.uid == "J99"
    assert job.project_folder == tmp_path
    assert job.volume_parts == ("map", "map_half_A", "map_half_B", "precision")
    tools.CryoSPARC.assert_called_once_with("http://localhost:39000")
    server.create_external_job.assert_called_once_with("P3", workspace_uid="W1", title="GEM", desc="")
    (_, _, name, spec), _ = server.api.jobs.add_external_input.call_args
    assert (name, spec.type, spec.count_min) == ("particles", "particle", 1)
    assert [slot.name for slot in spec.slots] == ["blob", "ctf", "alignments3D"]
    assert server.api.jobs.connect.call_args.kwargs == {"source_job_uid": "J42", "source_output_name": "particles"}


def test_particles_are_saved_as_a_file_that_is_read(server: MagicMock, tmp_path: Path) -> None:
    from cryosparc.dataset import Dataset

    write_cs(tmp_path / "ours.cs", random_table(7))
    server.api.jobs.load_input.return_value = Dataset.load(tmp_path / "ours.cs")
    opened().save_particles(tmp_path / "particles.cs")
    assert server.api.jobs.load_input.call_args.args == ("P3", "J99", "particles")
    assert server.api.jobs.load_input.call_args.kwargs == {"slots": "all"}
    assert (tmp_path / "particles.cs").read_bytes()[:6] == b"\x93NUMPY"


def test_maps_become_a_volume(server: MagicMock, tmp_path: Path) -> None:
    picture = tmp_path / "slices.png"
    picture.write_bytes(b"\x89PNG")
    opened().save_volume({"map": "run.mrc", "map_half_A": "half1.mrc"}, 64, 1.25, picture)
    (_, _, name, spec), _ = server.api.jobs.add_external_output.call_args
    assert (name, spec.type) == ("volume", "volume")
    assert [(slot.name, slot.dtype) for slot in spec.slots] == [("map", "some_blob"), ("map_half_A", "some_blob")]
    (_, _, name, saved), _ = server.api.jobs.save_output.call_args
    assert (name, len(saved)) == ("volume", 1)
    assert saved["map/path"][0] == "J99/run.mrc"
    assert saved["map_half_A/path"][0] == "J99/half1.mrc"
    assert saved["map/shape"][0].tolist() == [64, 64, 64]
    assert saved["map_half_A/psize_A"][0] == 1.25
    server.api.jobs.set_output_image.assert_called_once_with("P3", "J99", "volume", b"\x89PNG")
    server.api.jobs.set_tile_image.assert_called_once_with("P3", "J99", b"\x89PNG")


def test_states_log_and_files(server: MagicMock, tmp_path: Path) -> None:
    figure = tmp_path / "fsc.png"
    figure.write_bytes(b"\x89PNG")
    job, jobs = opened(), server.api.jobs
    job.start()
    job.log("One line")
    job.log_figure(figure, "FSC curves")
    job.upload(figure)
    job.complete()
    job.fail("It is dark.")
    jobs.mark_running.assert_called_once_with("P3", "J99", status="running")
    jobs.add_event_log.assert_called_once_with("P3", "J99", "One line", type="text")
    assert jobs.add_image_log.call_args.kwargs["text"] == "FSC curves"
    assert jobs.add_image_log.call_args.args[2] == [b"\x89PNG"]
    (project, target, source), given = server.upload.call_args
    assert (project, str(target), source.name, given) == ("P3", "J99/fsc.png", str(figure), {"overwrite": True})
    jobs.mark_completed.assert_called_once_with("P3", "J99")
    jobs.mark_failed.assert_called_once_with("P3", "J99", error="It is dark.")


class TestSentences:
    def test_no_server(self) -> None:
        with pytest.raises(InputError, match=r"cryoSPARC cannot be reached \(.*\); log in with python -m cryosparc"):
            open_job("http://127.0.0.1:9", "P3", "W1", "J42", "particles", "GEM")

    def test_no_such_job(self, server: MagicMock) -> None:
        with pytest.raises(InputError, match=r"P3 J41 cannot be opened in cryoSPARC \(.*404.*\); correct --project or"):
            open_job(None, "P3", "W1", "J41", "particles", "GEM")

    @pytest.mark.parametrize("name", ["volume", "particles_class_0"])
    def test_no_such_particles(self, server: MagicMock, name: str) -> None:
        with pytest.raises(InputError, match=f"J42 has no particles '{name}', but particles; correct --job-output"):
            opened(name)
        server.create_external_job.assert_not_called()

    def test_a_write_that_is_refused(self, server: MagicMock) -> None:
        server.api.jobs.add_event_log.side_effect = ValueError("*** [API] code 500")
        with pytest.raises(OutputError, match=r"cryoSPARC does not take what J99 has to say \(.*500\); look at"):
            opened().log("One line")
