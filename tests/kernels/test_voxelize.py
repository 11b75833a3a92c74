"""Values of the voxelised Gaussians: against the oracle, and laws that hold without one."""

import numpy as np
import oracles
import pytest
import torch
from backends import INTERPRETED, INTERPRETED_SLOWLY
from scipy import stats

from gemmap.kernels import ops

BACKENDS = ("reference", "numba", INTERPRETED)
SLOWER = ("numba", "reference", INTERPRETED_SLOWLY)


def random_set(n, size, seed=0, scales=(0.4, 2.5)):
    """Gaussians in and around a cube, float32: centres, scales, quaternions (any length), masses (both signs)."""
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=(n, 3)) * size / 3,
        rng.uniform(*scales, (n, 3)),
        rng.normal(size=(n, 4)),
        rng.normal(size=n),
    )
    return [torch.from_numpy(a.astype(np.float32)) for a in arrays]


def one(centre, scales=(1.0, 1.0, 1.0), quaternion=(1.0, 0.0, 0.0, 0.0), mass=1.0):
    return [torch.tensor([a]) for a in (centre, scales, quaternion)] + [torch.tensor([mass])]


@pytest.mark.parametrize("backend", SLOWER)
@pytest.mark.parametrize("cut", [2.0, 3.5, 6.0])
@pytest.mark.parametrize("n", [0, 1, 37])
@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_agrees_with_the_oracle(size, n, cut, backend):
    gaussians = random_set(n, size, seed=size + n)
    volume = ops.voxelize(*gaussians, size, cut, backend)
    assert volume.shape == (size, size, size)
    assert volume.dtype == torch.float32
    distance, angle, bias = oracles.disagreement(volume, oracles.voxelize(*gaussians, size, cut))
    assert distance < 1e-6
    assert angle < 1e-12
    assert abs(bias) < 5e-7


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_gaussian_at_a_known_voxel(backend):
    volume = ops.voxelize(*one((3.0, -2.0, 1.0), mass=5.0), 12, 3.5, backend)
    assert np.unravel_index(int(volume.argmax()), volume.shape) == (6 + 1, 6 - 2, 6 + 3)
    np.testing.assert_allclose(volume.max().item(), 5 / (2 * np.pi) ** 1.5, rtol=1e-6)
    np.testing.assert_allclose(volume[7, 4, 10].item(), 5 / (2 * np.pi) ** 1.5 * np.exp(-0.5), rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_outside_gives_nothing_and_an_edge_gives_a_part(axis, backend):
    far, edge = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    far[axis], edge[axis] = 4e9, -8.0  # the first voxel of 16
    assert not ops.voxelize(*one(far), 16, 3.5, backend).any()
    volume = ops.voxelize(*one(edge), 16, 5.0, backend)
    half = 0.5 * (1 + (2 * np.pi) ** -0.5)  # the half space and half of the plane through the centre
    np.testing.assert_allclose(volume.sum().item(), half, rtol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_needles_sheets_and_giants(backend):
    gaussians = [
        torch.tensor([[0.3, 0.2, -0.4], [1.0, -2.0, 0.5], [40.0, 3.0, -5.0], [0.0, 0.0, 0.0]]),
        torch.tensor([[0.05, 0.05, 8.0], [0.08, 5.0, 5.0], [30.0, 25.0, 20.0], [0.01, 0.01, 0.01]]),
        torch.tensor([[0.6, 0.3, -0.5, 0.2], [0.1, 0.9, 0.3, -0.2], [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 0.0]]),
        torch.tensor([1.0, -1.0, 1e4, 1e-6]),
    ]
    for cut in (3.5, 6.0):
        volume = ops.voxelize(*gaussians, 17, cut, backend)
        assert oracles.disagreement(volume, oracles.voxelize(*gaussians, 17, cut))[0] < (
            1e-6 if backend == "numba" else 2e-5
        )


@pytest.mark.parametrize("backend", SLOWER)
def test_mass_is_conserved_from_scale_0p8(backend):
    centres, scales, quaternions, masses = random_set(37, 12, scales=(0.8, 1.5))
    masses = masses.abs()
    total = ops.voxelize(centres.clamp(-8, 8), scales, quaternions, masses, 32, 5.0, backend).double().sum()
    np.testing.assert_allclose(total, masses.double().sum(), rtol=5e-5)


@pytest.mark.parametrize("backend", SLOWER)
def test_missing_mass_falls_with_the_cut_as_the_chi_distribution(backend):
    centres, scales, quaternions, _ = random_set(60, 3, scales=(1.5, 2.5))
    for cut in (1.5, 2.5, 3.5):
        total = ops.voxelize(centres, scales, quaternions, torch.ones(60), 48, cut, backend).double().sum() / 60
        np.testing.assert_allclose(1 - total, stats.chi.sf(cut, 3), rtol=0.05)


@pytest.mark.parametrize("backend", SLOWER)
def test_linear_in_the_masses(backend):
    centres, scales, quaternions, a = random_set(37, 16)
    b = torch.linspace(-1, 2, 37)
    parts = [ops.voxelize(centres, scales, quaternions, m, 16, 3.5, backend) for m in (a, b, 2 * a - 3 * b)]
    torch.testing.assert_close(parts[2], 2 * parts[0] - 3 * parts[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", SLOWER)
def test_a_quarter_turn_about_z_permutes_the_volume(backend):
    (x, y, z), scales, (qw, qx, qy, qz), masses = (
        a if a.ndim == 1 or i == 1 else a.T for i, a in enumerate(random_set(37, 17))
    )
    turned = torch.stack([qw - qz, qx - qy, qy + qx, qz + qw], 1)  # (1, 0, 0, 1) q
    before = ops.voxelize(torch.stack([x, y, z], 1), scales, torch.stack([qw, qx, qy, qz], 1), masses, 17, 3.5, backend)
    after = ops.voxelize(torch.stack([-y, x, z], 1), scales, turned, masses, 17, 3.5, backend)
    torch.testing.assert_close(after, before.transpose(1, 2).flip(2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", SLOWER)
def test_length_and_sign_of_a_quaternion_mean_nothing(backend):
    centres, scales, quaternions, masses = random_set(37, 16)
    factor = torch.linspace(-3, 3.1, 37)[:, None]
    volumes = [ops.voxelize(centres, scales, q, masses, 16, 3.5, backend) for q in (quaternions, factor * quaternions)]
    torch.testing.assert_close(*volumes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_bits_twice_and_inputs_untouched(backend):
    gaussians = random_set(37, 16)
    copies = [a.clone() for a in gaussians]
    first, second = (ops.voxelize(*gaussians, 16, 3.5, backend) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(gaussians, copies, strict=True))


@pytest.mark.parametrize("backend", SLOWER)
def test_strided_inputs(backend):
    gaussians = random_set(37, 16)
    strided = [torch.stack([a, a + 1], -1)[..., 0] for a in gaussians]
    assert not strided[0].is_contiguous()
    assert torch.equal(ops.voxelize(*strided, 16, 3.5, backend), ops.voxelize(*gaussians, 16, 3.5, backend))
