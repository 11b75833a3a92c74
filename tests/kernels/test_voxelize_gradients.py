"""Derivatives of the voxelised Gaussians, judged as vectors."""

import numpy as np
import oracles
import pytest
import torch
from test_voxelize import BACKENDS, SLOWER, random_set

from gemmap.kernels import ops, reference

NAMES = ("centres", "scales", "quaternions", "masses")


def residual(size, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(5).normal(size=(size, size, size))).to(dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("size", "n", "cut"), [(1, 3, 3.5), (7, 5, 2.0), (8, 5, 3.5), (7, 4, 6.0), (7, 0, 3.5)])
def test_gather_agrees_with_central_differences_of_the_oracle(size, n, cut, backend):
    dtype = torch.float64 if backend == "reference" else torch.float32
    gaussians = [a.to(dtype) for a in random_set(n, size, seed=size)]
    got = ops.voxelize_gather(residual(size, dtype), *gaussians, cut, backend)
    expected = oracles.gradients(residual(size, dtype).numpy(), *gaussians, cut)
    for name, a, b in zip(NAMES, got, expected, strict=True):
        assert a.shape == b.shape
        distance, angle, bias = oracles.disagreement(a, b)
        assert (name, distance < 1e-6, angle < 1e-12, abs(bias) < 1e-6) == (name, True, True, True)


@pytest.mark.parametrize("size", [1, 7, 16, 33])
@pytest.mark.parametrize("n", [0, 1, 37])
def test_numba_agrees_with_the_reference_in_float64(size, n):
    gaussians = random_set(n, size, seed=size + n)
    got = ops.voxelize_gather(residual(size), *gaussians, 3.5, "numba")
    expected = reference.voxelize_gather(residual(size).double(), *(a.double() for a in gaussians), 3.5)
    for a, b in zip(got, expected, strict=True):
        distance, angle, bias = oracles.disagreement(a, b)
        assert distance < 5e-7
        assert angle < 1e-12
        assert abs(bias) < 5e-7


def test_each_row_keeps_its_length():
    gaussians = random_set(200, 16, scales=(0.7, 1.0))
    got = ops.voxelize_gather(residual(16), *gaussians, 3.5, "numba")
    expected = reference.voxelize_gather(residual(16).double(), *(a.double() for a in gaussians), 3.5)
    for a, b in zip(got, expected, strict=True):
        size = b.abs() if b.ndim == 1 else b.norm(dim=1)
        length = (a.abs() if b.ndim == 1 else a.norm(dim=1)).double()
        seen = size > 1e-3 * size.max()
        assert seen.any()
        torch.testing.assert_close(length[seen], size[seen], rtol=1e-4, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_backward_is_the_gather(backend):
    gaussians = [a.requires_grad_() for a in random_set(37, 16)]
    loss = (ops.voxelize(*gaussians, 16, 3.5, backend) * residual(16)).sum()
    loss.backward()
    expected = ops.voxelize_gather(residual(16), *gaussians, 3.5, backend)
    for a, g in zip(gaussians, expected, strict=True):
        assert torch.equal(a.grad, g)
        assert not g.requires_grad


@pytest.mark.parametrize("backend", SLOWER)
def test_gather_is_the_adjoint_in_the_masses(backend):
    centres, scales, quaternions, masses = random_set(37, 16)
    volume = ops.voxelize(centres, scales, quaternions, masses, 16, 3.5, backend)
    g_masses = ops.voxelize_gather(residual(16), centres, scales, quaternions, masses, 3.5, backend)[3]
    left = (volume.double() * residual(16).double()).sum()
    np.testing.assert_allclose(left, (masses.double() * g_masses.double()).sum(), rtol=1e-5)


@pytest.mark.parametrize("cut", [2.5, 40.0])
def test_gradcheck_of_reference_and_op(cut):
    gaussians = [a.double() for a in random_set(4, 6, seed=3, scales=(0.6, 1.5))]
    for parameters in zip(*gaussians, strict=True):
        square = oracles.one_gaussian(*parameters, 6)[1]
        assert np.abs(np.sqrt(square) - cut).min() > 1e-4, "a voxel at the boundary of the support: choose another seed"
    inputs = tuple(a.requires_grad_() for a in gaussians)
    weight = residual(6, torch.float64)
    assert torch.autograd.gradcheck(lambda *p: (weight * reference.voxelize(*p, 6, cut)).sum(), inputs)
    assert torch.autograd.gradcheck(lambda *p: (weight * ops.voxelize(*p, 6, cut)).sum(), inputs)


@pytest.mark.parametrize("backend", SLOWER)
def test_only_what_is_needed_and_an_expanded_gradient(backend):
    centres, scales, quaternions, masses = random_set(37, 16)
    masses.requires_grad_()
    ops.voxelize(centres, scales, quaternions, masses, 16, 3.5, backend).sum().backward()
    assert centres.grad is None
    expected = ops.voxelize_gather(torch.ones(16, 16, 16), centres, scales, quaternions, masses.detach(), 3.5, backend)
    assert torch.equal(masses.grad, expected[3])


def test_a_second_derivative_raises():
    centres, *others = random_set(3, 8)
    centres.requires_grad_()
    loss = ops.voxelize(centres, *others, 8).square().sum()
    (grad,) = torch.autograd.grad(loss, centres, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_in_the_gradient_reaches_the_caller(backend):
    gaussians = random_set(37, 8)
    got = ops.voxelize_gather(torch.full((8, 8, 8), torch.nan), *gaussians, 3.5, backend)
    assert all(g.isnan().any() for g in got)
