"""Images written by RELION and cryoDRGN, reproduced from geometry, CTF and shifts. Files only, no fit."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from gemmap.geometry.grids import half_plane_frequencies
from gemmap.io.formats import read_particles
from gemmap.io.mrc import read_map
from gemmap.physics.ctf import ctf_half_plane
from gemmap.physics.fourier import centred_rfftn, shift_phase


def correlations(a, b, limit):
    """Correlation coefficients of images given by their half-plane transforms, for 0 < |k| < limit."""
    d = a.shape[1]
    ky, kx = half_plane_frequencies(d)
    k2 = kx**2 + ky**2
    weight = np.where((k2 > 0) & (k2 < limit**2), np.where((kx == 0) | (2 * kx == d), 1, 2), 0)
    power = [np.sum(weight * np.abs(f) ** 2, axis=(1, 2)) for f in (a, b)]
    return np.sum(weight * (a * b.conj()).real, axis=(1, 2)) / np.sqrt(power[0] * power[1])


@pytest.fixture(scope="module")
def point_mass(shared_data):
    """Table, transforms of the 24 images relion_project made of one voxel, and the voxel's place in Å."""
    density, _ = read_map(shared_data / "relion/pointmass.mrc")
    (voxel,) = np.argwhere(density > 0.5 * density.max())
    loaded = read_particles(shared_data / "relion/relion_proj_batch_pfac2.star")
    place_a = (voxel[::-1] - density.shape[0] // 2) * loaded.table.pixel_size_a
    return loaded.table, centred_rfftn(loaded.stack.read(np.arange(24)), 2), place_a


def point_images(rotations, place_a, ctf, shifts_a, d, pixel_size_a):
    ky, kx = half_plane_frequencies(d)
    seen = rotations @ place_a / (d * pixel_size_a)
    wave = np.exp(-2j * np.pi * (kx * seen[:, 0, None, None] + ky * seen[:, 1, None, None]))
    return wave * ctf_half_plane(ctf, d, pixel_size_a).numpy() * shift_phase(shifts_a, d, pixel_size_a).conj()


def test_relion_projections_of_a_point(point_mass):
    table, observed, place_a = point_mass
    np.testing.assert_allclose(place_a, [17 * 3.54, 0, 0], atol=1e-3)
    model = point_images(table.rotations, place_a, table.ctf, table.shifts_a, 64, table.pixel_size_a)
    assert correlations(observed, model, 32).min() > 0.998


@pytest.mark.parametrize("mistake", ["transposed rotation", "other hand", "shift sign", "CTF sign", "half a pixel off"])
def test_the_projections_see_every_mistake(point_mass, mistake):
    table, observed, place_a = point_mass
    rotations, shifts_a, sign = table.rotations, table.shifts_a, 1
    match mistake:
        case "transposed rotation":
            rotations = np.swapaxes(rotations, 1, 2)
        case "other hand":
            # The mirrored object in the same poses: along x, where this one has something to mirror.
            place_a = -place_a
        case "shift sign":
            shifts_a = -shifts_a
        case "CTF sign":
            sign = -1
        case "half a pixel off":
            shifts_a = shifts_a + table.pixel_size_a / 2
    model = sign * point_images(rotations, place_a, table.ctf, shifts_a, 64, table.pixel_size_a)
    assert np.median(correlations(observed, model, 32)) < 0.7


@pytest.fixture(scope="module")
def toy(shared_data):
    folder = shared_data / "cryodrgn"
    loaded = read_particles(
        folder / "toy_projections.mrcs", poses=folder / "toy_rot_zerotrans.pkl", ctf=folder / "test_ctf.pkl"
    )
    rows = np.arange(0, 1000, 50)
    density, _ = read_map(folder / "toymodel_small_nocenter.mrc")
    return loaded.table.select(rows), centred_rfftn(loaded.stack.read(rows), 2), density.astype(np.float64)


def test_cryodrgn_projections_are_sums_over_rotated_voxels(toy):
    """Those projections were made by trilinear rotation of the volume, which this repeats."""
    table, observed, density = toy
    d = len(density)
    z, y, x = np.meshgrid(*[np.arange(d) - d // 2] * 3, indexing="ij")
    lines = np.stack([x, y, z], -1).reshape(-1, 3)
    places = [(lines @ a)[:, ::-1].T + d // 2 for a in table.rotations]
    images = np.array([map_coordinates(density, zyx, order=1).reshape(d, d, d).sum(0) for zyx in places])
    assert correlations(observed, centred_rfftn(images, 2), d / 2).min() > 0.99999


def test_cryodrgn_projections_are_central_slices(toy):
    """Up to a third of Nyquist: beyond it, the interpolation in their making damps the voxels' sharp edges."""
    table, observed, density = toy
    d = len(density)
    ky, kx = (k.ravel() for k in np.broadcast_arrays(*half_plane_frequencies(d)))
    x = np.arange(d) - d // 2
    slices = []
    for a in table.rotations:
        at = np.stack([kx, ky, 0 * kx], -1) @ a
        ex, ey, ez = (np.exp(-2j * np.pi / d * np.outer(at[:, axis], x)) for axis in range(3))
        lines = (density.reshape(d * d, d) @ ex.T).reshape(d, d, -1)
        slices.append(np.einsum("zyn,ny,nz->n", lines, ey, ez, optimize=True).reshape(d, -1))
    model = np.array(slices) * ctf_half_plane(table.ctf, d, table.pixel_size_a).numpy()
    assert correlations(observed, model, d / 6).min() > 0.999
    assert np.median(correlations(observed, model.conj(), d / 6)) < 0.95
