"""Local resolution: maps that are sharper in one place than in another, and against relion_postprocess --locres."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from gemmap.errors import InputError
from gemmap.io.mrc import read_map, write_map
from gemmap.validate.fsc import fsc
from gemmap.validate.local_resolution import Windows, _WindowFsc, local_resolution
from gemmap.validate.masks import spherical_mask

PIXEL_A = 2.0


def halves_of_two_kinds(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points in a sphere, blurred more where x < N/2, seen twice with independent white noise."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n**3 // 100, 3))
    points *= (0.4 * n * rng.random(len(points)) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    density = np.zeros((n, n, n), np.float32)
    np.add.at(density, tuple(np.rint(points + n // 2).astype(int).T), 1.0)
    sharp, smooth = (scipy.ndimage.gaussian_filter(density, sigma) for sigma in (0.8, 2.5))
    signal = np.where(np.arange(n) < n // 2, smooth, sharp)
    half1, half2 = (signal + 0.02 * rng.standard_normal(signal.shape).astype(np.float32) for _ in range(2))
    return half1, half2


def test_the_smooth_side_has_the_lower_resolution() -> None:
    n = 60
    half1, half2 = halves_of_two_kinds(n)
    result = local_resolution(half1, half2, PIXEL_A, sampling_a=14.0)
    middle = slice(n // 2 - 4, n // 2 + 4)
    smooth, sharp = result.map[middle, middle, 12:20].mean(), result.map[middle, middle, 40:48].mean()
    assert sharp < 5.0
    assert smooth > 1.8 * sharp
    # The filter leaves the sharp side alone and takes the noise off the smooth one.
    kept = fine_detail(result.filtered) / fine_detail((half1 + half2) / 2)
    assert kept[12:20].mean() < 0.5
    assert kept[40:48].mean() > 0.9


def fine_detail(volume: np.ndarray) -> np.ndarray:
    """Standard deviation, along x through the middle of a map, of what a blur takes away."""
    n = len(volume)
    return (volume - scipy.ndimage.gaussian_filter(volume, 1.5))[n // 2 - 6 : n // 2 + 6, n // 2 - 6 : n // 2 + 6].std(
        (0, 1)
    )


def test_outside_all_windows_nothing_is_said() -> None:
    half1, half2 = halves_of_two_kinds(40)
    result = local_resolution(half1, half2, PIXEL_A, sampling_a=10.0)
    assert result.map[0, 0, 0] == 0.0
    assert result.filtered[0, 0, 0] == 0.0
    assert len(result.centres) == len(result.resolutions_a)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_seed_gives_the_same_map_whatever_the_threads(workers: int) -> None:
    half1, half2 = halves_of_two_kinds(33)
    first = local_resolution(half1, half2, PIXEL_A, sampling_a=12.0, seed=4)
    again = local_resolution(half1, half2, PIXEL_A, sampling_a=12.0, seed=4, workers=workers)
    np.testing.assert_array_equal(first.map, again.map)


def test_a_threshold_may_change_with_the_shell() -> None:
    n = 40
    half1, half2 = halves_of_two_kinds(n)
    one = local_resolution(half1, half2, PIXEL_A, sampling_a=12.0, threshold=0.3)
    same = local_resolution(half1, half2, PIXEL_A, sampling_a=12.0, threshold=np.full(n // 2 + 1, 0.3))
    np.testing.assert_array_equal(same.resolutions_a, one.resolutions_a)
    ends = np.where(np.arange(n // 2 + 1) < 9, 0.3, 2.0)
    cut = local_resolution(half1, half2, PIXEL_A, sampling_a=12.0, threshold=ends)
    np.testing.assert_allclose(cut.resolutions_a, np.maximum(one.resolutions_a, n * PIXEL_A / 8))
    with pytest.raises(
        InputError, match=r"Thresholds of shape \(7,\) for a box of 40 px: expected one, or one for each"
    ):
        local_resolution(half1, half2, PIXEL_A, threshold=np.ones(7))


def test_progress_counts_windows() -> None:
    half1, half2 = halves_of_two_kinds(33)
    seen: list[tuple[int, int]] = []
    result = local_resolution(half1, half2, PIXEL_A, sampling_a=16.0, watch=lambda done, of: seen.append((done, of)))
    assert seen == [(i + 1, len(result.centres)) for i in range(len(result.centres))]


def test_windows_are_relions() -> None:
    windows = Windows.of(1.4)
    assert (windows.step_px, windows.radius_px, windows.edge_px) == (18, 9, 18)
    centres = windows.centres(128)
    assert len(centres) == 136  # counted in the table that relion_postprocess 3.1.3 writes
    assert sorted(set(centres[:, 0].tolist())) == [-46, -28, -10, 8, 26, 44]


@pytest.mark.parametrize(("pixel_size_a", "sampling_a", "words"), [(2.0, 0.5, "a pixel or more"), (2.0, 100.0, "fits")])
def test_windows_that_make_no_sense_are_refused(pixel_size_a: float, sampling_a: float, words: str) -> None:
    half1, half2 = halves_of_two_kinds(24)
    with pytest.raises(InputError, match=words):
        local_resolution(half1, half2, pixel_size_a, sampling_a)


@pytest.mark.parametrize("w", [11, 12])
@pytest.mark.parametrize("centre", [(0, 0, 0), (-7, 8, 3)])
def test_a_window_is_the_fsc_of_what_it_cuts_out(w: int, centre: tuple[int, int, int]) -> None:
    """Also over the edge of the box, where there are zeros."""
    n = 24
    maps = np.random.default_rng(2).standard_normal((4, n, n, n)).astype(np.float32)
    maps[1], maps[3] = maps[1] + maps[0], maps[3] + 2 * maps[2]
    weights = spherical_mask(w, 3.0, 2.0)
    padded = np.pad(maps, ((0, 0), (w, w), (w, w), (w, w)))
    first = [c + n // 2 + w - w // 2 for c in centre]
    cut = padded[:, *(slice(f, f + w) for f in first)]
    found = _WindowFsc(weights).of(tuple(maps), np.array(centre))
    for curve, (a, b) in zip(found, (cut[:2], cut[2:]), strict=True):
        np.testing.assert_allclose(curve, fsc(a, b, weights), atol=1e-6)


def test_a_given_map_is_filtered_or_none() -> None:
    half1, half2 = halves_of_two_kinds(33)
    mean = ((half1 + half2) / 2).astype(np.float32)
    own, given, none = (
        local_resolution(half1, half2, PIXEL_A, 12.0, **options)
        for options in ({}, {"volume": -mean}, {"filtered": False})
    )
    np.testing.assert_allclose(given.filtered, -own.filtered, atol=1e-6)
    assert none.filtered is None
    np.testing.assert_array_equal(none.map, own.map)


@pytest.mark.peer
def test_relion_postprocess_finds_the_same_local_resolution(tmp_path: Path) -> None:
    if shutil.which("relion_postprocess") is None:
        pytest.skip("relion_postprocess is not installed")
    n = 90
    half1, half2 = halves_of_two_kinds(n)
    for number, half in enumerate((half1, half2), start=1):
        write_map(tmp_path / f"half{number}.mrc", half, PIXEL_A)
    command = f"relion_postprocess --i half1.mrc --i2 half2.mrc --o lr --angpix {PIXEL_A} --locres"
    # It fails at the very end where ghostscript is missing: after the maps are written.
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    theirs, _ = read_map(tmp_path / "lr_locres.mrc")
    filtered, _ = read_map(tmp_path / "lr_locres_filtered.mrc")
    ours = local_resolution(half1, half2, PIXEL_A)
    inside = spherical_mask(n, 0.4 * n, 0.0) > 0
    assert ours.map[inside].mean() == pytest.approx(theirs[inside].mean(), rel=0.03)
    assert np.corrcoef(ours.map[inside], theirs[inside])[0, 1] > 0.95
    assert np.corrcoef(ours.filtered[inside], filtered[inside])[0, 1] > 0.98
    np.testing.assert_array_equal(ours.map > 0, theirs > 0)
