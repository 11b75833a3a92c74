import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from gemmap.errors import InputError
from gemmap.simulate.density import Projector, truth_volume
from gemmap.simulate.scattering import atom_points
from gemmap.simulate.solvent import SIGMA_A, molecule_mask, surroundings
from gemmap.simulate.structure import Atoms

PIXEL, N = 2.0, 48


def test_nothing_around_without_contrast(rod: Atoms) -> None:
    assert surroundings(rod, 0.0, 0.0) is None


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_solvent_takes_its_share_of_the_mass(rod: Atoms, contrast: float) -> None:
    around = surroundings(rod, contrast, 0.0)
    assert around is not None
    assert around.mass == pytest.approx(-contrast * atom_points(rod, PIXEL).mass, rel=1e-3)


def test_envelope_is_the_rod_with_its_van_der_waals_radius(rod: Atoms) -> None:
    around = surroundings(rod, 1.0, 0.0)
    assert around is not None
    weight = around.weights[:, 0] / around.weights.min()
    # All atoms' spheres of 1.7 Å at least, counted on random points; the smooth cylinder around them at most.
    box = np.array([22.0, 22.0, 58.0])
    points = np.random.default_rng(0).uniform(-box / 2, box / 2, (100_000, 3))
    spheres = (cKDTree(rod.positions_a).query(points)[0] <= 1.7).mean() * box.prod()
    assert 0.99 * spheres < weight.sum() * 3.0**3 < np.pi * 10.7**2 * 57.4
    spread = np.sqrt(np.average(around.positions_a**2, axis=0, weights=weight))
    np.testing.assert_allclose(spread, [10.7 / 2, 10.7 / 2, 57.4 / np.sqrt(12)], rtol=0.05)
    np.testing.assert_allclose(np.average(around.positions_a, axis=0, weights=weight), 0.0, atol=0.3)


def test_solvent_is_flat_inside_the_molecule_and_soft_at_its_surface(rod: Atoms) -> None:
    around = surroundings(rod, 0.6, 0.0)
    assert around is not None
    volume = truth_volume([around], N, PIXEL)
    full = around.weights.min() / 3.0**3 * PIXEL**3
    c = N // 2
    np.testing.assert_allclose(volume[c - 6 : c + 7, c, c], full, rtol=2e-3)
    # From full to nothing over some four standard deviations of 2.4 Å around 28.7 Å.
    edge = np.interp([22.0, 28.7, 36.0], np.arange(N - c) * PIXEL, volume[c:, c, c] / full)
    assert (np.abs(edge - [1.0, 0.5, 0.0]) < [0.03, 0.12, 0.03]).all()


def test_surroundings_project_like_the_truth(rod: Atoms) -> None:
    around = surroundings(rod, 0.6, 0.4)
    assert around is not None
    n = 64
    volume = truth_volume([around], n, PIXEL).astype(np.float64)
    rotation = Rotation.random(random_state=3).as_matrix()
    image = Projector([around], n, PIXEL).fourier(rotation[None])[0]
    ky, kx = np.meshgrid(np.fft.fftfreq(n, PIXEL), np.fft.rfftfreq(n, PIXEL), indexing="ij")
    low = (np.hypot(kx, ky) < 0.2) & (np.arange(n)[:, None] % 4 == 1)
    k = np.stack([kx, ky, 0 * kx], axis=-1)[low] @ rotation
    x = (np.arange(n) - n // 2) * PIXEL
    wave = [np.exp(-2j * np.pi * np.outer(k[:, axis], x)) for axis in range(3)]
    found = np.einsum("zyx,kz,ky,kx->k", volume, wave[2], wave[1], wave[0], optimize=True)
    assert np.linalg.norm(found - image[low]) < 2e-3 * np.linalg.norm(found)


@pytest.mark.parametrize("axis", [0, 2])
def test_belt_surrounds_the_middle_of_the_long_axis(rod: Atoms, axis: int) -> None:
    order = [2, 1, 0] if axis == 0 else [0, 1, 2]
    turned = Atoms(rod.positions_a[:, order], rod.atomic_number, rod.bfactor_a2, rod.occupancy)
    belt = surroundings(turned, 0.0, 0.5)
    assert belt is not None
    p, weight = belt.positions_a, belt.weights[:, 0]
    assert (weight > 0).all()
    height, radius = p[:, axis], np.sqrt((p**2).sum(axis=1) - p[:, axis] ** 2)
    assert np.abs(height).max() < 18.0
    assert radius.max() < 9.0 + 20.0
    # Little detergent where the molecule is, and the density asked for outside.
    inside = radius < 10.0
    assert weight[inside].sum() < 0.01 * weight.sum()
    envelope = surroundings(turned, 1.0, 0.0)
    assert envelope is not None
    assert weight.max() == pytest.approx(-0.5 * envelope.weights.min(), rel=1e-6)
    np.testing.assert_allclose(np.average(p, axis=0, weights=weight), 0.0, atol=0.5)


def test_belt_needs_atoms_in_the_middle(rod: Atoms) -> None:
    ends = np.abs(rod.positions_a[:, 2]) > 20.0
    dumbbell = Atoms(rod.positions_a[ends], rod.atomic_number[ends], rod.bfactor_a2[ends], rod.occupancy[ends])
    with pytest.raises(InputError, match=r"No atom lies within 18 Å of the molecule's middle.*micelle contrast to 0"):
        surroundings(dumbbell, 0.0, 0.5)


def test_blur_widens_the_surroundings(rod: Atoms) -> None:
    around = surroundings(rod, 0.5, 0.0, blur_a2=7.0)
    assert around is not None
    assert around.widths_a2[0, 0] == pytest.approx(8 * np.pi**2 * SIGMA_A**2 + 7.0)


@pytest.mark.parametrize("n", [16, 17])
def test_mask_follows_the_distance_to_the_atom(n: int) -> None:
    atoms = Atoms(np.array([[4.0, -2.0, 0.0]]), np.array([6]), np.array([20.0]), np.array([1.0]))
    mask = molecule_mask(atoms, n, PIXEL, extend_a=3.0, soft_a=6.0)
    x = (np.arange(n) - n // 2) * PIXEL
    z, y, x = np.meshgrid(x, x, x, indexing="ij")
    distance = np.sqrt((x - 4) ** 2 + (y + 2) ** 2 + z**2)
    assert mask.dtype == np.float32
    assert (mask[distance <= 3.0] == 1.0).all()
    assert (mask[distance >= 9.0] == 0.0).all()
    np.testing.assert_allclose(mask[np.isclose(distance, 6.0)], 0.5, atol=1e-6)
