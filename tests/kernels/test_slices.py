"""Weighing and inserting slices: both backends against direct formulas, and numba against the reference."""

import numpy as np
import oracles_insert as oracle
import pytest
import torch
from backends import INTERPRETED, INTERPRETED_SLOWLY
from oracles import disagreement

from gemmap.kernels import reference_insert, slices
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.image_model import ImageModel, image_coefficients

BACKENDS = ("numba", "reference", INTERPRETED)
SLOWER = ("numba", "reference", INTERPRETED_SLOWLY)
PIXEL_SIZE_A = 2.2
CTFS = {
    "plain": {},
    "phase plate, B-factor, scale": {"phase_deg": 80.0, "b_a2": 60.0, "scale": 0.7},
    "growing": {"b_a2": -30.0, "q0": 0.0},
}


def half_turns():
    """Poses that put rows of the slice exactly on grid planes, or almost: x and z of a whole row are 0 or 1e-11."""
    quarter = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    nearly = np.array([[1e-11, 0, -1], [0, 1, 0], [1, 0, 1e-11]])
    return np.array([np.eye(3), np.diag([-1.0, 1, -1]), np.diag([1.0, -1, -1]), quarter, nearly, nearly.T, quarter.T])


class Case:
    """n random images with everything that varies between particles, as slices.prepare takes it."""

    def __init__(self, n, d, seed=0, ctf="plain", n_groups=3):
        rng = np.random.default_rng(seed)
        u = rng.uniform(5000, 20000, n)
        self.optics = None
        if ctf:
            same = {"angle_deg": 50.0, "cs_mm": 2.0, "q0": 0.1, **CTFS[ctf]}
            self.optics = [{"u": a, "v": a - 700.0, "kv": 200.0 + 100 * (i % 2), **same} for i, a in enumerate(u)]
        self.images = rng.normal(size=(n, d, d)).astype(np.float32)
        self.shifts_a = rng.normal(scale=8.0, size=(n, 2))
        self.scales = rng.uniform(0.5, 2.0, n)
        self.group = np.arange(n) % n_groups
        self.inverse_noise = rng.uniform(0.2, 3.0, (n_groups, d))
        self.rotations = oracle.random_rotations(n, rng)

    def ctf(self):
        if self.optics is None:
            return None

        def column(name, default=np.nan):
            return np.array([o.get(name, default) for o in self.optics])

        return CtfParameters(
            defocus_u_a=column("u"),
            defocus_v_a=column("v"),
            defocus_angle_rad=np.radians(column("angle_deg")),
            voltage_kv=column("kv"),
            cs_mm=column("cs_mm"),
            amplitude_contrast=column("q0"),
            phase_shift_rad=np.radians(column("phase_deg", 0.0)),
            bfactor_a2=column("b_a2", 0.0),
            scale=column("scale", 1.0),
        )

    def prepare(self, backend="auto"):
        return slices.prepare(self.images, self.model(), self.group, self.inverse_noise, backend)

    def model(self):
        side_a = self.images.shape[-1] * PIXEL_SIZE_A
        coefficients = image_coefficients(self.ctf(), len(self.images), side_a)
        return ImageModel(coefficients, self.scales, self.shifts_a / side_a, self.rotations)

    def expected(self, i, k):
        """Numerator and weight of image i at integer points k, by direct sums."""
        d = self.images.shape[1]
        factor = self.scales[i] * np.ones(len(k))
        if self.optics is not None:
            factor = factor * oracle.ctf(k, d, PIXEL_SIZE_A, **self.optics[i])
        precision = self.inverse_noise[self.group[i]][np.floor(np.hypot(*k.T) + 0.5).astype(int)]
        centred = np.exp(-2j * np.pi * (k @ self.shifts_a[i]) / (d * PIXEL_SIZE_A))
        y = oracle.image_transform(self.images[i].astype(float), k)
        return factor * precision * y * centred, factor**2 * precision


def assert_same_vectors(got, expected, tolerance):
    """Each of (Re, Im) and weight on its own: they differ in size."""
    for part in (slice(0, 2), slice(2, 3)):
        distance, angle, bias = disagreement(got[..., part], expected[..., part])
        assert distance < tolerance
        assert abs(angle) < tolerance
        assert abs(bias) < tolerance


def empty_volume(m, dtype=np.float32):
    return np.zeros((m, m, m // 2 + 1, 3), dtype)


def inserted(case, m, backend, dtype=np.float32):
    volume = empty_volume(m, dtype)
    slices.insert(case.prepare(backend), case.rotations, volume, backend)
    slices.complete_plane(volume, backend)
    return volume


@pytest.mark.parametrize("backend", SLOWER)
@pytest.mark.parametrize("d", [16, 15, 30])
@pytest.mark.parametrize("ctf", [*CTFS, None])
def test_prepared_values_are_the_direct_sums(d, ctf, backend):
    case = Case(2, d, seed=d, ctf=ctf)
    prepared = case.prepare(backend)
    assert prepared.shape == (2, d, d // 2 + 1, 3)
    assert prepared.dtype == np.float32
    axis = np.arange(-((d - 1) // 2), (d - 1) // 2 + 1)
    k = np.array([(kx, ky) for kx in range(d // 2 + 1) for ky in axis if 4 * (kx**2 + ky**2) < d**2])
    used = np.zeros((d, d // 2 + 1), bool)
    used[k[:, 1], k[:, 0]] = True
    for i in range(2):
        numerator, weight = case.expected(i, k)
        expected = np.stack([numerator.real, numerator.imag, weight], -1)
        assert_same_vectors(prepared[i, k[:, 1], k[:, 0]], expected, 3e-6)
    assert not prepared[:, ~used].any()


@pytest.mark.parametrize("d", [16, 20, 30, 21])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_numba_prepares_what_the_reference_prepares(n, d):
    case = Case(n, d, seed=n, ctf="phase plate, B-factor, scale")
    got, expected = case.prepare("numba"), case.prepare("reference")
    assert got.shape == expected.shape == (n, d, d // 2 + 1, 3)
    assert_same_vectors(got, expected, 1e-6)


@pytest.mark.parametrize("d", [16, 20, 30, 21])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_numba_inserts_what_the_reference_inserts(n, d):
    case = Case(n, d, seed=10 + n)
    m = (3 * d) // 2
    got, expected = inserted(case, m, "numba"), inserted(case, m, "reference")
    assert (n == 0) == (not expected.any())
    assert_same_vectors(got, expected, 1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pose", range(7))
def test_poses_on_the_grid(pose, backend):
    """One image at a time, against the full plane: nothing is lost, nothing counted twice, on planes and axes."""
    case = Case(1, 16, seed=pose)
    case.rotations = half_turns()[pose : pose + 1]
    assert_same_vectors(inserted(case, 24, backend), direct_insertion(case, 24), 1e-5)


def direct_insertion(case, m):
    """Half of the full complex grid that the full planes give."""
    d = case.images.shape[1]
    numerator, weight = np.zeros((m, m, m), complex), np.zeros((m, m, m))
    k = oracle.plane_points(d, m)
    for i, rotation in enumerate(case.rotations):
        values = case.expected(i, k)
        numerator += oracle.insert(values[0], oracle.positions(rotation, k), m, d)
        weight += oracle.insert(values[1], oracle.positions(rotation, k), m, d).real
    return np.stack([numerator.real, numerator.imag, weight], -1)[:, :, : m // 2 + 1]


@pytest.mark.parametrize("backend", SLOWER)
@pytest.mark.parametrize(("d", "m"), [(16, 24), (20, 30), (15, 23), (16, 32), (12, 12)])
def test_half_a_plane_does_what_the_full_plane_does(d, m, backend):
    case = Case(5, d, seed=m)
    assert_same_vectors(inserted(case, m, backend), direct_insertion(case, m), 1e-5)


def test_the_reference_in_float64_is_exact():
    case = Case(3, 16, seed=4)
    out = torch.zeros(3, 16, 9, 3, dtype=torch.float64)
    reference_insert.prepare_slices(
        torch.fft.rfft2(torch.from_numpy(case.images).double()),
        torch.from_numpy(case.model().coefficients),
        torch.from_numpy(case.model().shifts),
        torch.from_numpy(case.scales),
        torch.from_numpy(case.group),
        torch.from_numpy(case.inverse_noise),
        out,
    )
    volume = empty_volume(24, np.float64)
    slices.insert(out.numpy(), case.rotations, volume)
    slices.complete_plane(volume)
    np.testing.assert_allclose(volume, direct_insertion(case, 24), atol=1e-11 * np.abs(volume).max())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_reference_on_a_gpu():
    case = Case(3, 16, seed=4)
    volume = torch.zeros(24, 24, 13, 3, dtype=torch.float64, device="cuda")
    reference_insert.insert_slices(
        torch.from_numpy(case.prepare().astype(np.float64)).cuda(), torch.from_numpy(case.rotations).cuda(), volume
    )
    reference_insert.complete_plane(volume)
    assert_same_vectors(volume.cpu().numpy(), direct_insertion(case, 24), 1e-5)


@pytest.mark.parametrize("backend", SLOWER)
def test_insertion_is_the_adjoint_of_sampling(backend):
    """<insert(s), G> over the full grid = <s, trilinear G> over the full planes, for a random Hermitian G."""
    d, m = 16, 24
    case = Case(4, d, seed=8)
    rng = np.random.default_rng(9)
    grid = np.fft.fftn(rng.normal(size=(m, m, m)))
    volume = inserted(case, m, backend).astype(np.float64)
    half = grid[:, :, : m // 2 + 1]
    counted = np.where(np.arange(m // 2 + 1) == 0, 1, 2)
    left = np.sum(counted * (volume[..., 0] * half.real + volume[..., 1] * half.imag))
    left_weight = np.sum(counted * volume[..., 2] * half.real)
    k = oracle.plane_points(d, m)
    right = right_weight = 0.0
    for i, rotation in enumerate(case.rotations):
        numerator, weight = case.expected(i, k)
        sampled = oracle.sample(grid, oracle.positions(rotation, k), d)
        right += np.sum((numerator.conj() * sampled).real)
        right_weight += np.sum(weight * sampled.real)
    assert left == pytest.approx(right, rel=1e-5)
    assert left_weight == pytest.approx(right_weight, rel=1e-5)


@pytest.mark.parametrize("backend", SLOWER)
def test_the_plane_x_0_is_hermitian_and_weights_are_positive(backend):
    m = 24
    volume = inserted(Case(6, 16, seed=2), m, backend)
    mate = -np.arange(m) % m
    plane = volume[:, :, 0]
    mirrored = plane[mate][:, mate]
    np.testing.assert_array_equal(plane[..., 0], mirrored[..., 0])
    np.testing.assert_array_equal(plane[..., 1], -mirrored[..., 1])
    np.testing.assert_array_equal(plane[..., 2], mirrored[..., 2])
    assert (volume[..., 2] >= 0).all()
    assert volume[..., 2].max() > 0


@pytest.mark.parametrize("backend", SLOWER)
def test_called_twice_and_in_parts(backend):
    case = Case(7, 20, seed=3)
    inputs = (case.images, case.shifts_a, case.scales, case.group, case.inverse_noise, case.rotations)
    before = [a.copy() for a in inputs]
    prepared = case.prepare(backend)
    np.testing.assert_array_equal(prepared, case.prepare(backend))
    kept = prepared.copy()
    first, parts = empty_volume(30), empty_volume(30)
    slices.insert(prepared, case.rotations, first, backend)
    for rows in (slice(0, 2), slice(2, 2), slice(2, 7)):
        slices.insert(prepared[rows], case.rotations[rows], parts, backend)
    assert_same_vectors(parts, first, 1e-6)
    again = empty_volume(30)
    slices.insert(prepared, case.rotations, again, backend)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(prepared, kept)
    assert all(np.array_equal(a, b) for a, b in zip(before, inputs, strict=True))


@pytest.mark.parametrize("backend", SLOWER)
def test_a_nan_in_an_image_reaches_the_caller(backend):
    case = Case(2, 16)
    case.images[1, 3, 3] = np.nan
    prepared = case.prepare(backend)
    assert np.isfinite(prepared[0]).all()
    assert np.isnan(prepared[1, 1, 1, :2]).all()
    assert np.isnan(inserted(case, 24, backend)).any()
