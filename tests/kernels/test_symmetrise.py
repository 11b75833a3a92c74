"""Sums over rotations of the grid: against insertion under every rotation, and between backends."""

import numpy as np
import pytest
from backends import INTERPRETED_SLOWLY

from gemmap.errors import BackendError
from gemmap.geometry.symmetry import point_group
from gemmap.kernels import slices
from gemmap.kernels.symmetrise import symmetrised
from gemmap.physics.image_model import ImageModel, image_coefficients

SLOWER = ("numba", "reference", INTERPRETED_SLOWLY)


def prepared(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Slices of noise and random poses."""
    rng = np.random.default_rng(seed)
    poses = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    poses *= np.linalg.det(poses)[:, None, None]
    images = rng.normal(size=(n, d, d)).astype(np.float32)
    model = ImageModel(image_coefficients(None, n, float(d)), np.ones(n), np.zeros((n, 2)), poses)
    return slices.prepare(images, model, np.zeros(n, int), np.ones((1, d))), poses


def inserted(values: np.ndarray, poses: np.ndarray, m: int) -> np.ndarray:
    volume = np.zeros((m, m, m // 2 + 1, 3), np.float32)
    slices.insert(values, poses, volume)
    slices.complete_plane(volume)
    return volume


@pytest.mark.parametrize("backend", SLOWER)
@pytest.mark.parametrize("name", ["C1", "C2", "C4", "D2", "D3", "O", "I1"])
@pytest.mark.parametrize(("d", "m"), [(16, 24), (15, 24), (22, 36)])
def test_is_insertion_under_every_rotation(name: str, d: int, m: int, backend: str) -> None:
    values, poses = prepared(3, d, seed=d)
    group = point_group(name).on_grid
    expected = sum(inserted(values, poses @ rotation, m).astype(np.float64) for rotation in group)
    got = symmetrised(inserted(values, poses, m), group, backend)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["C4", "D2", "O"])
def test_the_sum_is_as_symmetric_as_can_be_and_stays_hermitian(name: str) -> None:
    group = point_group(name).on_grid
    once = symmetrised(inserted(*prepared(2, 16, seed=1), 24), group)
    twice = symmetrised(once, group)
    np.testing.assert_allclose(twice, len(group) * once, atol=1e-5 * np.abs(twice).max())
    mate = -np.arange(24) % 24
    np.testing.assert_allclose(
        once[:, :, 0], once[mate][:, mate, 0] * np.array([1, -1, 1]), atol=1e-6 * np.abs(once).max()
    )


def test_float64_runs_on_the_reference_only() -> None:
    volume = inserted(*prepared(1, 8, seed=0), 12).astype(np.float64)
    group = point_group("C2").on_grid
    assert symmetrised(volume, group).dtype == np.float64
    with pytest.raises(BackendError, match="cannot run symmetrise"):
        symmetrised(volume, group, "numba")


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [((12, 12, 12, 3), "C2", "expected"), ((11, 11, 6, 3), "C2", "m even"), ((12, 12, 7, 3), "C3", "to itself")],
)
def test_refused(shape: tuple[int, ...], name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        symmetrised(np.zeros(shape, np.float32), point_group(name).rotations)
