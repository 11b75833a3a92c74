"""What really goes wrong while a run goes on: one sentence, nothing half-written, and the run can be taken up again."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fake_fit
import pytest

from gemmap.fit import one_pass
from gemmap.fit.aggregate import Accumulator

BOX = 40
#: Three chunks for each half of 100 particles.
CHUNK_BYTES = 40 * 4 * BOX**2
OPTIONS = ("--max-steps", 2, "--n-gaussians", 100, "--particle-diameter", 170, "--threads", 1)
KEEP_ALL = ("--checkpoint-interval", 0)
COMMAND = "from gemmap.cli.main import main; main()"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "CHUNK_BYTES", CHUNK_BYTES)
    fake_fit.draw_nothing(monkeypatch)


@pytest.fixture(scope="module")
def whole(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to which nothing happened."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_pass, "CHUNK_BYTES", CHUNK_BYTES)
        assert gemmap("reconstruct", simulated / "particles.star", "-o", folder, *OPTIONS).code == 0
    return folder


def failed(run: Path, reason: str) -> None:
    """The record says why, and every file is whole."""
    job = json.loads((run / "job.json").read_text())
    assert job["status"] == "failed"
    assert reason in job["notes"][-1]
    assert not [path for path in run.rglob("*") if ".part" in path.name]


def resumed(gemmap: Callable, run: Path, whole: Path) -> None:
    outcome = gemmap("reconstruct", "--resume", run)
    assert outcome.code == 0, outcome.err
    names = [path.name for path in whole.glob("*.mrc")]
    assert len(names) == 14
    for name in names:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (run / "checkpoint").exists()


def test_a_stack_that_becomes_shorter(
    gemmap: Callable, particles: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory map would end the process with a bus error here."""
    stack = tmp_path / "particles.mrcs"
    shutil.copy2(stack, tmp_path / "backup")
    add, left = Accumulator.add, [6]

    def cut(self: Accumulator, *arguments: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.truncate(stack, 1024)
        add(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Accumulator, "add", cut)
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *OPTIONS, *KEEP_ALL)
    assert outcome.code == 2
    assert "particles.mrcs became shorter while it was read" in outcome.err
    assert outcome.err.count("\n") == 1
    failed(tmp_path / "run", "became shorter")
    shutil.copy2(tmp_path / "backup", stack)
    resumed(gemmap, tmp_path / "run", whole)


def test_memory_that_runs_out(
    gemmap: Callable, particles: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("gemmap.fit.half_maps.choose", exhaust)
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *OPTIONS, *KEEP_ALL)
    assert outcome.code == 2
    assert outcome.err.startswith("Error: Memory is exhausted; ")
    assert outcome.err.count("\n") == 1
    failed(tmp_path / "run", "MemoryError")
    assert "Traceback (most recent call last)" in (tmp_path / "run" / "run.log").read_text()
    resumed(gemmap, tmp_path / "run", whole)


def in_a_process(*arguments: object, file_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, with a limit on the size of files: a disk that is full, as far as the process can tell."""

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    script = f"from gemmap.fit import one_pass; one_pass.CHUNK_BYTES = {CHUNK_BYTES}; {COMMAND}"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=300, check=False)


@pytest.mark.parametrize("file_bytes", [20_000, 200_000])
def test_a_disk_that_is_full(gemmap: Callable, particles: Path, tmp_path: Path, whole: Path, file_bytes: int) -> None:
    """Not even the list of particles can be written, or a map cannot; the operating system itself refuses."""
    run = tmp_path / "run"
    done = in_a_process("reconstruct", particles, "-o", run, *OPTIONS, *KEEP_ALL, file_bytes=file_bytes)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: Cannot write ")
    assert done.stderr.endswith("; free space or choose another output folder.\n")
    assert done.stderr.count("\n") == 1
    failed(run, "Cannot write")
    resumed(gemmap, run, whole)


def test_no_more_memory_than_allowed(particles: Path, tmp_path: Path) -> None:
    """The peak of a process, beside the limit that the plan only just keeps to."""
    run, limit = tmp_path / "run", 640
    options = ("-o", run, "--memory", f"{limit}MB", "--threads", 1, "--max-steps", 2)
    done = in_a_process("reconstruct", particles, *options)
    assert done.returncode == 0, done.stderr
    assert f"{limit} MB allowed" in done.stdout
    assert json.loads((run / "job.json").read_text())["peak_memory_bytes"] < limit * 10**6
    refused = in_a_process("reconstruct", particles, "-o", tmp_path / "no", "--memory", "500MB")
    assert refused.returncode == 2
    assert "MB of memory and --memory allows 500 MB; allow more or downsample" in refused.stderr
