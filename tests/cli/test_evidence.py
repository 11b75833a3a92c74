"""``gemmap evidence`` on a run, as a user types it."""

import html
import json
import shutil
from pathlib import Path

import pytest

from gemmap.errors import NumericsError, OutputError


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
