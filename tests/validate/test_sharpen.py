"""Sharpening: B-factor, weights and filter of maps whose fall-off is known, and against relion_postprocess."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gemmap.errors import InputError
from gemmap.io.mrc import read_map, write_map
from gemmap.validate.fsc import shell_power
from gemmap.validate.masks import spherical_mask
from gemmap.validate.phase_randomise import half_map_fsc
from gemmap.validate.sharpen import fsc_weight, guinier, sharpen

PIXEL_A = 1.5


def fallen_off(n: int, bfactor_a2: float, seed: int = 0) -> np.ndarray:
    """White noise times exp(-B / 4 k^2)."""
    k = np.fft.fftfreq(n, PIXEL_A)
    k2 = k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(n, PIXEL_A) ** 2
    noise = np.random.default_rng(seed).standard_normal((n, n, n))
    return np.fft.irfftn(np.fft.rfftn(noise) * np.exp(-bfactor_a2 / 4 * k2), s=(n, n, n), axes=(0, 1, 2))


@pytest.mark.parametrize("n", [31, 40])
@pytest.mark.parametrize("bfactor_a2", [0.0, 60.0, 150.0])
def test_the_fall_off_put_in_is_found_and_taken_out(n: int, bfactor_a2: float) -> None:
    result = sharpen(fallen_off(n, bfactor_a2), PIXEL_A, np.ones(n // 2 + 1), 2 * PIXEL_A)
    assert result.bfactor_a2 == pytest.approx(-bfactor_a2, abs=4.0)
    shells = slice(4, n // 2 - 1)
    counts = shell_power(np.fft.rfftn(fallen_off(n, 0.0)))
    level = np.sqrt(shell_power(np.fft.rfftn(result.map)) / counts)[shells]
    np.testing.assert_allclose(level, level.mean(), rtol=0.05)


def test_a_given_bfactor_is_applied_and_nothing_fitted() -> None:
    volume = fallen_off(24, 80.0)
    result = sharpen(volume, PIXEL_A, np.ones(13), 2 * PIXEL_A, bfactor_a2=-40.0)
    assert result.guinier is None
    assert result.bfactor_a2 == -40.0
    ratio = shell_power(np.fft.rfftn(result.map)) / shell_power(np.fft.rfftn(volume))
    k2 = (np.arange(13) / (24 * PIXEL_A)) ** 2
    np.testing.assert_allclose(ratio[2:11], np.exp(20.0 * k2[2:11]), rtol=0.1)


def test_nothing_is_left_beyond_the_resolution() -> None:
    n, resolution_a = 32, 8.0
    result = sharpen(fallen_off(n, 30.0), PIXEL_A, np.ones(n // 2 + 1), resolution_a, bfactor_a2=0.0)
    power = shell_power(np.fft.rfftn(result.map))
    last = n * PIXEL_A / resolution_a
    assert power[int(last) + 2 :].max() < 1e-6 * power[1:4].min()


def test_weights_are_those_of_the_sum_of_halves_and_end_at_the_first_shell_without_signal() -> None:
    weights = fsc_weight(np.array([1.0, 0.5, 1 / 3, 0.00005, 0.9]))
    np.testing.assert_allclose(weights, [1.0, np.sqrt(1.0 / 1.5), np.sqrt(0.5), 0.0, 0.0])


def test_too_few_shells_for_a_line() -> None:
    curve = np.zeros(17)
    curve[:5] = 1.0
    with pytest.raises(InputError, match=r"0 shells lie between 10 Å and the end of the signal"):
        guinier(np.fft.rfftn(fallen_off(32, 20.0)), fsc_weight(curve), PIXEL_A)


@pytest.mark.peer
def test_relion_postprocess_finds_the_same_bfactor_and_map(tmp_path: Path) -> None:
    if shutil.which("relion_postprocess") is None:
        pytest.skip("relion_postprocess is not installed")
    n = 64
    rng = np.random.default_rng(5)
    particle = fallen_off(n, 90.0) * spherical_mask(n, 20.0, 4.0)
    halves = [particle + 0.3 * particle.std() * rng.standard_normal((n, n, n)) for _ in range(2)]
    mask = spherical_mask(n, 22.0, 6.0)
    for name, volume in (("half1", halves[0]), ("half2", halves[1]), ("mask", mask)):
        write_map(tmp_path / f"{name}.mrc", volume.astype(np.float32), PIXEL_A)
    command = (
        "relion_postprocess --i half1.mrc --i2 half2.mrc --o pp --mask mask.mrc --auto_bfac --autob_lowres 10 "
        f"--angpix {PIXEL_A} --low_pass -1"
    )
    # It fails at the very end where ghostscript is missing: after the map and the table are written.
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    text = (tmp_path / "pp.star").read_text()
    bfactor_a2, resolution_a = (
        float(re.search(rf"{label}\s+(\S+)", text)[1])
        for label in ("rlnBfactorUsedForSharpening", "rlnFinalResolution")
    )
    rows = [line.split() for line in text.split("data_fsc")[1].split("data_guinier")[0].splitlines()]
    curve = np.array([float(row[3]) for row in rows if len(row) == 8 and not row[0].startswith("_")])
    volumes = [read_map(tmp_path / f"half{i}.mrc")[0] for i in (1, 2)]
    ours = sharpen((volumes[0] + volumes[1]) / 2, PIXEL_A, fsc_weight(curve), resolution_a)
    assert ours.bfactor_a2 == pytest.approx(bfactor_a2, rel=1e-4)
    theirs, _ = read_map(tmp_path / "pp.mrc")
    assert np.linalg.norm(ours.map - theirs) < 1e-4 * np.linalg.norm(theirs)
    # With our own curve, whose shells differ a little from RELION's, and our own random phases.
    own = half_map_fsc(volumes[0], volumes[1], mask).corrected
    assert sharpen((volumes[0] + volumes[1]) / 2, PIXEL_A, fsc_weight(own), resolution_a).bfactor_a2 == pytest.approx(
        bfactor_a2, rel=0.02
    )
