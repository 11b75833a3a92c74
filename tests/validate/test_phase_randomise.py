"""The masked, phase-randomised and corrected FSC: its parts by formula, the whole against relion_postprocess."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from gemmap.errors import InputError
from gemmap.validate.masks import spherical_mask
from gemmap.validate.phase_randomise import corrected_fsc, first_shell_below, half_map_fsc, randomise_phases
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, resolution_at


def halves(n: int, noise: float = 1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Blobs inside a quarter of the box, seen twice with independent white noise."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((400, 3))
    points *= (0.25 * n * rng.random(400) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    signal = np.zeros((n, n, n))
    np.add.at(signal, tuple(np.rint(points + n // 2).astype(int).T), 30.0)
    signal = scipy.ndimage.gaussian_filter(signal, 1.5)
    half1, half2 = (signal + noise * rng.standard_normal(signal.shape) for _ in range(2))
    return half1.astype(np.float32), half2.astype(np.float32)


def fsc_of_stored_points(map1: np.ndarray, map2: np.ndarray) -> np.ndarray:
    """FSC that counts every point of the half-complex array once, as RELION does."""
    n = len(map1)
    f1, f2 = np.fft.rfftn(map1), np.fft.rfftn(map2)
    k = np.fft.fftfreq(n, 1 / n)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(n // 2 + 1) ** 2)
    shell = np.floor(radius + 0.5).astype(int).ravel()
    cross, power1, power2 = (
        np.bincount(shell, values.ravel()) for values in ((f1 * f2.conj()).real, abs(f1) ** 2, abs(f2) ** 2)
    )
    return (cross / np.sqrt(power1 * power2))[: n // 2 + 1]


@pytest.mark.parametrize("n", [9, 12, 20])
def test_amplitudes_stay_and_only_phases_beyond_the_radius_change(n: int) -> None:
    volume = np.random.default_rng(0).standard_normal((n, n, n))
    randomised = randomise_phases(np.fft.rfftn(volume), 3, np.random.default_rng(1))
    assert randomised.shape == volume.shape
    before, after = np.fft.fftn(volume), np.fft.fftn(randomised)
    k = np.fft.fftfreq(n, 1 / n)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-4)  # Hermitian, or the inverse would lose some
    np.testing.assert_allclose(after[radius < 3], before[radius < 3], atol=1e-4)
    assert np.abs(after - before)[radius == 3].min() > 1e-3
    turned = np.angle(after[radius >= 3] / before[radius >= 3])
    assert np.abs(np.mean(np.exp(1j * turned))) < 4 / np.sqrt(turned.size / 2)
    assert np.abs(np.mean(np.exp(2j * turned))) < 4 / np.sqrt(turned.size / 2)


def test_correction_formula_starts_two_shells_later() -> None:
    masked = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    random = np.array([1.0, 0.9, 0.5, 0.4, 0.2, 1.0, -0.5])
    expected = [1.0, 0.9, 0.8, 0.7, (0.6 - 0.2) / 0.8, 0.0, 0.9 / 1.5]
    np.testing.assert_allclose(corrected_fsc(masked, random, 2), expected)


def test_first_shell_below_ignores_shell_zero() -> None:
    assert first_shell_below(np.array([0.0, 0.9, 0.8, 0.79]), 0.8) == 3
    assert first_shell_below(np.array([0.0, 0.9]), 0.8) is None


def test_a_mask_that_fits_the_noise_is_found_out() -> None:
    n = 48
    rng = np.random.default_rng(3)
    half1, half2 = (rng.standard_normal((n, n, n)).astype(np.float32) + 3.0 for _ in range(2))
    mask = spherical_mask(n, 15, 0)  # sharp: both maps get the same edge, and nothing else is in common
    result = half_map_fsc(half1, half2, mask)
    assert result.randomised_from == 1
    assert result.masked[10:].mean() > 0.3
    assert abs(result.corrected[10:].mean()) < 0.05


def test_curves_of_the_parts_and_the_seed() -> None:
    half1, half2 = halves(33)
    mask = spherical_mask(33, 9, 4)
    result = half_map_fsc(half1, half2, mask, seed=5)
    np.testing.assert_allclose(result.unmasked, fsc_of_stored_points(half1, half2), atol=1e-6)
    np.testing.assert_allclose(result.masked, fsc_of_stored_points(half1 * mask, half2 * mask), atol=1e-6)
    again = half_map_fsc(half1, half2, mask, seed=5)
    np.testing.assert_array_equal(again.phase_randomised, result.phase_randomised)
    other = half_map_fsc(half1, half2, mask, seed=6)
    assert np.abs(other.phase_randomised - result.phase_randomised).max() > 0.01
    assert result.seed == 5


def test_the_two_halves_get_different_phases() -> None:
    half1, _ = halves(24)
    nearly = half1 + np.random.default_rng(0).standard_normal(half1.shape).astype(np.float32)
    result = half_map_fsc(half1, nearly, np.ones_like(half1))
    assert result.randomised_from is not None
    assert np.abs(result.phase_randomised[result.randomised_from + 1 :]).max() < 0.25


def test_identical_halves_need_no_randomisation() -> None:
    half1, _ = halves(20)
    result = half_map_fsc(half1, half1, spherical_mask(20, 6, 3))
    assert result.randomised_from is None
    np.testing.assert_array_equal(result.corrected, result.masked)
    np.testing.assert_allclose(result.corrected, 1.0, atol=1e-12)


def test_a_density_given_as_mask_is_refused() -> None:
    half1, half2 = halves(16)
    with pytest.raises(InputError, match="is it a density map"):
        half_map_fsc(half1, half2, half1)


@pytest.mark.peer
@pytest.mark.parametrize("n", [64, 90])
def test_agrees_with_relion_postprocess(tmp_path: Path, n: int) -> None:
    program = shutil.which("relion_postprocess")
    if program is None:
        pytest.skip("relion_postprocess is not installed")
    import mrcfile

    pixel_size_a = 1.7
    half1, half2 = halves(n)
    mask = spherical_mask(n, 0.27 * n, 6)
    for name, volume in (("x_half1_unfil.mrc", half1), ("x_half2_unfil.mrc", half2), ("mask.mrc", mask)):
        with mrcfile.new(tmp_path / name) as mrc:
            mrc.set_data(volume)
            mrc.voxel_size = pixel_size_a
    (tmp_path / "out").mkdir()
    command = (
        f"{program} --i x_half1_unfil.mrc --i2 x_half2_unfil.mrc --mask mask.mrc --angpix {pixel_size_a} --o out/post"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=120)
    resolution_a, randomised_from_a, theirs = read_postprocess(tmp_path / "out" / "post.star")

    ours = [half_map_fsc(half1, half2, mask, seed=seed) for seed in range(12)]
    assert n * pixel_size_a / ours[0].randomised_from == pytest.approx(randomised_from_a, rel=1e-4)
    np.testing.assert_allclose(ours[0].unmasked[1:], theirs["unmasked"][1:], atol=2e-5)
    np.testing.assert_allclose(ours[0].masked[1:], theirs["masked"][1:], atol=2e-5)
    # Random phases: RELION's draw lies among ours.
    start = ours[0].randomised_from + 2
    for name in ("phase_randomised", "corrected"):
        draws = np.array([getattr(result, name) for result in ours])[:, start:]
        score = (theirs[name][start:] - draws.mean(axis=0)) / draws.std(axis=0, ddof=1)
        assert np.abs(score).max() < 5
        assert np.sqrt(np.mean(score**2)) < 1.5
    for result in ours:
        read = resolution_at(result.corrected, HALF_MAP_THRESHOLD, n, pixel_size_a, "half-map FSC", "sphere")
        assert n * pixel_size_a / read.value_a == pytest.approx(n * pixel_size_a / resolution_a, abs=1.01)


def read_postprocess(path: Path) -> tuple[float, float, dict[str, np.ndarray]]:
    """Final resolution, resolution of randomisation, and curves of a relion_postprocess STAR file."""
    names = {
        "_rlnFourierShellCorrelationCorrected": "corrected",
        "_rlnFourierShellCorrelationUnmaskedMaps": "unmasked",
        "_rlnFourierShellCorrelationMaskedMaps": "masked",
        "_rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": "phase_randomised",
    }
    general: dict[str, float] = {}
    columns: list[str] = []
    rows: list[list[float]] = []
    block = ""
    for line in path.read_text().splitlines():
        words = line.split()
        if line.startswith("data_"):
            block = line.strip()
        elif block == "data_general" and words and words[0] in ("_rlnFinalResolution", "_rlnRandomiseFrom"):
            general[words[0]] = float(words[1])
        elif block == "data_fsc" and words and words[0].startswith("_rln"):
            columns.append(words[0])
        elif block == "data_fsc" and len(words) > 1 and len(words) == len(columns):
            rows.append([float(word) for word in words])
    table = dict(zip(columns, np.array(rows).T, strict=True))
    curves = {short: table[long] for long, short in names.items()}
    return general["_rlnFinalResolution"], general["_rlnRandomiseFrom"], curves
