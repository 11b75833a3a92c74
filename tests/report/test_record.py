"""The run record read back, and what it says about machine, software and failures."""

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import yaml

import gemmap
from gemmap.errors import OutputError
from gemmap.report import record as module
from gemmap.report.record import InputFile, RunRecord, git_commit, to_plain, write_config, write_job, write_readme
from gemmap.validate.resolution import Interval, Resolution

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Colour(Enum):
    RED = "red"


def record(**changes: object) -> RunRecord:
    fixed = {"argv": ["gemmap"], "config": {}, "seeds": {}, "inputs": [], "started": STARTED}
    return RunRecord(**{**fixed, **changes})


def test_job_reads_back(tmp_path: Path) -> None:
    particles = tmp_path / "particles.star"
    particles.write_bytes(b"x" * 7)
    os.utime(particles, (0, 86400))
    resolution = Resolution(
        *(np.float64(4.1), 0.5, "cross-FSC", "soft mask", np.bool_(False), np.float64(40)),
        interval=Interval(np.float64(3.9), math.inf),
    )
    write_job(
        tmp_path / "job.json",
        record(
            argv=["gemmap", "reconstruct", "Å.star"],
            config={"box_px": np.int64(64), "b": {"a": 1}},
            seeds={"half1": 11},
            inputs=[InputFile.of(particles), InputFile.of(tmp_path / "absent.mrcs")],
            status="finished",
            stopped=STARTED,
            resumed=[STARTED],
            seconds={"aggregate": np.float32(1.5)},
            resolutions={"map": resolution},
            results={"noise": np.array([1.0, math.nan, math.inf]), "images_per_second": 412.0},
            notes=["3 particles were left out."],
        ),
    )
    text = (tmp_path / "job.json").read_text(encoding="utf-8")
    job = json.loads(text, parse_constant=pytest.fail)  # NaN or Infinity would not be JSON
    assert list(job) == sorted(job)
    assert list(job["config"]) == ["b", "box_px"]
    assert "Å.star" in text
    assert job["argv"][-1] == "Å.star"
    assert job["config"] == {"box_px": 64, "b": {"a": 1}}
    assert job["seeds"] == {"half1": 11}
    assert job["inputs"] == [
        {"path": str(particles), "size_bytes": 7, "modified": "1970-01-02T00:00:00+00:00"},
        {"path": str(tmp_path / "absent.mrcs"), "size_bytes": None, "modified": None},
    ]
    assert job["status"] == "finished"
    assert (job["started"], job["stopped"]) == ("2026-01-02T03:04:05+00:00",) * 2
    assert job["resumed"] == ["2026-01-02T03:04:05+00:00"]
    assert job["seconds"] == {"aggregate": 1.5}
    assert job["results"] == {"noise": [1.0, None, None], "images_per_second": 412.0}
    assert job["resolutions"]["map"] == {
        "at_limit": False,
        "at_nyquist": False,
        "estimator": "cross-FSC",
        "interval": {"better_a": 3.9, "worse_a": None},
        "mask": "soft mask",
        "shell": 40.0,
        "text": "4.10 Å (95 %: 3.90 Å to not resolved; cross-FSC 0.5, soft mask)",
        "threshold": 0.5,
        "value_a": 4.1,
    }
    assert job["notes"] == ["3 particles were left out."]


def test_machine_and_software(tmp_path: Path) -> None:
    write_job(tmp_path / "job.json", record())
    job = json.loads((tmp_path / "job.json").read_text())
    assert (job["status"], job["stopped"]) == ("running", None)
    hardware = job["hardware"]
    assert 1 <= hardware["cores_usable"] <= hardware["cores"]
    assert hardware["cpu"]
    assert hardware["os"].startswith("Linux")
    assert isinstance(hardware["gpus"], list)
    assert 50e6 < job["peak_memory_bytes"] < hardware["memory_bytes"]
    assert job["software"]["libraries"]["numpy"] == np.__version__
    assert "gemmap" in job["software"]
    assert job["software"]["python"].startswith("3.")


def test_an_unresolved_map_has_null_and_a_sentence(tmp_path: Path) -> None:
    write_job(tmp_path / "job.json", record(resolutions={"map": Resolution(math.inf, 0.5, "e", "m", False, 0.0)}))
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["resolutions"]["map"]["value_a"] is None
    assert job["resolutions"]["map"]["text"].startswith("not resolved")


def test_a_failed_write_keeps_the_old_record_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_job(tmp_path / "job.json", record())
    before = (tmp_path / "job.json").read_text()
    with pytest.raises(TypeError, match="cannot record a object"):
        write_job(tmp_path / "job.json", record(results={"x": object()}))
    assert (tmp_path / "job.json").read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["job.json"]
    with pytest.raises(OutputError, match="Cannot write"):
        write_job(tmp_path / "absent" / "job.json", record())


def test_to_plain() -> None:
    value = {1: (np.int8(2), [Path("a/b")]), "e": Colour.RED, "none": None, "yes": True, "array": np.eye(2, dtype=bool)}
    assert to_plain(value) == {
        "1": [2, ["a/b"]],
        "e": "red",
        "none": None,
        "yes": True,
        "array": [[True, False], [False, True]],
    }
    assert type(to_plain(np.float32(0.5))) is float
    assert type(to_plain(np.float64(0.5))) is float
    with pytest.raises(TypeError, match="cannot record a set"):
        to_plain({1, 2})


def test_config_loads_back_in_order(tmp_path: Path) -> None:
    config = {
        "z": 1,
        "a": {"pixel_size_a": np.float64(1.5), "mask": None, "limit": math.inf},
        "files": [Path("Å.star")],
    }
    write_config(tmp_path / "config.yaml", config)
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    loaded = yaml.safe_load(text)
    assert loaded == {"z": 1, "a": {"pixel_size_a": 1.5, "mask": None, "limit": math.inf}, "files": ["Å.star"]}
    assert list(loaded) == ["z", "a", "files"]
    assert "Å" in text


def test_readme_names_what_is_there_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "fsc.csv").touch()
    (tmp_path / "run.log").touch()
    (tmp_path / "notes.txt").touch()
    write_readme(tmp_path)
    lines = (tmp_path / "README.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"Files written by gemmap {module.gemmap_version()}")
    assert [line.split()[0] for line in lines[2:]] == ["fsc.csv", "run.log"]
    write_readme(tmp_path, {"fsc.csv": "the curves"})
    assert (tmp_path / "README.txt").read_text().splitlines()[2:] == ["fsc.csv  the curves"]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_commit_is_that_of_the_checkout_that_tracks_the_file(tmp_path: Path) -> None:
    source = tmp_path / "checkout" / "module.py"
    source.parent.mkdir()
    source.write_text("x = 1\n")
    assert git_commit(source) is None
    git(source.parent, "init", "-q")
    assert git_commit(source) is None  # not tracked: installed inside somebody else's checkout
    git(source.parent, "add", "module.py")
    git(source.parent, "commit", "-q", "-m", "m")
    commit = git(source.parent, "rev-parse", "HEAD")
    assert git_commit(source) == commit
    (source.parent / "untracked.py").touch()
    assert git_commit(source) == commit
    assert git_commit(source.parent / "untracked.py") is None
    source.write_text("x = 2\n")
    assert git_commit(source) == f"{commit}-dirty"


def test_no_git_program_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_commit(Path(gemmap.__file__)) is None


def test_the_peak_is_that_of_this_process_not_of_its_parent() -> None:
    """A process started by a large one: its own peak is small."""
    script = (
        "import subprocess, sys; held = bytearray(b'x') * 600_000_000; "
        "code = 'from gemmap.report.record import peak_memory_bytes; print(peak_memory_bytes())'; "
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert 1e6 < int(printed) < 5e8
