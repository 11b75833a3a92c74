"""Values of the projected Gaussians: against the oracle, and laws that hold without one."""

import numpy as np
import oracles
import oracles_project
import pytest
import torch
from scipy import integrate, stats
from scipy.spatial.transform import Rotation
from test_voxelize import BACKENDS, SLOWER, one, random_set

from gemmap.kernels import ops

# RELION's (rot, tilt, psi) = (33, 77, -141), from docs/conventions.md.
GOLDEN = [[0.196136, -0.623006, 0.757228], [0.541992, -0.574667, -0.613191], [0.817175, 0.530680, 0.224951]]


def poses(b, seed=0, shift=1.5):
    """Rotations and shifts in float32."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(b, random_state=seed).as_matrix() if b else np.zeros((0, 3, 3))
    return [torch.from_numpy(a.astype(np.float32)) for a in (rotations, rng.normal(size=(b, 2)) * shift)]


def still(b=1):
    return [torch.eye(3).repeat(b, 1, 1), torch.zeros(b, 2)]


@pytest.mark.parametrize("backend", SLOWER)
@pytest.mark.parametrize("cut", [2.0, 3.5, 6.0])
@pytest.mark.parametrize(("n", "b"), [(0, 2), (1, 1), (37, 0), (37, 3)])
@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_agrees_with_the_oracle(size, n, b, cut, backend):
    inputs = [*random_set(n, size, seed=size + n), *poses(b, seed=size)]
    images = ops.project(*inputs, size, cut, backend)
    assert images.shape == (b, size, size)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    expected = oracles_project.project(*inputs, size, cut)
    distance, angle, bias = oracles.disagreement(images, expected)
    # The others take offsets in float32, which counts where only the tail of a Gaussian is in the image.
    assert distance < (1e-6 if backend == "numba" else 3e-6)
    assert angle < 1e-12
    assert abs(bias) < (5e-7 if backend == "numba" else 3e-6)


@pytest.mark.parametrize("cut", [2.0, 3.5, 6.0])
@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_reference_in_float64_agrees_with_the_oracle(size, cut):
    inputs = [a.double() for a in (*random_set(37, size, seed=size), *poses(3, seed=size))]
    images = ops.project(*inputs, size, cut)
    assert images.dtype == torch.float64
    assert oracles.disagreement(images, oracles_project.project(*inputs, size, cut))[0] < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_pixel_is_the_line_integral_of_the_density(backend):
    gaussian = one((1.2, -0.7, 0.4), (0.9, 1.7, 1.3), (0.5, -0.3, 0.7, 0.4), 3.0)
    rotation, shift = torch.tensor([GOLDEN]), torch.tensor([[0.6, -1.1]])
    image = ops.project(*gaussian, rotation, shift, 9, 8.0, backend)[0]
    own = oracles.rotation(gaussian[2][0])
    density = stats.multivariate_normal(gaussian[0][0], own @ np.diag(gaussian[1][0].double() ** 2) @ own.T)
    for y, x in ((4, 4), (3, 5), (6, 2)):
        # The pixel (x, y) shows what is seen at (x, y) + s: the observed image moves by +s to be centred.
        seen = np.array([x - 4 + 0.6, y - 4 - 1.1])
        line = integrate.quad(lambda z, seen=seen: density.pdf(np.array(GOLDEN).T @ [*seen, z]), -30, 30, points=[0])[0]
        np.testing.assert_allclose(image[y, x], 3 * line, rtol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rotation_and_sign_of_the_shift_at_known_pixels(backend):
    image = ops.project(
        *one((3.0, -2.0, 1.0), mass=5.0), torch.eye(3)[None], torch.tensor([[1.0, 2.0]]), 12, 3.5, backend
    )
    assert np.unravel_index(int(image.argmax()), image.shape) == (0, 6 - 2 - 2, 6 + 3 - 1)
    np.testing.assert_allclose(image.max().item(), 5 / (2 * np.pi), rtol=1e-6)
    np.testing.assert_allclose(image[0, 2, 9].item(), 5 / (2 * np.pi) * np.exp(-0.5), rtol=1e-6)
    a = np.array(GOLDEN)
    x, y, _ = a @ [20.0, -10.0, 5.0]  # 13.94, 13.52
    image = ops.project(*one((20.0, -10.0, 5.0)), torch.tensor([GOLDEN]), torch.zeros(1, 2), 64, 3.5, backend)
    assert np.unravel_index(int(image.argmax()), image.shape) == (0, 32 + round(y), 32 + round(x))


@pytest.mark.parametrize("backend", SLOWER)
def test_transform_is_the_central_slice_of_the_voxelised_map(backend):
    size = 33
    centres, scales, quaternions, masses = random_set(20, 9, scales=(1.0, 1.3))
    centres = centres.clamp(-4, 4)  # nothing is clipped
    rotations, shifts = poses(4, seed=3)
    volume = ops.voxelize(centres, scales, quaternions, masses, size, 6.0, backend).double().numpy()
    images = ops.project(centres, scales, quaternions, masses, rotations, shifts, size, 6.0, backend).double().numpy()
    grid = np.arange(size) - size // 2
    ky, kx = (k.ravel() for k in np.meshgrid(grid, grid, indexing="ij"))
    near = np.hypot(kx, ky) < 0.35 * size
    plane = np.stack([kx, ky, 0 * kx], 1)[near]
    voxels = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1)[..., ::-1].reshape(-1, 3)
    for image, rotation, shift in zip(images, rotations.double().numpy(), shifts.double().numpy(), strict=True):
        in_map = plane @ rotation  # A^T k
        section = np.exp(-2j * np.pi / size * (in_map @ voxels.T)) @ volume.ravel()
        expected = section * np.exp(2j * np.pi * (plane[:, :2] @ shift) / size)
        transform = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))).ravel()[near]
        assert np.linalg.norm(transform - expected) / np.linalg.norm(expected) < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_outside_gives_nothing_and_an_edge_gives_a_part(axis, last, backend):
    far, edge = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    far[axis], edge[axis] = 4e9, 7.0 if last else -8.0  # the last and the first pixel of 16
    assert not ops.project(*one(far), *still(), 16, 3.5, backend).any()
    image = ops.project(*one(edge), *still(), 16, 5.0, backend)
    half = 0.5 * (1 + (2 * np.pi) ** -0.5)  # the half plane and half of the line through the centre
    np.testing.assert_allclose(image.sum().item(), half, rtol=1e-4)
    edge[axis] += 2.0 if last else -2.0  # centre outside, support reaching in
    whole = ops.project(*one(edge), *still(), 32, 5.0, backend)[0, 8:24, 8:24]
    torch.testing.assert_close(ops.project(*one(edge), *still(), 16, 5.0, backend)[0], whole)
    assert whole.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_third_axis_does_not_clip(backend):
    images = [ops.project(*one((0.0, 0.0, z)), *still(), 16, 3.5, backend) for z in (0.0, 1e3)]
    assert torch.equal(*images)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cut", [3.5, 6.0, 30.0])
def test_needles_sheets_and_giants(cut, backend):
    gaussians = [
        torch.tensor([[0.3, 0.2, -0.4], [1.0, -2.0, 0.5], [40.0, 3.0, -5.0], [0.0, 0.0, 0.0]]),
        torch.tensor([[0.05, 0.05, 8.0], [0.08, 5.0, 5.0], [30.0, 25.0, 20.0], [1e-3, 1e-3, 1e-3]]),
        torch.tensor([[0.6, 0.3, -0.5, 0.2], [0.1, 0.9, 0.3, -0.2], [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 0.0]]),
        torch.tensor([1.0, -1.0, 1e4, 1e-6]),
    ]
    inputs = [*gaussians, *poses(3)]
    images = ops.project(*inputs, 17, cut, backend)
    expected = oracles_project.project(*inputs, 17, cut)
    assert oracles.disagreement(images, expected)[0] < (1e-6 if backend == "numba" else 2e-5)


def test_a_support_far_wider_than_a_run_of_pixels():
    inputs = [*random_set(5, 90, scales=(15.0, 40.0)), *poses(2)]
    expected = oracles_project.project(*inputs, 131, 3.5)
    assert oracles.disagreement(ops.project(*inputs, 131, 3.5, "numba"), expected)[0] < 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scale_needs_no_floor(backend):
    gaussian = one((0.0, 0.0, 0.0), (1e-8, 2e-8, 1e-8))
    image = ops.project(*gaussian, *still(), 9, 3.5, backend)
    assert int(image.count_nonzero()) == 1
    np.testing.assert_allclose(image[0, 4, 4].item(), 1 / (2 * np.pi * 2e-16), rtol=1e-5)


@pytest.mark.parametrize("backend", SLOWER)
def test_mass_is_conserved_from_scale_0p8_in_every_view(backend):
    centres, scales, quaternions, masses = random_set(37, 12, scales=(0.8, 1.5))
    images = ops.project(centres.clamp(-5, 5), scales, quaternions, masses.abs(), *poses(4), 40, 5.0, backend)
    np.testing.assert_allclose(images.double().sum((1, 2)), masses.abs().double().sum(), rtol=5e-5)


@pytest.mark.parametrize("backend", SLOWER)
def test_missing_mass_falls_with_the_cut_as_the_chi_distribution(backend):
    centres, scales, quaternions, _ = random_set(60, 3, scales=(1.5, 2.5))
    for cut in (1.5, 2.5, 3.5):
        images = ops.project(centres, scales, quaternions, torch.ones(60), *poses(2), 48, cut, backend)
        np.testing.assert_allclose(1 - images.double().sum() / 120, stats.chi.sf(cut, 2), rtol=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_in_the_masses(backend):
    centres, scales, quaternions, a = random_set(37, 16)
    b = torch.linspace(-1, 2, 37)
    parts = [ops.project(centres, scales, quaternions, m, *poses(2), 16, 3.5, backend) for m in (a, b, 2 * a - 3 * b)]
    torch.testing.assert_close(parts[2], 2 * parts[0] - 3 * parts[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_does_not_depend_on_its_batch(backend):
    gaussians, (rotations, shifts) = random_set(37, 16), poses(5)
    together = ops.project(*gaussians, rotations, shifts, 16, 3.5, backend)
    for i in range(5):
        alone = ops.project(*gaussians, rotations[i : i + 1], shifts[i : i + 1], 16, 3.5, backend)
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("backend", BACKENDS)
def test_length_and_sign_of_a_quaternion_mean_nothing(backend):
    centres, scales, quaternions, masses = random_set(37, 16)
    factor = torch.linspace(-3, 3.1, 37)[:, None]
    images = [
        ops.project(centres, scales, q, masses, *poses(2), 16, 3.5, backend)
        for q in (quaternions, factor * quaternions)
    ]
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_bits_twice_inputs_untouched_and_strided_inputs(backend):
    inputs = [*random_set(37, 16), *poses(2)]
    copies = [a.clone() for a in inputs]
    first = ops.project(*inputs, 16, 3.5, backend)
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))
    strided = [torch.stack([a, a + 1], -1)[..., 0] for a in inputs]
    assert not strided[0].is_contiguous()
    for again in (inputs, strided):
        assert torch.equal(ops.project(*again, 16, 3.5, backend), first)
