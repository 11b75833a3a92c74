"""The optimised numbers and the Gaussians made of them, against maps by explicit sums."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gemmap.fit.parameters import MAX_SCALE_PX, MIN_SCALE_PX, Parameters, bound, clone, restrict

SIZE = 20


def parameters(n=12, dtype=torch.float32):
    rng = np.random.default_rng(4)

    def tensor(values):
        return torch.from_numpy(np.asarray(values)).to(dtype)

    return Parameters(
        tensor(rng.uniform(-5, 5, (n, 3))),
        tensor(np.log(rng.uniform(0.9, 1.6, (n, 3)))),
        tensor(rng.normal(size=(n, 4))),
        tensor(np.log(rng.uniform(0.5, 3.0, n))),
    )


def by_hand(centres, scales, quaternions_wxyz, masses, size, voxel):
    """Grey values: density at the voxel's centre times its volume, in any one unit of length."""
    z, y, x = np.meshgrid(*[(np.arange(size) - size // 2) * voxel] * 3, indexing="ij")
    points = np.stack([x, y, z], axis=-1)
    volume = np.zeros((size,) * 3)
    for centre, scale, q, mass in zip(centres, scales, quaternions_wxyz, masses, strict=True):
        axes = Rotation.from_quat(np.roll(q, -1)).as_matrix()
        covariance = axes @ np.diag(scale**2) @ axes.T
        d = points - centre
        square = np.einsum("...i,ij,...j->...", d, np.linalg.inv(covariance), d)
        volume += mass * np.exp(-0.5 * square) / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(covariance))
    return volume * voxel**3


@pytest.mark.parametrize(("pixel_size_a", "unit"), [(1.0, 1.0), (2.7, 0.03)])
def test_saved_gaussians_make_the_same_map_in_grey_values(pixel_size_a, unit):
    p = parameters()
    saved = p.to_gaussians(pixel_size_a, unit)
    arrays = [t.double().numpy() for t in (saved.centres_a, saved.scales_a, saved.quaternions, saved.masses)]
    expected = by_hand(*arrays, SIZE, pixel_size_a)
    np.testing.assert_allclose(p.voxelize(SIZE).numpy() * unit, expected, atol=5e-3 * expected.max())
    np.testing.assert_allclose(np.linalg.norm(arrays[2], axis=1), 1.0, rtol=1e-6)
    assert len(p) == len(saved) == 12


def test_gather_is_the_derivative_of_the_map():
    """In double precision, each of the 132 numbers, against central differences of <gradient, map>."""
    p = parameters(dtype=torch.float64)
    gradient = torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = 1e-6
    for index, found in enumerate(p.gather(gradient)):
        expected = torch.zeros_like(found)
        for place in range(found.numel()):
            ends = []
            for sign in (1.0, -1.0):
                moved = clone(p)
                moved.tensors()[index].view(-1)[place] += sign * h
                ends.append(float((gradient * moved.voxelize(SIZE)).sum()))
            expected.view(-1)[place] = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_clone_shares_no_memory():
    p = parameters()
    other = clone(p)
    for mine, theirs in zip(p.tensors(), other.tensors(), strict=True):
        assert torch.equal(mine, theirs)
        theirs.add_(1.0)
        assert not torch.equal(mine, theirs)


def test_scales_stay_within_bounds_and_quaternions_have_unit_length():
    log_scales = torch.tensor([[-9.0, 0.0, 9.0]])
    p = Parameters(torch.zeros(1, 3), log_scales, torch.tensor([[3.0, 0.0, 4.0, 0.0]]), torch.zeros(1))
    bounded = bound(p)
    torch.testing.assert_close(bounded.log_scales.exp(), torch.tensor([[MIN_SCALE_PX, 1.0, MAX_SCALE_PX]]))
    torch.testing.assert_close(bounded.quaternions, torch.tensor([[0.6, 0.0, 0.8, 0.0]]))
    assert bounded is p


@pytest.mark.parametrize("shape", ["free", "axis-aligned", "round", "fixed"])
def test_derivatives_of_fewer_parameters(shape):
    p = parameters(dtype=torch.float64)
    slopes = list(p.gather(torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)))
    before = [s.clone() for s in slopes]
    centres, log_scales, quaternions, log_masses = restrict(slopes, shape)
    assert torch.equal(centres, before[0])
    assert torch.equal(log_masses, before[3])
    assert torch.equal(quaternions, before[2]) == (shape == "free")
    assert bool(quaternions.any()) == (shape == "free")
    if shape in ("free", "axis-aligned"):
        assert torch.equal(log_scales, before[1])
    elif shape == "round":
        # A step common to all axes of a Gaussian changes the loss as the sum of the three derivatives says.
        torch.testing.assert_close(log_scales.sum(dim=1), before[1].sum(dim=1))
        assert float((log_scales - log_scales[:, :1]).abs().max()) == 0.0
    else:
        assert not log_scales.any()
    assert all(torch.equal(a, b) for a, b in zip(slopes, before, strict=True))
