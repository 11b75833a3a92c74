"""Derivatives of the projected Gaussians and of their poses, judged as vectors."""

import numpy as np
import oracles
import oracles_project
import pytest
import torch
from test_project import BACKENDS, poses
from test_voxelize import random_set

from gemmap.kernels import ops, reference_project

NAMES = ("centres", "scales", "quaternions", "masses", "tangents", "shifts")


def residual(b, size, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(5).normal(size=(b, size, size))).to(dtype)


def doubled(inputs):
    return [a.double() for a in inputs]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("size", "n", "b", "cut"),
    [(1, 3, 2, 3.5), (7, 5, 2, 2.0), (8, 5, 1, 3.5), (7, 4, 3, 6.0), (7, 0, 2, 3.5), (7, 2, 0, 3.5)],
)
def test_gather_agrees_with_central_differences_of_the_oracle(size, n, b, cut, backend):
    dtype = torch.float64 if backend == "reference" else torch.float32
    inputs = [a.to(dtype) for a in (*random_set(n, size, seed=size), *poses(b, seed=size))]
    got = ops.project_gather(residual(b, size, dtype), *inputs, cut, backend)
    expected = oracles_project.gradients(residual(b, size, dtype).numpy(), *inputs, cut)
    assert got._fields == NAMES
    for name, a, e in zip(NAMES, got, expected, strict=True):
        assert a.shape == e.shape
        distance, angle, bias = oracles.disagreement(a, e)
        assert (name, distance < 2e-6, angle < 2e-12, abs(bias) < 2e-6) == (name, True, True, True)


@pytest.mark.parametrize("size", [1, 7, 16, 33])
@pytest.mark.parametrize("n", [0, 1, 37, 1100])
def test_numba_agrees_with_the_reference_in_float64(size, n):
    inputs = [*random_set(n, size, seed=size + n), *poses(3, seed=n)]
    got = ops.project_gather(residual(3, size), *inputs, 3.5, "numba")
    expected = ops.project_gather(residual(3, size).double(), *doubled(inputs), 3.5, "reference")
    for name, a, e in zip(NAMES, got, expected, strict=True):
        distance, angle, bias = oracles.disagreement(a, e)
        assert (name, distance < 1e-6, angle < 1e-12, abs(bias) < 1e-6) == (name, True, True, True)


def test_wide_gaussians_whose_windows_are_taken_in_parts():
    inputs = [*random_set(5, 90, scales=(15.0, 40.0)), *poses(2)]
    got = ops.project_gather(residual(2, 131), *inputs, 3.5, "numba")
    expected = ops.project_gather(residual(2, 131).double(), *doubled(inputs), 3.5, "reference")
    for a, e in zip(got, expected, strict=True):
        assert oracles.disagreement(a, e)[0] < 3e-6


def test_each_row_keeps_its_length():
    inputs = [*random_set(200, 16, scales=(0.7, 1.0)), *poses(4)]
    got = ops.project_gather(residual(4, 16), *inputs, 3.5, "numba")
    expected = ops.project_gather(residual(4, 16).double(), *doubled(inputs), 3.5, "reference")
    for a, e in zip(got, expected, strict=True):
        size = e.abs() if e.ndim == 1 else e.norm(dim=1)
        length = (a.abs() if e.ndim == 1 else a.norm(dim=1)).double()
        seen = size > 1e-3 * size.max()
        assert seen.any()
        torch.testing.assert_close(length[seen], size[seen], rtol=1e-4, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_backward_is_the_gather(backend):
    inputs = [a.requires_grad_() for a in (*random_set(37, 16), *poses(3))]
    (ops.project(*inputs, 16, 3.5, backend) * residual(3, 16)).sum().backward()
    expected = ops.project_gather(residual(3, 16), *inputs, 3.5, backend)
    grads = [a.grad for a in inputs]
    assert not grads[4][:, 2].any(), "the last row of A is not read"
    grads[4] = ops.rotation_tangents(grads[4], inputs[4].detach())
    for a, g in zip(grads, expected, strict=True):
        assert torch.equal(a, g)
        assert not g.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_gather_is_the_adjoint_in_the_masses(backend):
    centres, scales, quaternions, masses = random_set(37, 16)
    images = ops.project(centres, scales, quaternions, masses, *poses(3), 16, 3.5, backend)
    gathered = ops.project_gather(residual(3, 16), centres, scales, quaternions, masses, *poses(3), 3.5, backend)
    left = (images.double() * residual(3, 16).double()).sum()
    np.testing.assert_allclose(left, (masses.double() * gathered.masses.double()).sum(), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_is_taken_after_the_rotation(backend):
    # One Gaussian on the x axis of the image, 4 pixels out: a turn by w_z moves it along +y, one by w_y does not.
    rotation = poses(1)[0]
    centre = rotation[0].T @ torch.tensor([4.0, 0.0, 0.0])
    gaussian = [centre[None], torch.ones(1, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.ones(1)]
    ramp = torch.arange(17.0).repeat(1, 17, 1).mT.contiguous()  # grows along y
    g = ops.project_gather(ramp, *gaussian, rotation, torch.zeros(1, 2), 5.0, backend)
    torch.testing.assert_close(g.tangents, torch.tensor([[0.0, 0.0, 4.0]]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(g.shifts, torch.tensor([[0.0, -1.0]]), rtol=1e-3, atol=1e-3)


def magnified(rotations):
    """Views through a magnification that stretches, shears and scales."""
    m = torch.eye(3, dtype=rotations.dtype)
    m[:2, :2] = torch.tensor([[1.25, 0.1], [-0.15, 0.8]])
    return m @ rotations


@pytest.mark.parametrize("size", [7, 16, 33])
def test_numba_agrees_with_the_reference_for_views_that_are_no_rotations(size):
    *gaussians, rotations, shifts = [*random_set(37, size, seed=size), *poses(3, seed=1)]
    inputs = [*gaussians, magnified(rotations), shifts]
    images = ops.project(*inputs, size, 3.5, "numba")
    assert oracles.disagreement(images, oracles_project.project(*inputs, size, 3.5))[0] < 1e-6
    got = ops.project_gather(residual(3, size), *inputs, 3.5, "numba")
    expected = ops.project_gather(residual(3, size).double(), *doubled(inputs), 3.5, "reference")
    for a, e in zip(got, expected, strict=True):
        assert oracles.disagreement(a, e)[0] < 1e-6


@pytest.mark.parametrize("view", [lambda a: a, magnified])
@pytest.mark.parametrize("cut", [2.5, 12.0])
def test_gradcheck_of_reference_and_op(cut, view):
    inputs = [a.double() for a in (*random_set(4, 6, seed=3, scales=(0.6, 1.5)), *poses(2, seed=1))]
    inputs[4] = view(inputs[4])
    for parameters in zip(*inputs[:4], strict=True):
        for pose in zip(*inputs[4:], strict=True):
            square = oracles_project.one_gaussian(*parameters, *pose, 6)[1]
            assert np.abs(np.sqrt(square) - cut).min() > 1e-4, "a pixel at the boundary: choose another seed"
    inputs = tuple(a.requires_grad_() for a in inputs)
    weight = residual(2, 6, torch.float64)
    assert torch.autograd.gradcheck(lambda *p: (weight * reference_project.project(*p, 6, cut)).sum(), inputs)
    assert torch.autograd.gradcheck(lambda *p: (weight * ops.project(*p, 6, cut)).sum(), inputs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_what_is_needed_and_an_expanded_gradient(backend):
    *gaussians, rotations, shifts = [*random_set(37, 16), *poses(3)]
    shifts.requires_grad_()
    ops.project(*gaussians, rotations, shifts, 16, 3.5, backend).sum().backward()
    assert rotations.grad is None
    assert all(a.grad is None for a in gaussians)
    expected = ops.project_gather(torch.ones(3, 16, 16), *gaussians, rotations, shifts.detach(), 3.5, backend)
    assert torch.equal(shifts.grad, expected.shifts)


def test_a_second_derivative_raises():
    inputs = [*random_set(3, 8), *poses(2)]
    inputs[5].requires_grad_()
    loss = ops.project(*inputs, 8).square().sum()
    (grad,) = torch.autograd.grad(loss, inputs[5], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_in_the_gradient_reaches_the_caller_from_its_image_only(backend):
    grad = residual(2, 8)
    grad[1] = torch.nan
    got = ops.project_gather(grad, *random_set(37, 8), *poses(2), 3.5, backend)
    assert all(g.isnan().any() for g in got)
    assert not got.tangents[0].isnan().any()
    assert not got.shifts[0].isnan().any()
