"""The command in several processes, as torchrun and srun start them: one run folder, one sentence, the same maps."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from test_resume import KEEP_ALL, SCRIPT

OPTIONS = (
    "--max-steps", 2, "--n-gaussians", 200, "--particle-diameter", 170, "--threads", 1, "--no-local-resolution",
)  # fmt: skip
MAIN = ["-m", "gemmap"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(*members: tuple[list[str], Path], **variables: str) -> list[subprocess.Popen]:
    """Start processes of one run, each with its Python arguments and its working folder."""
    common = {"WORLD_SIZE": str(len(members)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | common | {"RANK": str(rank), "OMP_NUM_THREADS": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, (arguments, folder) in enumerate(members)
    ]


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    told = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]


def words(*arguments: object) -> list[str]:
    return [*MAIN, "reconstruct", *map(str, arguments)]


def assert_same_maps(run: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.glob("*.mrc"))
    assert names == sorted(path.name for path in run.glob("*.mrc"))
    for name in names:
        ours, theirs = mrcfile.read(run / name), mrcfile.read(expected / name)
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs), name


@pytest.fixture(scope="module")
def alone(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", run, *OPTIONS)
    assert outcome.code == 0, outcome.err
    return run


def test_torchrun(simulated: Path, tmp_path: Path, alone: Path) -> None:
    """The real thing; the second process says nothing and leaves nothing."""
    run = tmp_path / "run"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gemmap", "reconstruct"]
    done = subprocess.run(
        [sys.executable, *command, str(simulated / "particles.star"), "-o", str(run), *map(str, OPTIONS)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Particles          200 of ") == 1
    assert "Processes          2, 2 of them on this machine; device and memory are of each" in done.stdout
    assert done.stdout.count("\nOpen the map") == 1
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert_same_maps(run, alone)
    ours, theirs = (json.loads((folder / "job.json").read_text())["resolutions"] for folder in (run, alone))
    assert {name: value["text"] for name, value in ours.items()} == {n: v["text"] for n, v in theirs.items()}


@pytest.mark.slow
def test_four_processes(simulated: Path, tmp_path: Path, alone: Path) -> None:
    run = tmp_path / "run"
    command = words(simulated / "particles.star", "-o", run, *OPTIONS)
    first, *others = ended(start(*[(command, tmp_path)] * 4))
    assert first[0] == 0, first[2]
    assert others == [(0, "", "")] * 3
    assert_same_maps(run, alone)


def test_a_dry_run_says_the_plan_once_and_writes_nothing(simulated: Path, tmp_path: Path) -> None:
    command = words(simulated / "particles.star", "-o", "run", "--dry-run", *OPTIONS)
    first, second = ended(start((command, tmp_path), (command, tmp_path)))
    assert first[0] == 0, first[2]
    assert "Processes          2" in first[1]
    assert second == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    command = words("missing.star", "-o", "run", *OPTIONS)
    told = ended(start((command, tmp_path), (command, tmp_path)))
    assert [code for code, _, _ in told] == [2, 2]
    assert "".join(errors for _, _, errors in told).count("Error: ") == 1
    assert "missing.star cannot be read: No such file" in told[0][2]
    assert "".join(text for _, text, _ in told) == ""
    assert list(tmp_path.iterdir()) == []


def test_processes_that_see_other_particles_are_refused(simulated: Path, tmp_path: Path) -> None:
    """Such as on machines whose disks were not brought up to date: the second reads other poses from the same path."""
    arguments = list(map(str, (simulated / "particles.star", "-o", tmp_path / "run", *OPTIONS)))
    other = [
        "-c",
        "import gemmap.api.together as together\n"
        "from gemmap.cli.main import main\n"
        "real = together._fingerprint\n"
        "together._fingerprint = lambda table: real(table.select(range(len(table))[::-1]))\n"
        "main()",
        "reconstruct",
        *arguments,
    ]
    told = ended(start((words(*arguments), tmp_path), (other, tmp_path)))
    assert [code for code, _, _ in told] == [2, 2]
    errors = "".join(errors for _, _, errors in told)
    assert errors.count("Error: ") == 1
    assert re.search(r"Process 0 has poses and half-sets \w{8} and process 1 \w{8}; expected the same on all", errors)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("gemmap.fit.source aggregate_half 2", marks=pytest.mark.slow, id="in the pass"),
        pytest.param("gemmap.fit.half_maps fit 1", id="in the fit"),
    ],
)
def test_a_killed_process_ends_the_run_with_a_sentence_and_it_goes_on(
    gemmap: Callable, simulated: Path, tmp_path: Path, alone: Path, where: str
) -> None:
    run = tmp_path / "run"
    arguments = [str(simulated / "particles.star"), "-o", str(run), *map(str, (*OPTIONS, *KEEP_ALL))]
    killed = ["-c", SCRIPT, *where.split(), "reconstruct", *arguments]
    first, second = ended(start((words(*arguments), tmp_path), (killed, tmp_path)))
    assert second[0] == -signal.SIGKILL
    assert first[0] == 2
    assert first[2].count("Error: ") == 1
    assert "Another process of this run ended or cannot be reached" in first[2]
    job = json.loads((run / "job.json").read_text())
    assert job["status"] == "failed"
    assert (run / "checkpoint" / "rank1").is_dir()
    # Without the others, and what they kept is cleared away.
    outcome = gemmap("reconstruct", "--resume", run, "-q")
    assert outcome.code == 0, outcome.err
    assert not (run / "checkpoint").exists()
    assert_same_maps(run, alone)


@pytest.mark.slow
def test_processes_go_on_together(simulated: Path, tmp_path: Path, alone: Path) -> None:
    """Both are killed; both are started again, and the second knows what to do without the first one's words."""
    run = tmp_path / "run"
    arguments = [str(simulated / "particles.star"), "-o", str(run), *map(str, (*OPTIONS, *KEEP_ALL))]
    killed = ["-c", SCRIPT, "gemmap.fit.half_maps", "fit", "1", "reconstruct", *arguments]
    told = ended(start((killed, tmp_path), (killed, tmp_path)))
    assert -signal.SIGKILL in [code for code, _, _ in told]
    again = words("--resume", run)
    first, second = ended(start((again, tmp_path), (again, tmp_path)))
    assert first[0] == 0, first[2]
    assert second == (0, "", "")
    assert_same_maps(run, alone)
    assert not (run / "checkpoint").exists()
