"""Bad input is one sentence on stderr and exit code 2, and leaves nothing half-written."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gemmap.io.mrc import read_map, write_map, write_stack

pytestmark = pytest.mark.usefixtures("quick_fit")


def columns_removed(star: Path, *labels: str) -> None:
    """Take whole columns out of every table of a STAR file."""
    tables: list[list[str]] = []
    for line in star.read_text().splitlines():
        if line.startswith("data_") or not tables:
            tables.append([])
        tables[-1].append(line)
    lines: list[str] = []
    for table in tables:
        named = [line for line in table if line.startswith("_")]
        kept = [i for i, line in enumerate(named) if line.split()[0].lstrip("_") not in labels]
        for line in table:
            if line.startswith("_"):
                lines += [line] if named.index(line) in kept else []
            elif named and len(line.split()) == len(named):
                lines.append(" ".join(line.split()[i] for i in kept))
            else:
                lines.append(line)
    star.write_text("\n".join(lines) + "\n")


def images_changed(stack: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write the images of a stack again after changing them."""
    images = np.fromfile(stack, "<f4", offset=1024).reshape(-1, 40, 40)
    write_stack(stack, change(images), 6.0)


def missing_stack(star: Path) -> None:
    (star.parent / "particles.mrcs").unlink()


def short_stack(star: Path) -> None:
    images_changed(star.parent / "particles.mrcs", lambda images: images[:150])


def mixed_boxes(star: Path) -> None:
    write_stack(star.parent / "small.mrcs", np.zeros((3, 32, 32), np.float32), 6.0)
    star.write_text(star.read_text().replace("000003@particles.mrcs", "000003@small.mrcs"))


def no_poses(star: Path) -> None:
    columns_removed(star, "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def no_ctf(star: Path) -> None:
    columns_removed(star, "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")


def one_half(star: Path) -> None:
    lines = star.read_text().splitlines()
    place = [line.split()[0] for line in lines if line.startswith("_") and "#" in line]
    labels = place[place.index("_rlnImageName") :]
    column = labels.index("_rlnRandomSubset")
    rows = [line.split() for line in lines]
    for row in rows:
        if "@" in "".join(row[:1]):
            row[column] = "1"
    star.write_text("\n".join(" ".join(row) for row in rows) + "\n")


def odd_box(star: Path) -> None:
    stack = star.parent / "particles.mrcs"
    images_changed(stack, lambda images: images[:, :39, :39])


def oblong(star: Path) -> None:
    stack = star.parent / "particles.mrcs"
    data = bytearray(stack.read_bytes())
    data[0:4] = (20).to_bytes(4, "little")
    stack.write_bytes(data)


def truncated_stack(star: Path) -> None:
    stack = star.parent / "particles.mrcs"
    stack.write_bytes(stack.read_bytes()[:-5000])


def truncated_star(star: Path) -> None:
    text = star.read_text()
    star.write_text(text[: len(text) - 40])


def not_a_star(star: Path) -> None:
    star.write_bytes(bytes(range(256)) * 20)


def empty(star: Path) -> None:
    star.write_text("")


BEFORE_COMPUTING = {
    missing_stack: "1 of 1 image stacks are missing",
    short_stack: "holds 150 images; the particle file asks for image 200",
    mixed_boxes: "describes images of 40 px, but the stacks hold images of 32 px",
    no_poses: "has no poses: column rlnAngleRot is missing",
    no_ctf: "has no CTF: column rlnDefocusU is missing",
    one_half: "half 2 has 0; expected some in each",
    odd_box: "describes images of 40 px, but the stacks hold images of 39 px",
    oblong: "expected square images",
    truncated_stack: "is truncated: it holds",
    truncated_star: "is not a valid STAR file",
    not_a_star: "is not a valid STAR file",
    empty: "has no table",
}


@pytest.mark.parametrize("damage", list(BEFORE_COMPUTING), ids=lambda damage: damage.__name__)
def test_bad_files_are_found_before_anything_is_made(
    gemmap: Callable, particles: Path, tmp_path: Path, quick_fit: list, damage: Callable[[Path], None]
) -> None:
    damage(particles)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert BEFORE_COMPUTING[damage] in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith(".\n")
    assert outcome.out == ""
    assert not (tmp_path / "run").exists()
    assert not quick_fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cuda:63"), "PyTorch sees"),
        (("--device", "tpu"), "expected auto, cpu, cuda or cuda:N"),
        (("--threads", 4096), "threads is 4096"),
        (("--seed", -1), "The seed is -1"),
        (("--max-steps", 0), "Maximum number of steps is 0"),
        (("--n-gaussians", 0), "Number of Gaussians is 0"),
        (("--particle-diameter", -5), "Particle diameter is -5"),
        (("--particle-diameter", 500), "leaves no background"),
        (("--particle-diameter", 1), "1 Å is 0.17 pixels wide; expected at least 4 pixels, which is 24 Å"),
        (("--memory", "1KB"), "of memory and --memory allows 1 kB; allow more"),
        (("--first", 0), "--first is 0"),
        (("--pixel-size", -1), "expected a positive number"),
        (("--poses", "absent.pkl", "--ctf", "absent.pkl"), "absent.pkl cannot be read"),
        (("--ctf", "absent.pkl"), "--ctf goes with --poses"),
        (("--ind", "absent.pkl"), "absent.pkl cannot be read"),
        (("--passthrough", "absent.cs"), "--passthrough goes with a cryoSPARC .cs file"),
        (("--mask", "absent.mrc"), "absent.mrc cannot be read"),
        (("--config", "absent.yaml"), "absent.yaml cannot be read"),
        (("--datadir", "absent"), "1 of 1 image stacks are missing"),
        (("--strip-prefix", "zzz"), "No image name starts with 'zzz'"),
    ],
)
def test_bad_options(
    gemmap: Callable, particles: Path, tmp_path: Path, quick_fit: list, options: tuple, message: str
) -> None:
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert not quick_fit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed: 1\n", "has an option 'sed'"),
        ("seed: many\n", "option seed is 'many'"),
        ("- 1\n", "holds no options"),
        ("seed: [\n", "is not a YAML file"),
    ],
)
def test_bad_config_files(gemmap: Callable, particles: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--config", tmp_path / "c.yaml")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_halves_too_small_to_hold_particles_out(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    columns_removed(particles, "rlnRandomSubset")
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--first", 7)
    assert outcome.code == 2
    assert "The smaller half-set has 3 particles; expected at least 8" in outcome.err
    assert gemmap("reconstruct", particles, "-o", tmp_path / "run", "--first", 16).code == 0


def test_no_particles_at_all(gemmap: Callable, tmp_path: Path) -> None:
    outcome = gemmap("reconstruct", "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "give PARTICLES, or --config" in outcome.err


def test_an_unusable_mask(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.mrc"
    for volume, size_a, message in (
        (np.ones((32, 32, 32)), 6.0, "has shape (32, 32, 32); expected (40, 40, 40)"),
        (np.full((40, 40, 40), 7.0), 6.0, "is it a density map?"),
        (np.ones((40, 40, 40)), 3.0, "has voxels of 3 Å; expected 6 Å"),
    ):
        write_map(path, volume.astype(np.float32), size_a)
        outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run", "--mask", path)
        assert outcome.code == 2
        assert message in outcome.err


def test_an_existing_folder_is_refused_before_the_particles_are_looked_at(gemmap: Callable, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    outcome = gemmap("reconstruct", tmp_path / "absent.star", "-o", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err == (
        f"Error: {tmp_path}/run exists; choose another folder, or give --overwrite to replace its results.\n"
    )
    (tmp_path / "file").touch()
    outcome = gemmap("reconstruct", tmp_path / "absent.star", "-o", tmp_path / "file", "--overwrite")
    assert outcome.code == 2
    assert "is a file; expected a folder" in outcome.err


def test_an_input_is_never_overwritten(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    assert gemmap("reconstruct", particles, "-o", tmp_path / "run").code == 0
    used = tmp_path / "run" / "particles.star"
    before = used.read_bytes()
    outcome = gemmap("reconstruct", used, "-o", tmp_path / "run", "--overwrite")
    assert outcome.code == 2
    assert "is read and would be replaced" in outcome.err
    assert used.read_bytes() == before


def test_pixels_that_are_not_numbers(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    """More of them than can be left out (test_dead_images)."""
    with open(tmp_path / "particles.mrcs", "r+b") as handle:
        for image in (57, 58, 99):
            handle.seek(1024 + 4 * 40 * 40 * image)
            handle.write(np.array([np.nan], "<f4").tobytes())
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "are dead (pixels that are not finite numbers, or all equal; particle" in outcome.err
    assert_failed(tmp_path / "run", "not finite numbers")


def assert_failed(folder: Path, reason: str) -> None:
    """The record says that the run failed and why, and no file is half-written."""
    job = json.loads((folder / "job.json").read_text())
    assert job["status"] == "failed"
    assert reason in job["notes"][-1]
    assert reason in (folder / "run.log").read_text()
    assert not [file.name for file in folder.iterdir() if ".part" in file.name]
    for file in folder.glob("*.mrc"):
        read_map(file)


@pytest.mark.parametrize("name", ["run_half2_class001_unfil", "fsc", "mask", "gaussians_half1"])
def test_a_disk_that_fills_up(
    gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).stem == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "No space left on device; free space or choose another output folder." in outcome.err
    assert outcome.err.count("\n") == 1
    assert_failed(tmp_path / "run", "No space left on device")
    assert not list((tmp_path / "run").glob(f"*{name}.*"))


def test_too_little_space_is_said_before_the_run(
    gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6))
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "has 1 MB left" in outcome.err
    assert not (tmp_path / "run").exists()


def test_too_little_memory_is_said_before_the_run(
    gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmap.fit.memory.available_memory_bytes", lambda: 10**8)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert "MB of memory and 100 MB are available" in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "Memory is exhausted"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "The memory of the GPU is exhausted",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "Memory is"),
        (OSError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_what_the_machine_refuses(
    gemmap: Callable,
    particles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", refuse)
    outcome = gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert_failed(tmp_path / "run", type(error).__name__)


def test_an_error_of_ours_keeps_its_traceback(
    gemmap: Callable, particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("gemmap.api.run.reconstruct_halves", broken)
    with pytest.raises(KeyError, match="a bug"):
        gemmap("reconstruct", particles, "-o", tmp_path / "run")
    assert_failed(tmp_path / "run", "KeyError")


def test_usage_errors_are_exit_code_2(gemmap: Callable, tmp_path: Path) -> None:
    assert gemmap("reconstruct", "x.star").code == 2
    assert gemmap("reconstruct", "x.star", "-o", tmp_path / "run", "--no-such-option").code == 2
    assert gemmap("reconstruct", "x.star", "-o", tmp_path / "run", "--seed", "many").code == 2
