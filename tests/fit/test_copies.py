"""Copies of an asymmetric unit: a symmetric map whatever the unit is, true derivatives, and a unit that makes up u."""

import math

import numpy as np
import pytest
import torch
from fit_cases import correlation

from gemmap.fit.copies import ALONE, Copies
from gemmap.fit.parameters import Parameters
from gemmap.gaussians.covariance import covariances
from gemmap.geometry.symmetry import point_group

CPU = torch.device("cpu")
GROUPS = ["C2", "C3", "C4", "D2", "D3", "T", "O", "I1"]


def copies_of(name: str) -> Copies:
    return Copies.of(point_group(name), CPU)


def unit(n: int, reach: float = 4.0, seed: int = 0) -> Parameters:
    """Gaussians of any shape within a few voxels."""
    draw = torch.Generator().manual_seed(seed)
    return Parameters(
        reach * (2 * torch.rand((n, 3), generator=draw) - 1),
        math.log(1.3) + 0.3 * torch.randn((n, 3), generator=draw),
        torch.randn((n, 4), generator=draw),
        torch.randn(n, generator=draw),
    )


def turned(volume: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """V(R x) at the voxels x, for a rotation of the grid about the middle voxel of an odd cube."""
    half = len(volume) // 2
    axis = np.arange(-half, half + 1)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    x, y, z = np.rint(np.einsum("ij,jzyx->izyx", rotation, np.stack([x, y, z]))).astype(int) + half
    return volume[z, y, x]


@pytest.mark.parametrize("name", GROUPS)
def test_copies_are_the_turned_gaussians_in_blocks_behind_the_unit(name: str) -> None:
    group, one = point_group(name), unit(3)
    whole = copies_of(name).expand(one)
    assert len(whole) == 3 * len(group)
    cov = covariances(one.log_scales.exp(), one.quaternions)
    for g, rotation in enumerate(torch.from_numpy(group.rotations).float()):
        block = Parameters(*(t[3 * g : 3 * g + 3] for t in whole.tensors()))
        torch.testing.assert_close(block.centres, one.centres @ rotation.T, atol=1e-5, rtol=0)
        turned_cov = covariances(block.log_scales.exp(), block.quaternions)
        torch.testing.assert_close(turned_cov, rotation @ cov @ rotation.T, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(block.log_masses, one.log_masses)
    torch.testing.assert_close(whole.centres[:3], one.centres)


@pytest.mark.parametrize("name", ["C2", "C4", "D2", "D4", "O"])
def test_maps_are_symmetric_to_rounding_where_the_grid_is(name: str) -> None:
    volume = copies_of(name).expand(unit(4)).voxelize(25).numpy()
    assert volume.max() > 0.01
    for rotation in point_group(name).rotations:
        np.testing.assert_allclose(turned(volume, rotation), volume, atol=2e-6 * volume.max())


@pytest.mark.parametrize("name", ["C3", "T", "I1"])
def test_other_groups_hold_between_the_voxels(name: str) -> None:
    """The density of all copies, summed at a point from its closed form, is that at the turned point."""
    whole = copies_of(name).expand(unit(2))
    precision = torch.linalg.inv(covariances(whole.log_scales.exp(), whole.quaternions).double())

    def density(point: torch.Tensor) -> float:
        off = point - whole.centres.double()
        weight = whole.log_masses.double().exp() * precision.det().sqrt()
        return float((weight * torch.exp(-0.5 * torch.einsum("ni,nij,nj->n", off, precision, off))).sum())

    for point in unit(3, seed=5).centres.double():
        for rotation in point_group(name).rotations:
            assert density(torch.from_numpy(rotation) @ point) == pytest.approx(density(point), rel=1e-4)


@pytest.mark.parametrize("name", ["C1", "C3", "D2", "T"])
def test_collected_derivatives_are_those_of_the_unit(name: str) -> None:
    """Against automatic differentiation through the expansion."""
    copies, one = copies_of(name), unit(3)
    against = torch.randn((21, 21, 21), generator=torch.Generator().manual_seed(1))
    slopes = copies.collect(list(copies.expand(one).gather(against)))
    leaves = [t.clone().requires_grad_() for t in one.tensors()]
    (copies.expand(Parameters(*leaves)).voxelize(21) * against).sum().backward()
    for slope, leaf in zip(slopes, leaves, strict=True):
        assert slope.shape == leaf.shape
        torch.testing.assert_close(slope, leaf.grad, rtol=1e-4, atol=1e-4 * float(slope.abs().max()))


def test_without_symmetry_nothing_is_touched() -> None:
    one = unit(2)
    slopes = list(one.tensors())
    voxels = torch.rand((4, 4, 4))
    assert ALONE.expand(one) is one
    assert ALONE.collect(slopes) is slopes
    assert ALONE.asymmetric_unit(voxels) is voxels


@pytest.mark.parametrize("name", GROUPS)
def test_copies_of_the_unit_make_up_symmetric_voxels(name: str) -> None:
    """A smooth symmetric density: the unit is about its part, and Gaussians on its voxels and their copies are it."""
    copies = copies_of(name)
    density = copies.expand(Parameters(
        torch.tensor([[6.0, 2.5, 4.0]]), torch.full((1, 3), math.log(3.0)), torch.tensor([[1.0, 0, 0, 0]]),
        torch.zeros(1),
    )).voxelize(41)  # fmt: skip
    part = copies.asymmetric_unit(density)
    assert float(part.sum()) == pytest.approx(float(density.sum()) / len(copies), rel=0.03)
    assert bool(((part >= 0) & (part <= density)).all())
    voxels = torch.nonzero(part)
    n = len(voxels)
    assert n < 2.5 * int((density > 0).sum()) / len(copies)
    on_voxels = Parameters(
        (voxels.flip(1) - 20).float(), torch.full((n, 3), math.log(0.7)), torch.tensor([[1.0, 0, 0, 0]]).repeat(n, 1),
        part[tuple(voxels.unbind(1))].log(),
    )  # fmt: skip
    assert correlation(copies.expand(on_voxels).voxelize(41).numpy(), density.numpy()) > 0.99


def test_voxels_on_the_axis_are_shared_alike() -> None:
    voxels = torch.zeros((9, 9, 9))
    voxels[:, 4, 4] = 6.0
    torch.testing.assert_close(copies_of("C3").asymmetric_unit(voxels)[:, 4, 4], torch.full((9,), 2.0))
    voxels = torch.zeros((9, 9, 9))
    voxels[4, 4, 4] = 24.0
    assert float(copies_of("O").asymmetric_unit(voxels)[4, 4, 4]) == pytest.approx(1.0)
    assert not copies_of("O").asymmetric_unit(torch.zeros((9, 9, 9))).any()
