"""External jobs of RELION: how it is told that one ended, and what came out; RELION itself reads it in tests/cli."""

import shlex
from pathlib import Path

import pytest
import starfile
from gemmi import cif

from gemmap.errors import OutputError
from gemmap.io.relion_job import RelionJob, job_star

RELIONS_OWN = ("job.star", "note.txt", "run.out", "run.err", "job_pipeline.star")


def exit_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("RELION_JOB_*")}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of External/job003/ as RELION makes it; the working folder is the project's."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "External" / "job003"
    path.mkdir(parents=True)
    for name in RELIONS_OWN:
        (path / name).write_text(name)
    return path


def test_success_is_told_at_the_end_and_not_before(folder: Path) -> None:
    with RelionJob("External/job003/").run():
        assert exit_files(folder) == set()
    assert exit_files(folder) == {"RELION_JOB_EXIT_SUCCESS"}
    assert all((folder / name).read_text() == name for name in RELIONS_OWN)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("ours"), "RELION_JOB_EXIT_FAILURE"),
        (SystemExit(3), "RELION_JOB_EXIT_FAILURE"),
        (KeyboardInterrupt(), "RELION_JOB_EXIT_ABORTED"),
    ],
)
def test_any_other_end_is_told_too(folder: Path, error: BaseException, told: str) -> None:
    def ends_early() -> None:
        with RelionJob("External/job003/").run():
            (folder / "RELION_JOB_ABORT_NOW").touch()
            raise error

    with pytest.raises(type(error)):
        ends_early()
    assert exit_files(folder) == {told}


def test_files_of_an_earlier_run_do_not_speak_for_this_one(folder: Path) -> None:
    stale = ["RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED", "RELION_JOB_ABORT_NOW"]
    for name in [*stale, "RELION_OUTPUT_NODES.star"]:
        (folder / name).touch()
    job = RelionJob("External/job003/")
    with job.run():
        assert exit_files(folder) == set()
        assert not job.abort_asked
        assert not (folder / "RELION_OUTPUT_NODES.star").exists()
        (folder / "RELION_JOB_ABORT_NOW").touch()
        assert job.abort_asked


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write to .*/file/job: Not a directory; correct --o\."):
        RelionJob(str(tmp_path / "file" / "job")).run().__enter__()


@pytest.mark.parametrize("name", ["External/job003/", "External/job003"])
def test_nodes_are_the_files_that_are_there(folder: Path, name: str) -> None:
    for file in ("run_half2_class001_unfil.mrc", "run_half1_class001_unfil.mrc", "particles.star", "voxels.mrc"):
        (folder / file).touch()
    RelionJob(name).write_nodes()
    nodes = starfile.read(folder / "RELION_OUTPUT_NODES.star", always_dict=True)["output_nodes"]
    rows = sorted(nodes.itertuples(index=False, name=None))
    assert list(nodes) == ["rlnPipeLineNodeName", "rlnPipeLineNodeType", "rlnPipeLineNodeTypeLabel"]
    assert rows == [
        ("External/job003/particles.star", 3, "ParticleGroupMetadata.star.relion"),
        ("External/job003/run_half1_class001_unfil.mrc", 10, "DensityMap.mrc.halfmap"),
        ("External/job003/run_half2_class001_unfil.mrc", 10, "DensityMap.mrc.halfmap"),
    ]


def test_the_template_names_the_program(tmp_path: Path) -> None:
    (tmp_path / "job.star").write_text(job_star("/some folder/gemmap"))
    document = cif.read(str(tmp_path / "job.star"))
    assert document["job"].find_value("_rlnJobTypeLabel") == "relion.external"
    assert document["job"].find_value("_rlnJobType") == "99"
    rows = document["joboptions_values"].find("_rlnJobOption", ["Variable", "Value"])
    values = {row[0]: cif.as_string(row[1]) for row in rows}
    assert shlex.split(values["fn_exe"]) == ["/some folder/gemmap", "relion-external"]
    assert {"in_part", "in_mask", "nr_threads", "param1_label", "param1_value"} < set(values)
