"""Runs that end at any moment, taken up again: the same files, or one sentence."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fake_fit
import numpy as np
import pytest
import yaml
from job_records import results_without_times

import gemmap as package
from gemmap.api.plan import plan_reconstruction
from gemmap.api.run import output_bytes
from gemmap.fit import one_pass
from gemmap.io.checkpoint import Checkpoint
from gemmap.io.lock import FileLock
from gemmap.particles.stack import ArrayStack

#: Three chunks for each half of 100 particles.
CHUNK_BYTES = 40 * 4 * 40**2
#: ``command ARGUMENTS`` in a process that kills itself when the NAME of MODULE is called for the N-th time.
SCRIPT = f"""
import importlib, os, signal, sys
from gemmap.fit import one_pass
from gemmap.cli.main import main

one_pass.CHUNK_BYTES = {CHUNK_BYTES}
module, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
del sys.argv[1:4]
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, name)

def deadly(*arguments, **named):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)

setattr(owner, name, deadly)
main()
"""
OPTIONS = ("--max-steps", 2, "--n-gaussians", 100, "--particle-diameter", 170, "--threads", 1)
KEEP_ALL = ("--checkpoint-interval", 0)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "CHUNK_BYTES", CHUNK_BYTES)
    fake_fit.draw_nothing(monkeypatch, page=True)


@pytest.fixture(scope="module")
def whole(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was left alone and kept nothing."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", folder, *OPTIONS)
    assert outcome.code == 0, outcome.err
    assert not (folder / "checkpoint").exists()
    return folder


@pytest.fixture(scope="module")
def stopped(gemmap: Callable, simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with particles and a run that was stopped with Ctrl-C in the trials of half 1. Not to be changed."""
    folder = tmp_path_factory.mktemp("stopped")
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy2(simulated / name, folder / name)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmap.fit.half_maps.choose", stop)
        outcome = gemmap("reconstruct", folder / "particles.star", "-o", folder / "run", *OPTIONS, *KEEP_ALL)
    assert outcome.code == 130
    assert outcome.err.endswith(f"/run keeps particles.star; gemmap reconstruct --resume {folder / 'run'} goes on.\n")
    return folder


@pytest.fixture
def interrupted(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the interrupted run, whose particles may be changed too."""
    shutil.copytree(stopped, tmp_path / "copy", copy_function=shutil.copy2)
    job = tmp_path / "copy" / "run" / "job.json"
    job.write_text(job.read_text().replace(str(stopped), str(tmp_path / "copy")))
    return tmp_path / "copy" / "run"


def same_files(run: Path, whole: Path) -> None:
    names = sorted(file.name for file in whole.iterdir() if file.suffix in (".mrc", ".safetensors", ".csv", ".star"))
    assert len(names) == 24
    ours, theirs = ({file.name for file in folder.iterdir() if file.suffix != ".png"} for folder in (run, whole))
    assert ours == theirs
    for name in names:
        if name != "particles.star":  # names the stack as it is seen from its own folder
            assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = (json.loads((folder / "job.json").read_text()) for folder in (run, whole))
    for key in ("status", "resolutions", "seeds"):
        assert ours[key] == theirs[key], key
    ours, theirs = (results_without_times(folder) for folder in (run, whole))
    assert (ours["fits"], ours["trial_scores"]) == (theirs["fits"], theirs["trial_scores"])


def killed(where: str, *arguments: object) -> None:
    """Run a command that is killed at the N-th call of MODULE NAME N."""
    command = [sys.executable, "-c", SCRIPT, *where.split(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


RENAME = "gemmap.io.atomic os.replace"


def test_kill_9_again_and_again(gemmap: Callable, simulated: Path, tmp_path: Path, whole: Path) -> None:
    """While the particle list is renamed, between pieces of a checkpoint, in a map, in the last record."""
    run = tmp_path / "run"
    again = ("reconstruct", "--resume", run, "-q")
    killed(f"{RENAME} 5", "reconstruct", simulated / "particles.star", "-o", run, *OPTIONS, *KEEP_ALL)
    assert json.loads((run / "job.json").read_text())["status"] == "running"
    assert not (run / "particles.star").exists()
    # README.txt, job.json, particles.star, the first two again with what the check says, two of three sums
    killed(f"{RENAME} 8", *again)
    assert len(list((run / "checkpoint").glob("[!.]*.safetensors"))) == 2
    assert not (run / "checkpoint" / "index.json").exists()
    killed("gemmap.io.checkpoint Checkpoint.keep 4", *again)
    assert set(Checkpoint(run / "checkpoint", 0).names()) == {"half1_set0", "half1_set1", "half1_set2", "seconds"}
    killed("gemmap.report.run_folder write_map 3", *again)
    killed("gemmap.io.checkpoint Checkpoint._clear_strangers 5", *again)
    killed("gemmap.api.run judge 1", *again)
    assert "full_fit" in Checkpoint(run / "checkpoint", 0).names()
    killed("gemmap.api.run remove_checkpoint 1", *again)
    job = json.loads((run / "job.json").read_text())
    assert job["status"] == "finished"
    assert len(job["resumed"]) == 6
    assert job["seconds"]["aggregate"] > 0
    # What was left behind goes away although there is nothing to do.
    assert (run / "checkpoint").exists()
    assert "is finished; there is nothing to resume" in gemmap(*again).err
    assert gemmap("report", run).code == 0  # the last kill came before it
    same_files(run, whole)


def test_kill_9_while_it_goes_through_the_images(gemmap: Callable, simulated: Path, tmp_path: Path) -> None:
    options = (*OPTIONS, "--engine", "images", "--epochs", 2, "--batch-size", 20)
    whole, run = tmp_path / "whole", tmp_path / "run"
    outcome = gemmap("reconstruct", simulated / "particles.star", "-o", whole, *options)
    assert outcome.code == 0, outcome.err
    again = ("reconstruct", "--resume", run, "-q")
    batch = "gemmap.fit.batch_gradients batch_gradient"
    killed(f"{batch} 4", "reconstruct", simulated / "particles.star", "-o", run, *options, *KEEP_ALL)
    assert "fit half1 training" in Checkpoint(run / "checkpoint", 0).names()
    killed(f"{batch} 13", *again)  # seven batches of half 1 are left
    assert "fit half2 training" in Checkpoint(run / "checkpoint", 0).names()
    assert gemmap(*again).code == 0
    same_files(run, whole)
    assert "fit half2: 5 batches were done before" in (run / "run.log").read_text()


@pytest.mark.slow
def test_kill_9_at_random_moments(simulated: Path, tmp_path: Path, whole: Path) -> None:
    rng = random.Random(0)
    for number in range(6):
        run = tmp_path / f"run{number}"
        arguments = ("reconstruct", simulated / "particles.star", "-o", run, *OPTIONS, *KEEP_ALL)
        n_kills = 0
        while True:
            command = [sys.executable, "-c", SCRIPT, *f"{RENAME} 9999".split(), *map(str, arguments)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while not (run / "job.json").exists() and process.poll() is None:
                time.sleep(0.002)
            if n_kills < 4:
                time.sleep(rng.uniform(0, 3))
                process.kill()
            _, err = process.communicate(timeout=120)
            assert process.returncode in (0, -signal.SIGKILL), err
            if process.returncode == 0:
                break
            n_kills += 1
            arguments = ("reconstruct", "--resume", run)
            if json.loads((run / "job.json").read_text())["status"] == "finished":
                shutil.rmtree(run / "checkpoint", ignore_errors=True)
                break
        same_files(run, whole)


def test_ctrl_c_and_on(gemmap: Callable, interrupted: Path, whole: Path) -> None:
    config = (interrupted / "config.yaml").read_bytes()
    outcome = gemmap("reconstruct", "--resume", interrupted)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.out.startswith("Particles          200 of ")
    same_files(interrupted, whole)
    log = (interrupted / "run.log").read_text()
    assert log.index("Interrupted after") < log.index("Resumed; the run began on ") < log.index("Resolution ")
    # Half 1 was read before.
    assert log.count("reading and inserting particles of half 1: 100 particles") == 1
    assert log.count("reading and inserting particles of half 2: 100 particles") == 1
    job = json.loads((interrupted / "job.json").read_text())
    assert job["argv"][:2] == ["gemmap", "reconstruct"]
    assert not [note for note in job["notes"] if "Interrupted" in note or "instead of" in note]
    assert len(job["resumed"]) == 1
    assert job["started"] <= job["resumed"][0] <= job["stopped"]
    assert (interrupted / "config.yaml").read_bytes() == config


def test_from_python(interrupted: Path, whole: Path) -> None:
    result = package.resume(str(interrupted), checkpoint_interval_s=1e6)
    np.testing.assert_array_equal(result.map, package.read_map(whole / "run_class001.mrc")[0])
    assert result.folder == interrupted
    same_files(interrupted, whole)
    with pytest.raises(package.InputError, match=r"The run in .*run is finished; there is nothing to resume\.$"):
        package.resume(interrupted)


def test_a_failed_run_goes_on(gemmap: Callable, interrupted: Path, whole: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmap.fit.half_maps.fit", lambda *_: [][0])
        with pytest.raises(IndexError):
            package.resume(interrupted)
    assert json.loads((interrupted / "job.json").read_text())["status"] == "failed"
    assert gemmap("reconstruct", "--resume", interrupted).code == 0
    same_files(interrupted, whole)


def refusal(gemmap: Callable, *arguments: object) -> str:
    outcome = gemmap("reconstruct", *arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    return outcome.err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("p.star",), "PARTICLES"), (("-o", "other"), "--output"), (("--seed", 0), "--seed"),
        (("--max-steps", 24), "--max-steps"), (("--save-aggregates",), "--save-aggregates"),
        (("--overwrite",), "--overwrite"), (("--config", "c.yaml"), "--config"), (("--dry-run",), "--dry-run"),
        (("--pixel-size", 2), "--pixel-size"),
    ],
)  # fmt: skip
def test_a_run_is_resumed_with_its_own_options(gemmap: Callable, interrupted: Path, given: tuple, named: str) -> None:
    before = (interrupted / "run.log").read_text()
    assert f"Error: {named} was given beside --resume" in refusal(gemmap, "--resume", interrupted, *given)
    assert (interrupted / "run.log").read_text() == before


def test_how_it_is_computed_may_change(gemmap: Callable, interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = json.loads((interrupted / "job.json").read_text())
    job["config"]["threads"], job["config"]["device"] = 64, "cuda"
    job["software"]["libraries"]["numpy"] = "1.0"
    (interrupted / "job.json").write_text(json.dumps(job))
    monkeypatch.setattr("gemmap.kernels.threads.available", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "cuda was asked for, but PyTorch sees no GPU; give --device cpu" in refusal(gemmap, "--resume", interrupted)
    outcome = gemmap("reconstruct", "--resume", interrupted, "--device", "cpu", "-v", "--checkpoint-interval", 9)
    assert outcome.code == 0, outcome.err
    note = "Resumed with threads 1 instead of 64, device cpu instead of cuda, another numpy: maps may differ"
    assert f"Note: {note}" in outcome.out
    after = json.loads((interrupted / "job.json").read_text())
    assert any(text.startswith(note) for text in after["notes"])
    assert [after["config"][name] for name in ("threads", "device", "checkpoint_interval_s")] == [1, "cpu", 9.0]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_limit_for_a_gpu_is_of_no_use_without_one(
    gemmap: Callable, interrupted: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run begun on a GPU with --gpu-memory goes on where there is none."""
    job = interrupted / "job.json"
    record = json.loads(job.read_text())
    record["config"] |= {"device": "cuda", "gpu_memory": "4GB"}
    job.write_text(json.dumps(record))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "PyTorch sees no GPU; give --device cpu" in refusal(gemmap, "--resume", interrupted)
    outcome = gemmap("reconstruct", "--resume", interrupted, "--device", device)
    assert outcome.code == 0, outcome.err
    assert json.loads(job.read_text())["config"]["gpu_memory"] is None


def test_what_is_no_run(gemmap: Callable, tmp_path: Path, interrupted: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "absent", tmp_path / "empty"):
        assert f"Error: {path} is no folder of a run: job.json cannot be" in refusal(gemmap, "--resume", path)
    assert not list((tmp_path / "empty").iterdir())
    for text in ("{", "[]", "{}", '{"status": "running"}'):
        (interrupted / "job.json").write_text(text)
        assert "job.json is not the record of a run; give" in refusal(gemmap, "--resume", interrupted)


def test_particles_that_changed(gemmap: Callable, interrupted: Path) -> None:
    star, stack = (interrupted.parent / name for name in ("particles.star", "particles.mrcs"))
    os.utime(stack, (1, 1))
    assert f"Error: {stack} has changed since the run began; put" in refusal(gemmap, "--resume", interrupted)
    job = json.loads((interrupted / "job.json").read_text())
    assert job["status"] == "interrupted"
    star.write_text(star.read_text() + "\n")
    assert f"Error: {star} has changed since the run began; put" in refusal(gemmap, "--resume", interrupted)
    star.unlink()
    assert f"Error: {star} is not there any more since" in refusal(gemmap, "--resume", interrupted)


def test_a_change_while_it_ran_is_seen_too(gemmap: Callable, particles: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def changes(*_: object) -> None:
        particles.write_text(particles.read_text() + "\n")
        raise KeyboardInterrupt

    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", changes)
    assert gemmap("reconstruct", particles, "-o", tmp_path / "run").code == 130
    assert f"{particles} has changed" in refusal(gemmap, "--resume", tmp_path / "run")


def test_another_version(gemmap: Callable, interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemmap.api.resume.gemmap_version", lambda: "9.9")
    message = refusal(gemmap, "--resume", interrupted)
    assert f"begun by gemmap {package.__version__} and this is 9.9; resume with that version, or start" in message


def test_damage_is_refused_and_the_way_out_works(gemmap: Callable, interrupted: Path, whole: Path) -> None:
    checkpoint = interrupted / "checkpoint"
    piece = next(checkpoint.glob("half1_set1.*"))
    content = piece.read_bytes()
    way_out = f"remove {checkpoint} to compute everything again.\n"
    piece.write_bytes(content[:1000])
    message = refusal(gemmap, "--resume", interrupted)
    assert f"Error: {piece} is damaged or no safetensors file" in message
    assert message.endswith(way_out)
    piece.unlink()
    message = refusal(gemmap, "--resume", interrupted)
    assert message.startswith(f"Error: {piece} cannot be read: No such file or directory")
    assert message.endswith(f"; {way_out}")
    (checkpoint / "index.json").write_text("{")
    assert refusal(gemmap, "--resume", interrupted) == f"Error: {checkpoint / 'index.json'} is damaged; {way_out}"
    shutil.rmtree(checkpoint)
    assert gemmap("reconstruct", "--resume", interrupted).code == 0
    same_files(interrupted, whole)


def test_one_process_at_a_time(gemmap: Callable, interrupted: Path) -> None:
    lock = FileLock(interrupted / "run.log")
    try:
        for arguments in (("--resume", interrupted), (interrupted.parent / "particles.star", "-o", interrupted,
                                                      "--overwrite")):  # fmt: skip
            message = refusal(gemmap, *arguments)
            assert f"Error: Another process is writing to {interrupted}; wait until it has ended" in message
    finally:
        lock.release()
    assert (interrupted / "checkpoint" / "index.json").exists()


def test_overwrite_removes_the_checkpoint(gemmap: Callable, interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def looks(*arguments: object) -> None:
        found.append(list(arguments[5].names()))
        raise KeyboardInterrupt

    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", looks)
    (interrupted / ".run_class001.0123456789ab.part.mrc").touch()
    outcome = gemmap("reconstruct", interrupted.parent / "particles.star", "-o", interrupted, "--overwrite")
    assert outcome.code == 130, outcome.err
    assert found == [[]]
    assert not (interrupted / "checkpoint").exists()
    assert not list(interrupted.glob(".*"))
    assert (interrupted / "run.log").read_text().count("Interrupted") == 1


def test_the_interval(gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def listens(*arguments: object) -> None:
        asked.append((arguments[5].due(), arguments[5]._interval_s))
        raise KeyboardInterrupt

    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", listens)
    for options in ((), ("--checkpoint-interval", 0)):
        assert gemmap("reconstruct", particles, "-o", tmp_path / "run", "--overwrite", *options).code == 130
    # A run is resumed with the interval it had.
    assert gemmap("reconstruct", "--resume", tmp_path / "run").code == 130
    assert asked == [(False, 60.0), (True, 0.0), (True, 0.0)]
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["checkpoint_interval_s"] == 0.0
    for bad in (-1, "nan", "inf"):
        message = refusal(gemmap, particles, "-o", tmp_path / "new", "--checkpoint-interval", bad)
        assert f"The checkpoint interval is {bad} s; expected 0 or more" in message


def test_no_folder_was_given(gemmap: Callable, particles: Path) -> None:
    assert refusal(gemmap, particles) == "Error: No folder for the results was given; give -o FOLDER.\n"


def test_particles_in_memory_cannot_be_resumed(
    gemmap: Callable, interrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = package.read_particles(interrupted.parent / "particles.star")
    arrays = loaded.table, ArrayStack(loaded.stack.read(np.arange(200)))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gemmap.fit.half_maps.choose", stop)
    run = tmp_path / "from memory"
    with pytest.raises(KeyboardInterrupt, match=r"from memory keeps particles\.star\.$"):
        package.reconstruct(arrays, output=run, checkpoint_interval_s=0, particle_diameter_a=170, threads=1)
    assert not (run / "checkpoint").exists()
    assert "were in memory; there is nothing to resume from" in refusal(gemmap, "--resume", run)


def test_the_disk_has_to_hold_the_checkpoint(interrupted: Path) -> None:
    """What a run killed with half 2 half read keeps is at most what was asked for."""
    from gemmap.api.options import ReconstructionOptions

    plan = plan_reconstruction(ReconstructionOptions(interrupted.parent / "particles.star", threads=1))
    largest = 0

    class Watching(Checkpoint):
        def keep(self, *arguments: object) -> None:
            nonlocal largest
            before = {file.name for file in self._folder.glob("*")}
            super().keep(*arguments)
            # While the new ones are written the old ones are there.
            after = sum(file.stat().st_size for file in self._folder.iterdir())
            largest = max(largest, after + sum(sizes.get(name, 0) for name in before - set(self._files.values())))
            sizes.update({file.name: file.stat().st_size for file in self._folder.iterdir()})

    sizes: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmap.api.run.Checkpoint", Watching)
        package.resume(interrupted, checkpoint_interval_s=0)
    m, box = 60, 40
    asked = output_bytes(plan) - 14 * 4 * box**3 - 20 * 10**6
    assert asked == 7 * 12 * m * m * (m // 2 + 1) + 7 * 4 * box**3
    assert 0.8 * asked < largest < asked
