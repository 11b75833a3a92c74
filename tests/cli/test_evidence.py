"""``gemmap evidence`` on a run, as a user types it."""

import html
import json
import shutil
from pathlib import Path

import fake_fit
import pytest

from gemmap import reconstruct, resume
from gemmap.errors import InputError, NumericsError, OutputError
from gemmap.io.formats import read_particles


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, simulated: Path, gemmap) -> Path:
    folder = tmp_path_factory.mktemp("evidence") / "run"
    fast = ("--max-steps", 2, "--n-gaussians", 200, "--no-local-resolution", "-q")
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", folder, *fast)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def test_all_tests_are_done_and_recorded(gemmap, copy):
    outcome = gemmap("evidence", copy, "--hold-out", 0.1, "-q")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    names = ["noise-substitution", "held-out", "pure-noise", "particle-count"]
    assert [line.split()[0] for line in lines] == names
    record = json.loads((copy / "evidence.json").read_text())
    assert list(record) == sorted(names)
    job = json.loads((copy / "job.json").read_text())
    assert job["results"]["evidence"] == record
    assert job["status"] == "finished"
    for line, name in zip(lines, names, strict=True):
        assert line.endswith(record[name]["text"])
    done = {name for name in names if not record[name]["text"].startswith("not done")}
    assert {"held-out", "pure-noise"} <= done
    for name in done:
        assert (copy / f"evidence_{name.replace('-', '_')}.csv").stat().st_size > 50
    assert (copy / "evidence.png").stat().st_size > 5000
    assert "evidence.png" in (copy / "README.txt").read_text()
    assert record["held-out"]["n_held_out"] == 20
    page = (copy / "report.html").read_text()
    assert "Is it real?" in page
    assert html.escape(record["held-out"]["text"]) in page
    assert 'src="data:image/png;base64,' in page


def test_a_test_is_added_to_those_done_before(gemmap, copy):
    assert gemmap("evidence", copy, "--test", "pure-noise", "-q").code == 0
    before = json.loads((copy / "evidence.json").read_text())
    assert gemmap("evidence", copy, "--test", "held-out", "--hold-out", 0.1, "--seed", 3, "-q").code == 0
    after = json.loads((copy / "evidence.json").read_text())
    assert after["pure-noise"] == before["pure-noise"]
    assert set(after) == {"pure-noise", "held-out"}


def test_phases_are_random_from_the_resolution_asked_for(gemmap, copy):
    assert gemmap("evidence", copy, "--test", "noise-substitution", "--randomise-from", 30, "-q").code == 0
    record = json.loads((copy / "evidence.json").read_text())["noise-substitution"]
    assert record["from_shell"] == 40 * 6 / 30


def test_a_test_that_fails_is_a_sentence_and_the_others_go_on(gemmap, copy, monkeypatch):
    def refuse(*_: object) -> None:
        raise NumericsError("The fit diverged.")

    def full(*_: object) -> None:
        raise OutputError("The disk is full.")

    assert gemmap("evidence", copy, "--test", "held-out", "--hold-out", 0.1, "-q").code == 0
    monkeypatch.setattr("gemmap.api.evidence.hold_out", refuse)
    outcome = gemmap("evidence", copy, "--test", "held-out,pure-noise", "-q")
    assert outcome.code == 0, outcome.err
    record = json.loads((copy / "evidence.json").read_text())
    assert record["held-out"] == {"text": "not done: The fit diverged."}
    assert not (copy / "evidence_held_out.csv").exists()
    assert (copy / "evidence_pure_noise.csv").exists()
    assert (copy / "run_class001.mrc").exists()
    monkeypatch.setattr("gemmap.api.evidence.reconstruct_noise", full)
    assert gemmap("evidence", copy, "--test", "pure-noise", "-q").code == 2


FAST = ("--max-steps", 2, "--n-gaussians", 200, "--no-local-resolution", "-q")


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_fit.draw_nothing(monkeypatch, page=True)


@pytest.mark.usefixtures("no_figures")
class TestOfARunAtOnce:
    def test_they_follow_on_the_run(self, gemmap, simulated, tmp_path):
        run = tmp_path / "run"
        outcome = gemmap(
            "reconstruct", simulated / "particles.star", "-o", run, *FAST, "--evidence", "pure-noise, held-out",
            "--seed", 3,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        record = json.loads((run / "evidence.json").read_text())
        assert set(record) == {"held-out", "pure-noise"}
        *before, first, second = outcome.out.splitlines()
        assert before[0].startswith("Resolution")
        assert [first.split()[0], second.split()[0]] == ["held-out", "pure-noise"]
        assert first.endswith(record["held-out"]["text"])
        assert record["held-out"]["text"] in (run / "run.log").read_text()
        assert html.escape(record["pure-noise"]["text"]) in (run / "report.html").read_text()
        assert record["pure-noise"]["seconds"] > 0
        # The same as when they are asked for afterwards, with the seed of the run.
        again = shutil.copytree(run, tmp_path / "again")
        (again / "evidence.json").unlink()
        assert gemmap("evidence", again, "--test", "held-out,pure-noise", "-q").code == 0
        other = json.loads((again / "evidence.json").read_text())
        assert [other[name]["text"] for name in other] == [record[name]["text"] for name in record]
        # And once more from the options of the run.
        outcome = gemmap("reconstruct", "--config", run / "config.yaml", "-o", tmp_path / "more", "--dry-run")
        assert "held-out, pure-noise, when the run is finished" in outcome.out

    def test_what_ends_them_leaves_the_run_whole_and_resume_goes_on(self, gemmap, simulated, tmp_path, monkeypatch):
        run = tmp_path / "run"

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        def never(*_: object) -> None:
            raise AssertionError("it was done before")

        with monkeypatch.context() as patch:
            patch.setattr("gemmap.api.evidence.reconstruct_noise", stop)
            outcome = gemmap(
                "reconstruct", simulated / "particles.star", "-o", run, *FAST, "--evidence", "held-out,pure-noise"
            )
        assert outcome.code == 130
        assert outcome.out.startswith("Resolution")
        message = f"the run in {run} is finished, and of its evidence pure-noise is left; gemmap reconstruct --resume"
        assert message in outcome.err
        assert message in (run / "run.log").read_text()
        job = json.loads((run / "job.json").read_text())
        assert (job["status"], list(job["results"]["evidence"])) == ("finished", ["held-out"])
        assert not (run / "checkpoint").exists()
        with pytest.raises(InputError, match=r"finished but for its evidence; gemmap evidence \S* --test pure-noise"):
            resume(run)
        monkeypatch.setattr("gemmap.api.evidence.hold_out", never)
        outcome = gemmap("reconstruct", "--resume", run, "-q")
        assert outcome.code == 0, outcome.err
        assert [line.split()[0] for line in outcome.out.splitlines()] == ["held-out", "pure-noise"]
        assert (run / "evidence_pure_noise.csv").exists()
        outcome = gemmap("reconstruct", "--resume", run, "-q")
        assert (outcome.code, "is finished; there is nothing to resume" in " ".join(outcome.err.split())) == (2, True)

    def test_a_failure_leaves_the_run_whole(self, gemmap, simulated, tmp_path, monkeypatch):
        def full(*_: object) -> None:
            raise OutputError("The disk is full.")

        run = tmp_path / "run"
        monkeypatch.setattr("gemmap.api.evidence.reconstruct_noise", full)
        outcome = gemmap("reconstruct", simulated / "particles.star", "-o", run, *FAST, "--evidence", "pure-noise")
        assert (outcome.code, "The disk is full." in outcome.err) == (2, True)
        assert outcome.out.startswith("Resolution")
        assert json.loads((run / "job.json").read_text())["status"] == "finished"
        assert (run / "run_class001_sharpened.mrc").exists()

    def test_a_run_that_was_stopped_does_them_in_the_end(self, gemmap, simulated, tmp_path, monkeypatch):
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        run = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr("gemmap.fit.half_maps.choose", stop)
            outcome = gemmap("reconstruct", simulated / "particles.star", "-o", run, *FAST, "--evidence", "pure-noise")
        assert outcome.code == 130
        outcome = gemmap("reconstruct", "--resume", run, "-q")
        assert outcome.code == 0, outcome.err
        assert outcome.out.splitlines()[-1].startswith("pure-noise")

    def test_the_images_engine_has_all_of_them(self, gemmap, simulated, tmp_path):
        images = ("--engine", "images", "--epochs", 1, "--batch-size", 10, "--evidence", "all")
        outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "run", *FAST, *images)
        assert outcome.code == 0, outcome.err
        record = json.loads((tmp_path / "run" / "evidence.json").read_text())
        assert {"held-out", "pure-noise"} <= {name for name in record if "seconds" in record[name]}
        assert len(record) == 4


def test_tests_that_cannot_be_are_refused_before_anything_is_computed(gemmap, simulated, tmp_path):
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", tmp_path / "run", "--evidence", "luck")
    assert (outcome.code, "The test is 'luck'; expected all, or some of noise-" in outcome.err) == (2, True)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="none was given; give output"):
        reconstruct(simulated / "particles.star", evidence="all")
    read = read_particles(simulated / "particles.star")
    with pytest.raises(InputError, match="these are in memory only; give a file"):
        reconstruct((read.table, read.stack), output=tmp_path / "run", evidence="all")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (None, ("--test", "luck"), "The test is 'luck'; expected all, or some of noise-substitution, held-out,"),
        (None, ("--test", ","), "The test is 'none'"),
        (None, ("--randomise-from", 900), "Phases are to be random beyond 900 Å; expected a resolution from"),
        (None, ("--randomise-from", "nan"), "Phases are to be random beyond nan Å"),
        (None, ("--hold-out", 0.9), "The fraction to hold out is 0.9; expected more than 0 and at most 0.5."),
        ("job.json", (), "is no folder of a run"),
        ("mask.mrc", ("--test", "pure-noise"), "mask.mrc"),
    ],
)
def test_mistakes_are_one_sentence(gemmap, copy, change, arguments, sentence):
    if change is not None:
        (copy / change).unlink()
    outcome = gemmap("evidence", copy, *arguments)
    assert outcome.code == 2
    assert sentence in " ".join(outcome.err.split())
    assert not (copy / "evidence.json").exists()


def test_particles_that_are_gone_are_named(gemmap, copy):
    job = json.loads((copy / "job.json").read_text())
    job["inputs"][0]["path"] += ".gone"
    (copy / "job.json").write_text(json.dumps(job))
    outcome = gemmap("evidence", copy)
    assert (outcome.code, "is not there any more since the run" in " ".join(outcome.err.split())) == (2, True)
