"""Projections and truth against direct sums in numpy, and against each other."""

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gemmap.errors import InputError
from gemmap.simulate.density import Projector, density_in_box, density_planes, truth_volume
from gemmap.simulate.scattering import GaussianPoints, atom_points, scattering_coefficients
from gemmap.simulate.structure import Atoms

PIXEL = 1.9
ROTATIONS = Rotation.random(3, random_state=4).as_matrix()


def direct_sum(atoms: Atoms, blur: float, k: np.ndarray) -> np.ndarray:
    """Transform of the atoms at frequencies k (..., 3) in 1/Å, one atom after the other."""
    out = np.zeros(k.shape[:-1], complex)
    k2 = (k**2).sum(axis=-1)
    for p, z, b, occupancy in zip(*(getattr(atoms, f) for f in vars(atoms)), strict=True):
        c = gemmi.Element(int(z)).c4322
        f = sum(a * np.exp(-(w + b + blur) * k2 / 4) for a, w in zip(c.a, c.b, strict=True))
        out += occupancy * f * np.exp(-2j * np.pi * (k @ p))
    return out


def image_plane(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (kx, ky, 0) of the half-plane in 1/Å, and where the box has them paired."""
    ky, kx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    return np.stack([kx, ky, 0 * kx], axis=-1) / PIXEL, (np.abs(kx) < 0.5) & (np.abs(ky) < 0.5)


def images_of(fourier: np.ndarray, n: int) -> np.ndarray:
    return np.fft.fftshift(np.fft.irfft2(fourier, s=(n, n)), axes=(1, 2))


@pytest.mark.parametrize("n", [16, 17, 19, 34])
@pytest.mark.parametrize("workers", [1, 2])
def test_projection_is_the_direct_sum(cluster: Atoms, n: int, workers: int) -> None:
    found = Projector([atom_points(cluster, PIXEL, 3.0)], n, PIXEL).fourier(ROTATIONS, workers)
    k, paired = image_plane(n)
    for rotation, image in zip(ROTATIONS, found, strict=True):
        expected = np.where(paired, direct_sum(cluster, 3.0, k @ rotation), 0.0)
        assert np.linalg.norm(image - expected) < 3e-4 * np.linalg.norm(expected)
        assert np.abs(image - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("n", [16, 17])
def test_truth_is_the_direct_sum(cluster: Atoms, n: int) -> None:
    volume = truth_volume([atom_points(cluster, PIXEL)], n, PIXEL)
    f = np.fft.fftfreq(n)
    kz, ky, kx = np.meshgrid(f, f, f, indexing="ij")
    paired = (np.abs([kz, ky, kx]) < 0.5).all(axis=0)
    expected = np.where(paired, direct_sum(cluster, 0.0, np.stack([kx, ky, kz], axis=-1) / PIXEL), 0.0)
    found = np.fft.fftn(np.fft.ifftshift(volume))
    assert volume.dtype == np.float32
    assert np.linalg.norm(found - expected) < 3e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("n", [23, 24])
def test_pixels_of_a_wide_gaussian_are_its_values(n: int) -> None:
    """Real space, no Fourier transform: also pins unit, origin and axes."""
    sigma, p = 2.5 * PIXEL, np.array([3.1, -4.7, 1.2])
    point = GaussianPoints(p[None], np.full((1, 1), 7.0), np.ones((1, 1)), np.full((1, 1), 8 * np.pi**2 * sigma**2))
    x = (np.arange(n) - n // 2) * PIXEL
    kernel = [np.exp(-0.5 * ((x - c) / sigma) ** 2) * PIXEL / sigma / np.sqrt(2 * np.pi) for c in p]
    np.testing.assert_allclose(
        truth_volume([point], n, PIXEL), 7 * np.einsum("x,y,z->zyx", *kernel), atol=2e-3 * 7 * 0.4**3
    )
    image = images_of(Projector([point], n, PIXEL).fourier(np.eye(3)[None]), n)[0]
    np.testing.assert_allclose(image, 7 * np.einsum("x,y->yx", *kernel[:2]), atol=2e-3 * 7 * 0.4**2)


@pytest.mark.parametrize("n", [16, 17])
def test_one_atom_lands_on_the_pixel_its_pose_says(n: int) -> None:
    """p_img = A p_vol, with the matrix of (rot, tilt, psi) = (33, 77, -141) written out."""
    a = np.array([[0.196136, -0.623006, 0.757228], [0.541992, -0.574667, -0.613191], [0.817175, 0.530680, 0.224951]])
    atoms = Atoms(a.T @ [[4 * PIXEL], [-3 * PIXEL], [0.0]], *(np.array([v]) for v in (8, 30.0, 1.0)))
    atoms = Atoms(atoms.positions_a.T, atoms.atomic_number, atoms.bfactor_a2, atoms.occupancy)
    image = images_of(Projector([atom_points(atoms, PIXEL)], n, PIXEL).fourier(a[None]), n)[0]
    assert np.unravel_index(image.argmax(), image.shape) == (n // 2 - 3, n // 2 + 4)


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_sums_of_the_truth_along_its_axes_are_projections(cluster: Atoms, n: int, order: tuple[int, ...]) -> None:
    points = [atom_points(cluster, PIXEL)]
    rotation = np.eye(3)[list(order)]
    image = images_of(Projector(points, n, PIXEL).fourier(rotation[None]), n)[0]
    # Axes (z, y, x) of the volume that are the image's depth, y and x.
    depth, y, x = (2 - axis for axis in reversed(order))
    expected = truth_volume(points, n, PIXEL).transpose(depth, y, x).sum(axis=0)
    assert np.linalg.norm(image - expected) < 1e-3 * np.linalg.norm(expected)


def test_central_slices_of_the_truth_are_projections(cluster: Atoms) -> None:
    n = 32
    points = [atom_points(cluster, PIXEL, 60.0)]
    volume = truth_volume(points, n, PIXEL).astype(np.float64)
    x = (np.arange(n) - n // 2) * PIXEL
    k, _ = image_plane(n)
    k = k[np.linalg.norm(k, axis=-1) * n * PIXEL < n / 2 - 1]
    for rotation, image in zip(ROTATIONS, Projector(points, n, PIXEL).fourier(ROTATIONS), strict=True):
        wave = [np.exp(-2j * np.pi * np.outer((k @ rotation)[:, axis], x)) for axis in range(3)]
        # The Gaussians' sum of 32^3 voxels at any frequency, not only those of the grid.
        found = np.einsum("zyx,kz,ky,kx->k", volume, wave[2], wave[1], wave[0], optimize=True)
        inside = np.linalg.norm(image_plane(n)[0], axis=-1) * n * PIXEL < n / 2 - 1
        assert np.linalg.norm(found - image[inside]) < 0.01 * np.linalg.norm(found)


def test_mass_is_the_same_in_map_and_images(cluster: Atoms) -> None:
    points = atom_points(cluster, PIXEL)
    images = images_of(Projector([points], 20, PIXEL).fourier(ROTATIONS), 20)
    np.testing.assert_allclose(images.sum(axis=(1, 2)), points.mass, rtol=1e-4)
    assert truth_volume([points], 20, PIXEL).sum() == pytest.approx(points.mass, rel=1e-4)


def test_parts_add_up_and_calls_repeat(cluster: Atoms) -> None:
    points = atom_points(cluster, PIXEL)
    one, two = Projector([points], 18, PIXEL), Projector([points, points], 18, PIXEL)
    np.testing.assert_allclose(two.fourier(ROTATIONS), 2 * one.fourier(ROTATIONS), rtol=1e-6)
    np.testing.assert_array_equal(one.fourier(ROTATIONS, 1), one.fourier(ROTATIONS, 2))
    assert one.fourier(ROTATIONS[:0]).shape == (0, 18, 10)


@pytest.mark.parametrize("n", [15, 16])
def test_points_outside_the_box_are_refused_with_the_box_that_holds_them(n: int) -> None:
    far = GaussianPoints(np.array([[0.0, 0.0, 21.0]]), np.ones((1, 1)), np.ones((1, 1)), np.full((1, 1), 50.0))
    message = r"reaches 21\.0 Å from its centre, but a box of 1[56] px at 1.9 Å holds .* use a box of at least 28 px"
    with pytest.raises(InputError, match=message):
        Projector([far], n, PIXEL)
    with pytest.raises(InputError, match=message):
        truth_volume([far], n, PIXEL)
    assert truth_volume([far], 28, PIXEL).shape == (28, 28, 28)


@pytest.mark.parametrize("n", [20, 21])
def test_density_in_a_box_reaches_into_its_corners(n: int) -> None:
    """Atoms at a face and in a corner: the sum of their Gaussians in real space, and nothing on the far side."""
    origin = -(n // 2) * 1.2
    positions = np.array([[0.0, 0.3, 0.1], [origin, origin + 0.4, origin + 1.0], [origin + (n - 1) * 1.2, 2.0, -3.0]])
    atoms = Atoms(positions, np.array([6, 8, 16]), np.full(3, 200.0), np.array([1.0, 0.5, 1.0]))
    planes: list[int] = []
    points = atom_points(atoms, 1.2)
    found = density_in_box(points, n, 1.2, 1, lambda: planes.append(1))
    assert len(planes) == density_planes(points, n, 1.2)
    axis = (np.arange(n) - n // 2) * 1.2
    a, width = scattering_coefficients(atoms)
    expected = np.zeros((n, n, n))
    for i, (x, y, z) in enumerate(positions):
        r2 = (axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2
        for amplitude, b in zip(a[i], width[i], strict=True):
            height = atoms.occupancy[i] * amplitude * (4 * np.pi / b) ** 1.5
            expected += 1.2**3 * height * np.exp(-4 * np.pi**2 * r2 / b)
    assert np.abs(found - expected).max() < 2e-3 * expected.max()
    alone = Atoms(positions[:1], atoms.atomic_number[:1], atoms.bfactor_a2[:1], atoms.occupancy[:1])
    assert density_planes(atom_points(alone, 1.2), n, 1.2) < len(planes)


def test_density_outside_the_box_is_refused() -> None:
    atoms = Atoms(np.array([[0.0, 0.0, 40.0]]), np.array([6]), np.array([20.0]), np.array([1.0]))
    with pytest.raises(InputError, match="lies outside a box of 20 px"):
        density_in_box(atom_points(atoms, 1.2), 20, 1.2)
