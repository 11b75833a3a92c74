"""``gemmap cryosparc-external`` without a server: a double writes down what it is told, in the place of a job there."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gemmap.api.cryosparc_external import ExternalJob
from gemmap.errors import InputError, OutputError
from gemmap.io.cryosparc_server import CryosparcJob

PARTS = ("map", "map_half_A", "map_half_B", "map_sharp", "mask_fsc", "mask_refine", "precision")


class Double:
    """An ``ExternalJob`` that has particles and a diary, and no server."""

    uid = "J99"

    def __init__(self, particles: Path, project: Path) -> None:
        self._particles = particles
        self.project_folder = project
        self.volume_parts = PARTS
        self.diary: list[tuple] = []
        self.breaks_at = ""

    def _write(self, *what: object) -> None:
        self.diary.append(what)
        if what[0] == self.breaks_at:
            raise OutputError("cryoSPARC does not take it.")

    def start(self) -> None:
        self._write("start")

    def complete(self) -> None:
        self._write("complete")

    def fail(self, reason: str) -> None:
        self._write("fail", reason)

    def save_particles(self, path: Path) -> None:
        self._write("save_particles")
        shutil.copy(self._particles, path)

    def log(self, text: str) -> None:
        self._write("log", text)

    def log_figure(self, path: Path, text: str) -> None:
        assert path.is_file()
        self._write("log_figure", path.name)

    def upload(self, path: Path) -> None:
        assert path.is_file()
        self._write("upload", path.name)

    def save_volume(self, files: Mapping[str, str], box_px: int, pixel_size_a: float, image: Path | None) -> None:
        self._write("save_volume", dict(files), box_px, pixel_size_a, image)

    def told(self, what: str) -> list:
        return [page[1:] for page in self.diary if page[0] == what]


@pytest.fixture
def job(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> Double:
    """The job that ``open_job`` makes."""
    double = Double(simulated / "particles.cs", simulated)

    def make(*arguments: object) -> Double:
        double.diary.append(("open", *arguments))
        return double

    monkeypatch.setattr("gemmap.io.cryosparc_server.open_job", make)
    return double


@pytest.fixture
def call(gemmap: Callable, tmp_path: Path) -> Callable:
    words = ("cryosparc-external", "--project", "P3", "--workspace", "W1", "--job", "J42", "-o", tmp_path / "out")
    return lambda *more: gemmap(*words, "--threads", 1, "--no-local-resolution", *more)


def test_the_double_does_what_the_real_one_does() -> None:
    """Both have every member of the protocol, with the same arguments."""
    import inspect

    members = [name for name in vars(ExternalJob) if not name.startswith("_")]
    assert {"start", "complete", "fail", "save_particles", "save_volume", "upload"} <= set(members)
    for name in members:
        wanted = getattr(ExternalJob, name)
        if inspect.isfunction(wanted):
            assert inspect.signature(getattr(CryosparcJob, name)) == inspect.signature(wanted)
            assert inspect.signature(getattr(Double, name)) == inspect.signature(wanted)


class TestARun:
    def test_from_particles_to_outputs(
        self, job: Double, call: Callable, quick_fit: list, tmp_path: Path, simulated: Path
    ) -> None:
        outcome = call("--sym", "C2", "--url", "http://localhost:39000", "--title", "GEM")
        assert outcome.code == 0, outcome.err
        assert job.diary[0] == ("open", "http://localhost:39000", "P3", "W1", "J42", "particles", "GEM")
        assert [page[0] for page in job.diary[1:3]] == ["start", "save_particles"]
        assert job.diary[-1] == ("complete",)
        ((table, _, config, _),) = quick_fit
        assert (len(table), config.symmetry) == (200, "C2")
        record = json.loads((tmp_path / "out" / "job.json").read_text())
        assert record["config"]["datadir"] == str(simulated)
        assert record["config"]["particles"] == str(tmp_path / "out" / "particles.cs")
        assert outcome.out.startswith("Job                P3 J99\n")

    def test_maps_are_uploaded_before_they_are_named(self, job: Double, call: Callable, quick_fit: list) -> None:
        assert call().code == 0
        ((files, box_px, pixel_size_a, _),) = job.told("save_volume")
        assert (box_px, pixel_size_a) == (40, pytest.approx(6.0))
        assert files["map_half_A"] == "run_half1_class001_unfil.mrc"
        assert files["map_half_B"] == "run_half2_class001_unfil.mrc"
        assert set(files) <= set(PARTS)
        uploaded = {name for (name,) in job.told("upload")}
        assert {*files.values(), "fsc.xml", "job.json"} <= uploaded
        assert [page[0] for page in job.diary].index("save_volume") > max(
            i for i, page in enumerate(job.diary) if page[0] == "upload"
        )

    def test_the_log_says_what_was_done_and_reached(self, job: Double, call: Callable, quick_fit: list) -> None:
        assert call().code == 0
        lines = [text for (text,) in job.told("log")]
        assert any(line.startswith("Particles") for line in lines)
        assert any(line.startswith("Resolution") for line in lines)

    def test_only_parts_that_the_server_knows(self, job: Double, call: Callable, quick_fit: list) -> None:
        job.volume_parts = ("map", "other")
        assert call().code == 0
        assert job.told("save_volume")[0][0] == {"map": "run_class001.mrc"}

    def test_without_a_volume_to_learn_from_the_maps_are_files(
        self, job: Double, call: Callable, quick_fit: list
    ) -> None:
        job.volume_parts = ()
        outcome = call()
        assert (outcome.code, job.told("save_volume")) == (0, [])
        assert ("run_class001.mrc",) in job.told("upload")
        assert "the maps are files of J99, and not its output" in outcome.out
        assert job.diary[-1] == ("complete",)

    def test_a_lost_log_is_no_reason_to_give_up(self, job: Double, call: Callable, quick_fit: list) -> None:
        job.breaks_at = "log"
        outcome = call()
        assert (outcome.code, len(job.told("log"))) == (0, 1)
        assert outcome.out.count("The job's log ends here: cryoSPARC does not take it.") == 1
        assert job.diary[-1] == ("complete",)


class TestNothingIsMadeForACommandThatIsWrong:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--smy", "C2"], "The command has the option --smy C2, which is wrong: No such option: --smy"),
            (["--sym", "Q9"], "Q9"),
            (["--resume", "run1"], "The command has the option --resume, which has no meaning here; leave it out."),
            (["--passthrough", "a.cs"], "--passthrough has no meaning here: cryoSPARC joins the particles"),
        ],
    )
    def test_options(self, job: Double, gemmap: Callable, tmp_path: Path, words: list, sentence: str) -> None:
        given = ("--project", "P3", "--workspace", "W1", "--job", "J42", "-o", tmp_path / "out")
        outcome = gemmap("cryosparc-external", *given, *words)
        assert (outcome.code, job.diary) == (2, [])
        assert sentence in outcome.err

    def test_an_existing_folder(self, job: Double, call: Callable, quick_fit: list, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").touch()
        outcome = call()
        assert (outcome.code, job.diary) == (2, [])
        assert "out exists; choose another folder" in outcome.err
        assert call("--overwrite").code == 0
        assert (tmp_path / "out" / "notes.txt").exists()

    def test_no_cryosparc_tools(self, call: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cryosparc.tools", None)
        outcome = call()
        assert (outcome.code, outcome.err) == (
            2, "Error: cryosparc-tools is not installed; install gemmap[cryosparc].\n",
        )  # fmt: skip


class TestFailures:
    def test_particles_that_cannot_be_used(self, job: Double, call: Callable, quick_fit: list, tmp_path: Path) -> None:
        job.project_folder = tmp_path / "on the server"
        outcome = call()
        assert outcome.code == 2
        assert "on the server is not on this machine; run where cryoSPARC's workers run" in outcome.err
        assert job.diary[-1] == ("fail", outcome.err.removeprefix("Error: ").strip())
        assert not (tmp_path / "out").exists()
        job.diary.clear()
        # The folder can be given again, with what was missing.
        assert call("--datadir", job._particles.parent).code == 0
        assert job.diary[-1] == ("complete",)

    @pytest.mark.parametrize(
        ("error", "reason", "code"),
        [(InputError("It is dark."), "It is dark.", 2), (KeyboardInterrupt(), "Interrupted after ", 130)],
    )
    def test_the_job_never_ends_as_completed(
        self,
        job: Double,
        call: Callable,
        monkeypatch: pytest.MonkeyPatch,
        error: BaseException,
        reason: str,
        code: int,
    ) -> None:
        def end(*_: object) -> None:
            raise error

        monkeypatch.setattr("gemmap.api.run.reconstruct_halves", end)
        assert call().code == code
        assert job.diary[-1][0] == "fail"
        assert job.diary[-1][1].startswith(reason)
        assert job.told("complete") == []

    @pytest.mark.parametrize("what", ["upload", "save_volume", "log_figure"])
    def test_outputs_that_the_server_refuses(
        self, job: Double, call: Callable, quick_fit: list, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gemmap.report.run_folder.write_fsc_figure", lambda path, *_: path.touch())
        job.breaks_at = what
        outcome = call()
        assert outcome.code == 2
        assert outcome.err == f"Error: cryoSPARC does not take it; all results are in {tmp_path / 'out'}.\n"
        assert job.diary[-1][0] == "fail"
        assert json.loads((tmp_path / "out" / "job.json").read_text())["status"] == "finished"

    def test_a_server_that_does_not_answer_hides_nothing(
        self, job: Double, call: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def end(*_: object) -> None:
            raise InputError("It is dark.")

        monkeypatch.setattr("gemmap.api.run.reconstruct_halves", end)
        job.breaks_at = "fail"
        assert call().err == "Error: It is dark.\n"
