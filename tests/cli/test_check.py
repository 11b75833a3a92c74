"""``gemmap check``: what it prints, writes and ends with, on files made wrong in one way each."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gemmap.io.formats import read_particles
from gemmap.io.mrc import write_stack
from gemmap.io.relion_write import write_star31
from gemmap.io.star import write_star
from gemmap.particles.table import ParticleTable

NO_PIXELS = ("--sample", 0)


def rewrite(star: Path, change: Callable[[ParticleTable], ParticleTable]) -> None:
    """Write a STAR file again with a changed table."""
    write_star31(star, change(read_particles(star).table))


def rewrite_stack(star: Path, change: Callable[[np.ndarray], None], pixel_size_a: float = 6.0) -> None:
    stack = star.with_suffix(".mrcs")
    with open(stack, "rb") as handle:
        images = np.frombuffer(handle.read(), "<f4", offset=1024).reshape(-1, 40, 40).copy()
    change(images)
    write_stack(stack, images, pixel_size_a)


def verdict_line(text: str, check: str) -> str:
    return next(line for line in text.splitlines() if line[9:].startswith(f"{check} "))


def test_a_right_set_ends_with_0(gemmap: Callable, simulated: Path, tmp_path: Path) -> None:
    outcome = gemmap("check", simulated / "particles.star", "--strict", "--json", tmp_path / "check.json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0].startswith("Particles          200, from ")
    assert "40 px, 6 Å per pixel, in 1 stack" in outcome.out
    assert "0 errors, 0 warnings, " in outcome.out.splitlines()[-1]
    written = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert (written["n_errors"], written["facts"]["particles"], written["facts"]["half_sets"]) == (0, 200, [100, 100])
    levels = {verdict["check"]: verdict["level"] for verdict in written["verdicts"]}
    assert levels["contrast"] == levels["shifts"] == levels["CTF values"] == "ok"
    assert levels["handedness"] == "unknown"


def test_the_other_formats(gemmap: Callable, simulated: Path) -> None:
    poses = "--poses", simulated / "poses.pkl", "--ctf", simulated / "ctf.pkl"
    for arguments in (["particles.cs"], ["particles_relion30.star"], ["particles.mrcs", *poses]):
        outcome = gemmap("check", simulated / arguments[0], *arguments[1:], *NO_PIXELS)
        assert (outcome.code, outcome.err) == (0, "")


def test_dark_particles_are_an_error(gemmap: Callable, particles: Path) -> None:
    outcome = gemmap("check", particles, "--invert")
    assert outcome.code == 2
    assert verdict_line(outcome.out, "contrast").startswith("ERROR    contrast")


def test_quiet_says_only_what_is_wrong(gemmap: Callable, simulated: Path, particles: Path) -> None:
    assert gemmap("check", simulated / "particles.star", "-q", *NO_PIXELS).out == ""
    rewrite(particles, lambda t: replace(t, half=np.zeros(200, np.int64)))
    assert gemmap("check", particles, "-q", *NO_PIXELS).out.startswith("WARNING  half-sets")


def test_warnings_count_if_strict(gemmap: Callable, particles: Path) -> None:
    rewrite(particles, lambda t: replace(t, half=np.zeros(200, np.int64)))
    assert gemmap("check", particles, *NO_PIXELS).code == 0
    assert gemmap("check", particles, *NO_PIXELS, "--strict").code == 2


def test_all_missing_and_short_stacks_are_listed(gemmap: Callable, particles: Path, tmp_path: Path) -> None:
    stacks = ("particles.mrcs", "short.mrcs", *(f"missing{i}.mrcs" for i in range(6)))
    write_stack(tmp_path / "short.mrcs", np.ones((3, 40, 40), np.float32), 6.0)
    cut = tmp_path / "cut.mrcs"
    write_stack(cut, np.ones((30, 40, 40), np.float32), 6.0)
    cut.write_bytes(cut.read_bytes()[:-5])
    rewrite(
        particles,
        lambda t: replace(
            t, stacks=(*stacks, "cut.mrcs"), stack_of=np.arange(200) % 9, index_in_stack=np.arange(200) // 9
        ),
    )
    outcome = gemmap("check", particles, *NO_PIXELS, "--json", tmp_path / "check.json")
    assert outcome.code == 2
    line = verdict_line(outcome.out, "image stacks")
    assert "8 of 9 cannot be used" in line
    for name in (
        "missing0.mrcs is missing",
        "missing5.mrcs is missing",
        "short.mrcs holds 3 images",
        "cut.mrcs is truncated",
    ):
        assert name in line
    written = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert len(written["verdicts"][0]["measured"]["problems"]) == 8
    assert verdict_line(outcome.out, "half-sets").startswith("OK")


def test_header_against_metadata(gemmap: Callable, particles: Path) -> None:
    rewrite_stack(particles, lambda _: None, pixel_size_a=5.0)
    line = verdict_line(gemmap("check", particles, *NO_PIXELS).out, "pixel size")
    assert line.startswith("WARNING")
    assert "The metadata say 6 Å per pixel, headers of the stacks 5 Å" in line


def test_box_against_metadata(gemmap: Callable, particles: Path) -> None:
    rewrite(particles, lambda t: replace(t, optics=(replace(t.optics[0], box_px=60),)))
    outcome = gemmap("check", particles, *NO_PIXELS)
    assert outcome.code == 2
    assert "describes images of 60 px, but the stacks hold images of 40 px" in verdict_line(outcome.out, "image stacks")


def test_dead_images(gemmap: Callable, particles: Path) -> None:
    stack = particles.with_suffix(".mrcs")
    pixels = np.memmap(stack, "<f4", "r+", offset=1024, shape=(200, 40, 40))
    pixels[41], pixels[50] = np.nan, 0.0
    pixels.flush()
    outcome = gemmap("check", particles, "--sample", 5)
    assert outcome.code == 0
    outcome = gemmap("check", particles, "--sample", 5, "--all-images")
    assert "2 of 200 images are constant (1) or hold values that are not finite (1): particles 42, 51" in outcome.out


def test_overlapping_picks(gemmap: Callable, particles: Path) -> None:
    table = read_particles(particles).table
    x = 200.0 * np.arange(200)
    x[8] = x[7] + 1.0
    half = table.half.copy()
    half[7:9] = 1, 2
    assert table.ctf is not None
    n = len(table)
    columns = {
        "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(n)],
        "rlnMicrographName": ["mic.mrc"] * n, "rlnCoordinateX": x, "rlnCoordinateY": x,
        "rlnAngleRot": x, "rlnAngleTilt": 0.3 * x, "rlnAnglePsi": 0.7 * x, "rlnRandomSubset": half,
        "rlnOriginXAngst": np.zeros(n), "rlnOriginYAngst": np.zeros(n),
        "rlnOpticsGroup": np.ones(n, np.int64), "rlnDefocusU": table.ctf.defocus_u_a,
    }  # fmt: skip
    optics = {
        "rlnOpticsGroup": np.array([1]), "rlnImagePixelSize": np.array([6.0]), "rlnVoltage": np.array([300.0]),
        "rlnMicrographOriginalPixelSize": np.array([1.5]), "rlnSphericalAberration": np.array([2.7]),
        "rlnAmplitudeContrast": np.array([0.1]),
    }  # fmt: skip
    write_star(particles, {"optics": optics, "particles": columns}, [])
    line = verdict_line(gemmap("check", particles, *NO_PIXELS).out, "overlapping picks")
    assert "1 pairs of images in different halves show the same particle (rows 8 and 9" in line


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (lambda t: t.select(np.r_[0:200, 3]), "copies", "repeat another row's image and pose"),
        (
            lambda t: replace(t.select(np.r_[0:200, 3]), half=np.r_[t.half, 3 - t.half[3]]),
            "copies",
            "are in both halves",
        ),
        (lambda t: replace(t, shifts_a=t.shifts_a + 100.0), "shift lengths", "more than a quarter of the box"),
        (lambda t: replace(t, rotations=np.tile(np.eye(3), (200, 1, 1))), "poses", "have the same pose"),
        (
            lambda t: replace(t, ctf=replace(t.ctf, defocus_u_a=np.full(200, 1.5), defocus_v_a=np.full(200, 1.5))),
            "defocus",
            "in micrometres",
        ),
    ],
    ids=["a row twice", "an image in both halves", "large shifts", "no poses", "micrometres"],
)  # fmt: skip
def test_wrong_tables_and_what_reconstruct_does(
    change: Callable, check: str, words: str, gemmap: Callable, particles: Path, tmp_path: Path
) -> None:
    """An error stops a reconstruction before it begins; a warning is a note of its plan."""
    rewrite(particles, change)
    outcome = gemmap("check", particles, *NO_PIXELS)
    line = verdict_line(outcome.out, check)
    assert words in line
    planned = gemmap("reconstruct", particles, "-o", tmp_path / "run1", "--dry-run")
    if line.startswith("ERROR"):
        assert (outcome.code, planned.code) == (2, 2)
        assert words in planned.err
    else:
        assert (outcome.code, planned.code) == (0, 0)
        assert any(line.startswith("Note: ") and words in line for line in planned.out.splitlines())
    assert not (tmp_path / "run1").exists()


def test_what_is_no_particle_file_is_one_sentence(gemmap: Callable, particles: Path) -> None:
    outcome = gemmap("check", particles.with_name("nowhere.star"))
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert gemmap("check").err == "Error: No particle file was given; give PARTICLES.\n"


def test_a_report_that_cannot_be_written(gemmap: Callable, simulated: Path, tmp_path: Path) -> None:
    outcome = gemmap("check", simulated / "particles.star", *NO_PIXELS, "--json", tmp_path / "no" / "check.json")
    assert outcome.code == 2
    assert "Cannot write" in outcome.err


def test_negative_samples_are_refused(gemmap: Callable, simulated: Path) -> None:
    assert "expected 0 or more" in gemmap("check", simulated / "particles.star", "--sample", -1).err
