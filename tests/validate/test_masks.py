"""Masks against the formula voxel by voxel, and against maps whose particle is known."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from gemmap.errors import InputError
from gemmap.io.mrc import write_map
from gemmap.validate.masks import check_mask, find_particle, soft_mask_from_map, soften, spherical_mask


def ball(n: int, centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.indices((n, n, n))
    return (np.hypot(np.hypot(z - centre[0], y - centre[1]), x - centre[2]) <= radius).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 9, 12])
@pytest.mark.parametrize("edge", [0.0, 2.5])
def test_sphere_voxel_by_voxel(n: int, edge: float) -> None:
    radius = 2.2
    mask = spherical_mask(n, radius, edge)
    assert mask.dtype == np.float32
    for index in np.ndindex(n, n, n):
        r = sum((i - n // 2) ** 2 for i in index) ** 0.5
        if r <= radius:
            expected = 1.0
        elif r >= radius + edge:
            expected = 0.0
        else:
            expected = 0.5 * (1 + np.cos(np.pi * (r - radius) / edge))
        assert mask[index] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize(("extend", "edge"), [(2.0, 3.0), (0.0, 3.0), (2.5, 0.0), (0.0, 0.0)])
def test_mask_of_a_sharp_ball_is_grown_and_then_gets_its_edge(n: int, extend: float, edge: float) -> None:
    core = ball(n, (n // 2,) * 3, 4.0)
    mask = soft_mask_from_map(core, 10.0, lowpass_a=15.0, extend_px=extend, edge_px=edge)  # finer than Nyquist
    every = np.indices((n, n, n)).reshape(3, -1).T

    def distance(points: np.ndarray, index: tuple[int, ...]) -> float:
        return float(np.sqrt(((points - index) ** 2).sum(axis=1).min()))

    inside = np.argwhere(core > 0)
    grown = np.array([i for i in every if core[tuple(i)] or distance(inside, i) < extend])
    for index in np.ndindex(n, n, n):
        if sum(index) % 7:  # a seventh of the voxels is plenty
            continue
        d = distance(grown, index)
        expected = float(d == 0) if edge == 0 else 0.5 * (1 + np.cos(np.pi * min(d / edge, 1.0)))
        assert mask[index] == pytest.approx(expected, abs=2e-6)


def blobs(n: int, seed: int) -> np.ndarray:
    """Lumps near the centre, of values up to 1."""
    volume = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((n, n, n)), 1.5)
    z, y, x = np.indices(volume.shape) - n // 2
    volume *= np.exp(-(x**2 + y**2 + z**2) / 2 / 6**2)
    return (volume / volume.max()).astype(np.float32)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("n", "extend", "edge", "lowpass_a"),
    [(64, 3, 6, 15), (63, 3, 6, 15), (40, 0, 5, None), (37, 2.5, 4.5, 12), (48, 3, 0, 10), (48, 0, 0, 20)],
)
def test_the_same_values_as_relion_mask_create(
    n: int, extend: float, edge: float, lowpass_a: float | None, tmp_path: Path
) -> None:
    """Largest difference measured: 0 (RELION 3.1.3)."""
    import mrcfile

    relion = shutil.which("relion_mask_create")
    if relion is None:
        pytest.skip("relion_mask_create is not on the path")
    volume, pixel_size_a = blobs(n, seed=n), 2.0
    write_map(tmp_path / "map.mrc", volume, pixel_size_a)
    threshold = 0.3 if lowpass_a is None else 0.08
    command = [relion, "--i", "map.mrc", "--o", "mask.mrc", "--ini_threshold", threshold, "--extend_inimask", extend]
    command += ["--width_soft_edge", edge, "--lowpass", lowpass_a or -1, "--angpix", pixel_size_a]
    subprocess.run([str(word) for word in command], cwd=tmp_path, check=True, capture_output=True)
    particle = find_particle(volume, pixel_size_a, lowpass_a=lowpass_a, threshold=threshold)
    mask = soften(particle.voxels, extend, edge)
    assert 0.001 < mask.mean() < 0.5
    np.testing.assert_allclose(mask, mrcfile.read(tmp_path / "mask.mrc"), rtol=0, atol=1e-6)


def test_a_threshold_given_takes_every_voxel_above_it() -> None:
    volume = ball(20, (10, 10, 10), 4) + 0.5 * ball(20, (2, 2, 2), 0)
    found = find_particle(volume, 10.0, lowpass_a=None, threshold=0.4)
    assert found.threshold == 0.4
    np.testing.assert_array_equal(found.voxels, volume > 0.4)
    assert not find_particle(volume, 10.0, lowpass_a=None).voxels[2, 2, 2]  # a speck, when nobody said a threshold


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 2.0}, "No voxel lies above the threshold 2; the low-passed map reaches 1"),
        ({"lowpass_a": 0.0}, "low-pass filter is at 0 Å"),
    ],
)
def test_what_cannot_be_found_is_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_particle(ball(12, (6, 6, 6), 3), 10.0, **options)


def test_a_particle_that_does_not_stand_out_is_not_invented() -> None:
    loud = np.where(ball(12, (6, 6, 6), 6) > 0, 0.1, 9.0) * np.random.default_rng(0).standard_normal((12, 12, 12))
    with pytest.raises(InputError, match="nothing in the low-passed map stands out of its surroundings"):
        find_particle(loud, 10.0, lowpass_a=None)


@pytest.mark.parametrize("sizes", [(-1.0, 3.0), (1.0, -3.0), (np.nan, 3.0)])
def test_a_mask_does_not_shrink(sizes: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="expected 0 or more"):
        soften(ball(8, (4, 4, 4), 2) > 0, *sizes)


def test_edges_are_cut_at_the_box_and_do_not_wrap() -> None:
    n = 16
    mask = soft_mask_from_map(ball(n, (0, 8, 8), 3), 10.0, extend_px=1, edge_px=2)
    assert mask[0, 8, 8] == 1
    assert mask[n - 1].max() == 0


def test_specks_go_and_large_parts_stay() -> None:
    n = 40
    volume = ball(n, (20, 12, 20), 6) + ball(n, (20, 28, 20), 4) + ball(n, (6, 20, 20), 2)
    mask = soft_mask_from_map(volume, 10.0, extend_px=0, edge_px=0)
    assert mask[20, 12, 20] == 1
    assert mask[20, 28, 20] == 1  # 30 % of the largest
    assert mask[6, 20, 20] == 0  # 4 % of it


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("diameter_a", [None, 100.0])
def test_finds_a_particle_in_noise(noise: float, diameter_a: float | None) -> None:
    n, pixel_size_a = 48, 3.0
    particle = ball(n, (24, 22, 26), 10)
    volume = particle + noise * np.random.default_rng(0).standard_normal(particle.shape)
    mask = soft_mask_from_map(volume.astype(np.float32), pixel_size_a, diameter_a, lowpass_a=20.0)
    assert mask[particle > 0].mean() > 0.99
    assert 0.5 < (mask > 0.5).sum() / (ball(n, (24, 22, 26), 16) > 0).sum() < 1.5  # 10 + 3 extended + half the edge


def test_noise_outside_the_particle_sphere_sets_the_threshold_when_it_dominates() -> None:
    n = 48
    particle = ball(n, (24, 24, 24), 8)
    volume = (particle + 4.0 * np.random.default_rng(1).standard_normal(particle.shape)).astype(np.float32)
    mask = soft_mask_from_map(volume, 3.0, 60.0, extend_px=0, edge_px=0)
    assert mask[particle == 0].mean() < 0.01  # Otsu alone takes 23 % of the solvent


def test_same_map_same_mask_and_scale_of_grey_values_is_free() -> None:
    volume = ball(24, (12, 12, 12), 5) + 0.1 * np.random.default_rng(2).standard_normal((24, 24, 24))
    volume = volume.astype(np.float32)
    before = volume.copy()
    mask = soft_mask_from_map(volume, 4.0)
    np.testing.assert_array_equal(soft_mask_from_map(volume, 4.0), mask)
    np.testing.assert_array_equal(volume, before)
    np.testing.assert_array_equal(soft_mask_from_map(volume * np.float32(2.0**-20), 4.0), mask)
    check_mask(mask, 24)


def test_beta_galactosidase(shared_data: Path) -> None:
    import mrcfile

    path = shared_data / "maps" / "betaGal.mrc"
    if not path.is_file():
        pytest.skip("maps/betaGal.mrc is not here")
    volume = mrcfile.read(path)
    mask = soft_mask_from_map(volume, 3.54, 250.0)
    check_mask(mask, 100)
    assert 0.03 < mask.mean() < 0.08  # 465 kDa are 1.3 % of this box; 3 px and half of 6 px of edge come on top
    assert mask[volume > 0.05].min() > 0.9


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_map_without_contrast_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="without contrast"):
        soft_mask_from_map(np.full((12, 12, 12), value, np.float32), 5.0)


def test_a_map_that_is_no_finite_cube_is_refused() -> None:
    with pytest.raises(InputError, match=r"got shape \(12, 12, 10\)"):
        soft_mask_from_map(np.zeros((12, 12, 10), np.float32), 5.0)
    with pytest.raises(InputError, match="finite"):
        soft_mask_from_map(np.full((12, 12, 12), np.nan, np.float32), 5.0)


def test_check_mask() -> None:
    good = spherical_mask(8, 2, 1)
    check_mask(good, 8)
    check_mask(good + np.float32(1e-6), 8)
    with pytest.raises(InputError, match=r"expected \(9, 9, 9\)"):
        check_mask(good, 9)
    with pytest.raises(InputError, match="values from -1 to 1; expected 0"):
        check_mask(good * 2 - 1, 8)
    with pytest.raises(InputError, match="values from 0 to 2"):
        check_mask(good * 2, 8)
    with pytest.raises(InputError, match="zero everywhere"):
        check_mask(good * 0, 8)
    with pytest.raises(InputError, match="values from nan"):
        check_mask(good * np.float32(np.nan), 8)
