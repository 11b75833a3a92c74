"""``gemmap relion-external``: what RELION passes, what it is told, and what its own pipeliner makes of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import starfile

import gemmap as package
from gemmap.api.watchers import Watchers
from gemmap.errors import NumericsError

JOB = "External/job003/"
CALL = ("relion-external", "--o", JOB, "--in_parts", "run_data.star")
#: Enough for a fit in a second.
QUICK = ("--max-steps", "2", "--n-gaussians", "100", "--particle-diameter", "170", "--no-local-resolution")


@pytest.fixture
def project(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of RELION, which is the working folder, with particles and the folder of a job."""
    for name in ("particles.star", "particles.mrcs", "mask.mrc"):
        shutil.copy(simulated / name, tmp_path / name.replace("particles.star", "run_data.star"))
    (tmp_path / JOB).mkdir(parents=True)
    for name in ("job.star", "note.txt", "run.out"):
        (tmp_path / JOB / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told() -> list[str]:
    return sorted(path.name.removeprefix("RELION_JOB_") for path in Path(JOB).glob("RELION_JOB_*"))


class TestWhatRelionPasses:
    def test_all_of_it(self, project: Path, gemmap: Callable, quick_fit: list) -> None:
        others = [f"--in_{kind}" for kind in ("movies", "mics", "coords", "3dref")]
        inputs = [word for option in others for word in (option, "other.star")]
        parameters = ["--sym", "C2", "--no-local-resolution", "--seed", "11"]
        outcome = gemmap(*CALL, *inputs, "--in_mask", "mask.mrc", *parameters, "--j", 1, "--pipeline_control", JOB)
        assert outcome.code == 0, outcome.err
        assert told() == ["EXIT_SUCCESS"]
        ((table, _, config, mask),) = quick_fit
        assert (len(table), config.symmetry, config.seed) == (200, "C2", 11)
        assert mask is not None
        job = json.loads(Path(JOB, "job.json").read_text())
        assert (job["status"], job["config"]["threads"], job["config"]["local_resolution"]) == ("finished", 1, False)
        assert outcome.out.splitlines()[0] == "--in_3dref other.star is not used."
        assert "\r" not in outcome.out

    def test_relions_own_files_stay_and_nodes_are_written(
        self, project: Path, gemmap: Callable, quick_fit: list
    ) -> None:
        Path(JOB, "RELION_JOB_EXIT_FAILURE").touch()
        assert gemmap(*CALL, "--no-local-resolution", "--j", 1, "--pipeline-control", JOB).code == 0
        for name in ("job.star", "note.txt", "run.out"):
            assert Path(JOB, name).read_text() == name
        nodes = starfile.read(Path(JOB, "RELION_OUTPUT_NODES.star"), always_dict=True)["output_nodes"]
        named = set(nodes["rlnPipeLineNodeName"])
        assert {f"{JOB}run_class001.mrc", f"{JOB}run_half1_class001_unfil.mrc", f"{JOB}particles.star"} <= named
        assert all((project / name).is_file() for name in named)
        # Names in it are relative to the project folder, as RELION reads them.
        particles = starfile.read(Path(JOB, "particles.star"))["particles"]
        assert set(particles["rlnImageName"].str.partition("@")[2]) == {"particles.mrcs"}

    def test_a_parameter_for_threads_wins(self, project: Path, gemmap: Callable, quick_fit: list) -> None:
        """RELION always passes --j, if only its default."""
        assert gemmap(*CALL, "--j", 99, "--threads", 1, "--no-local-resolution").code == 0
        assert json.loads(Path(JOB, "job.json").read_text())["config"]["threads"] == 1

    def test_options_of_an_earlier_run(self, project: Path, gemmap: Callable, quick_fit: list) -> None:
        Path("old.yaml").write_text("seed: 5\nsym: D2\nlocal_resolution: false\n")
        assert gemmap(*CALL, "--j", 1, "--config", "old.yaml", "--seed", 6).code == 0
        ((_, _, config, _),) = quick_fit
        assert (config.symmetry, config.seed) == ("D2", 6)


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--smy", "C3"], "RELION passes on --smy C3, which is wrong: No such option: --smy"),
            (["--seed", "x"], "RELION passes on --seed x, which is wrong: Invalid value for '--seed'"),
            (["--invert", "Yes"], "RELION passes on --invert Yes, which is wrong: Got unexpected extra argument"),
            (["--seed"], "RELION passes on --seed, which is wrong: Option '--seed' requires an argument"),
            (["--output", "run1"], "RELION passes on --output, which has no meaning here; leave it out."),
            (["--dry-run"], "RELION passes on --dry-run, which has no meaning here; leave it out."),
            (["--in_mask", "mask.mrc", "--mask", "mask.mrc"], "A mask is given twice"),
            (["--j", "many"], "The External job: option threads is 'many', but"),
            (["--j", "0"], "threads is 0; this process may use"),
            (["--in_mask", "gone.mrc"], "gone.mrc"),
        ],
    )
    def test_one_sentence_and_relion_is_told(
        self, project: Path, gemmap: Callable, words: list[str], sentence: str
    ) -> None:
        outcome = gemmap(*CALL, *words)
        assert outcome.code == 2
        assert outcome.err.startswith("Error: ")
        assert sentence in outcome.err
        assert outcome.err.count("\n") == 1
        assert told() == ["EXIT_FAILURE"]

    def test_no_particles(self, project: Path, gemmap: Callable) -> None:
        outcome = gemmap("relion-external", "--o", JOB, "--in_mics", "m.star", "--j", 1)
        assert outcome.code == 2
        assert "The job has no particles; choose Input particles" in outcome.err
        assert told() == ["EXIT_FAILURE"]

    def test_no_folder(self, project: Path, gemmap: Callable) -> None:
        outcome = gemmap("relion-external", "--in_parts", "run_data.star")
        assert (outcome.code, outcome.err.startswith("Error: No folder of the job was given")) == (2, True)

    @pytest.mark.parametrize("error", [ValueError("ours"), NumericsError("It diverged.")])
    def test_a_failure_in_the_middle(
        self, project: Path, gemmap: Callable, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr("gemmap.api.run.reconstruct_halves", fail)
        if isinstance(error, ValueError):
            with pytest.raises(ValueError, match="ours"):
                gemmap(*CALL, "--j", 1)
        else:
            assert gemmap(*CALL, "--j", 1).err == "Error: It diverged.\n"
        assert told() == ["EXIT_FAILURE"]
        assert not Path(JOB, "RELION_OUTPUT_NODES.star").exists()


class TestAbortAndContinue:
    def test_abort_then_continue_then_again(
        self, project: Path, gemmap: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The continued job has the maps of one that was left alone, to the bit."""
        from gemmap.io import relion_job

        call = (*CALL, *QUICK, "--checkpoint-interval", "0", "--j", 1)
        monkeypatch.setattr(Watchers, "_ask", _abort_in_half_2(Watchers._ask))
        outcome = gemmap(*call)
        monkeypatch.undo()
        monkeypatch.chdir(project)
        assert outcome.code == 130
        assert "Continue the job in RELION, so that RELION sees how it ends." in outcome.err
        assert told() == ["EXIT_ABORTED"]
        assert not Path(JOB, relion_job.OUTPUT_NODES).exists()
        assert json.loads(Path(JOB, "job.json").read_text())["status"] == "interrupted"

        again = gemmap(*call)
        assert (again.code, told()) == (0, ["EXIT_SUCCESS"]), again.err
        assert again.out.startswith(f"The run in {JOB} goes on from where it was interrupted.\n")
        assert "reading and inserting particles of half 1" not in again.out

        assert gemmap("reconstruct", "run_data.star", "-o", "alone", *QUICK, "--threads", 1).code == 0
        for name in ("run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"):
            one, other = (package.read_map(Path(folder, name))[0] for folder in (JOB, "alone"))
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ((), f"The run in {JOB.rstrip('/')} is finished: it starts again."),
            (("--seed", 3), f"The run in {JOB.rstrip('/')} is finished: it starts again."),
        ],
    )
    def test_a_finished_run_starts_again(
        self, project: Path, gemmap: Callable, quick_fit: list, change: tuple, why: str
    ) -> None:
        call = (*CALL, "--no-local-resolution", "--j", 1)
        assert gemmap(*call).code == 0
        outcome = gemmap(*call, *change)
        assert (outcome.code, len(quick_fit)) == (0, 2)
        assert outcome.out.splitlines()[0] == why

    @pytest.mark.parametrize("what", ["options", "particles"])
    def test_an_interrupted_run_of_something_else_starts_again(
        self, project: Path, gemmap: Callable, quick_fit: list, what: str
    ) -> None:
        call = (*CALL, "--no-local-resolution", "--j", 1)
        assert gemmap(*call).code == 0
        job = json.loads(Path(JOB, "job.json").read_text())
        Path(JOB, "job.json").write_text(json.dumps({**job, "status": "interrupted"}))
        if what == "particles":
            os.utime("run_data.star", ns=(1, 1))
        outcome = gemmap(*call, *(("--seed", 3) if what == "options" else ()))
        assert (outcome.code, len(quick_fit)) == (0, 2), outcome.err
        why = f"The run in {JOB} was begun with other options" if what == "options" else "has changed since the run"
        assert why in outcome.out.splitlines()[0]
        assert outcome.out.splitlines()[0].endswith(": it starts again.")
        assert told() == ["EXIT_SUCCESS"]


def _abort_in_half_2(ask: Callable[[Watchers], None]) -> Callable[[Watchers], None]:
    """Leave the file that RELION leaves once half 1 is there, and look for it with every piece of news."""

    def eager(self: Watchers) -> None:
        if Path(JOB, "run_half1_class001_unfil.mrc").exists():
            Path(JOB, "RELION_JOB_ABORT_NOW").touch()
        self._last = -np.inf
        ask(self)

    return eager


def test_sigterm_is_an_abort(project: Path) -> None:
    """What a batch system sends: a real signal to a real process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gemmap", *CALL, "--j", "1", "--max-steps", "1000000", "--engine", "images",
         "--epochs", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Particles")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert told() == ["EXIT_ABORTED"]


def test_the_template_is_all_that_is_printed(gemmap: Callable, tmp_path: Path) -> None:
    outcome = gemmap("relion-external", "--template")
    (tmp_path / "job.star").write_text(outcome.out)
    values = starfile.read(tmp_path / "job.star")["joboptions_values"]
    assert values["rlnJobOptionValue"][0].endswith("gemmap relion-external")


PIPELINE = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n\n"
#: What RELION 3.1's pipeline calls the states of a job.
FINISHED, FAILED, ABORTED = 2, 3, 4


@pytest.mark.peer
class TestRelionsPipeliner:
    """RELION 3.1 runs the job itself; the numbers are its own."""

    @pytest.fixture
    def relion(self, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "Extract").mkdir()
        (tmp_path / "Refine3D" / "job001").mkdir(parents=True)
        shutil.copy(simulated / "particles.mrcs", "Extract")
        shutil.copy(simulated / "mask.mrc", "mask.mrc")
        text = (simulated / "particles.star").read_text().replace("@particles.mrcs", "@Extract/particles.mrcs")
        Path("Refine3D/job001/run_data.star").write_text(text)
        Path("default_pipeline.star").write_text(PIPELINE)
        program = Path("bin of gemmap/gemmap")
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gemmap "$@"\n')
        program.chmod(0o755)
        from gemmap.io.relion_job import job_star

        Path("gem_job.star").write_text(job_star(str(program.absolute())))
        return tmp_path

    def add(self, *options: str) -> None:
        listed = ";".join(("in_part == Refine3D/job001/run_data.star", *options))
        self.pipeliner("--addJobFromStar", "gem_job.star", "--addJobOptions", listed)

    def pipeliner(self, *words: str) -> None:
        subprocess.run(["relion_pipeliner", *words], check=True, capture_output=True, timeout=180)

    def run(self, job: str, name: str) -> None:
        self.pipeliner("--RunJobs", job, "--schedule", name, "--sec_wait_after", "1")

    def status(self) -> dict[str, int]:
        processes = starfile.read("default_pipeline.star", always_dict=True)["pipeline_processes"]
        return dict(zip(processes["rlnPipeLineProcessName"], processes["rlnPipeLineProcessStatus"], strict=True))

    def test_a_job_and_postprocess_of_its_half_maps(self, relion: Path) -> None:
        self.add("in_mask == mask.mrc", "param1_label == no-local-resolution", "other_args == --max-steps 2 --seed 3")
        self.run("External/job001/", "first")
        assert self.status() == {"External/job001/": FINISHED}, Path("External/job001/run.err").read_text()
        pipeline = starfile.read("default_pipeline.star", always_dict=True)
        nodes = pipeline["pipeline_nodes"]
        types = dict(zip(nodes["rlnPipeLineNodeName"], nodes["rlnPipeLineNodeType"], strict=True))
        assert types["External/job001/run_class001.mrc"] == 6
        assert types["External/job001/run_half1_class001_unfil.mrc"] == 10
        assert types["External/job001/particles.star"] == 3
        assert "External/job001/mask.mrc" in set(pipeline["pipeline_output_edges"]["rlnPipeLineEdgeToNode"])

        half = "External/job001/run_half1_class001_unfil.mrc"
        options = f"fn_in == {half};fn_mask == External/job001/mask.mrc;angpix == 6;do_auto_bfac == No"
        self.pipeliner("--addJob", "PostProcess", "--addJobOptions", options)
        self.run("PostProcess/job002/", "second")
        assert self.status()["PostProcess/job002/"] == FINISHED
        assert Path("PostProcess/job002/postprocess.mrc").is_file()

    def test_a_wrong_parameter_fails_the_job(self, relion: Path) -> None:
        self.add("param1_label == smy", "param1_value == C3")
        self.run("External/job001/", "first")
        assert self.status() == {"External/job001/": FAILED}
        assert "No such option: --smy" in Path("External/job001/run.err").read_text()

    def test_abort_and_continue(self, relion: Path) -> None:
        self.add("other_args == --checkpoint-interval 0 --no-local-resolution --engine images --epochs 200")
        running = subprocess.Popen(
            ["relion_pipeliner", "--RunJobs", "External/job001/", "--schedule", "first", "--sec_wait_after", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        printed = Path("External/job001/run.out")
        while running.poll() is None and not (printed.exists() and "half 1" in printed.read_text()):
            time.sleep(0.05)
        Path("External/job001/RELION_JOB_ABORT_NOW").touch()
        assert running.wait(timeout=120) == 0
        assert self.status() == {"External/job001/": ABORTED}
        job = Path("External/job001/job.star")
        job.write_text(job.read_text().replace("--epochs 200", "--epochs 1"))
        self.run("External/job001/", "second")
        assert self.status() == {"External/job001/": FINISHED}
        assert "was begun with other options: it starts again." in printed.read_text()
