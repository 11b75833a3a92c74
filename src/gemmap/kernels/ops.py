"""The kernels as functions of torch tensors: checks, choice of backend, derivatives.

Lengths are in voxels: a kernel knows no Å.
"""

from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gemmap.kernels import registry
from gemmap.kernels.inputs import DEFAULT_CUT, arrays, check_gaussians, require_like
from gemmap.kernels.projections import project, project_gather, rotation_tangents

__all__ = ["DEFAULT_CUT", "project", "project_gather", "rotation_tangents", "voxelize", "voxelize_gather"]

Gradients: TypeAlias = tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 4"], Float[Tensor, " n"]]


def voxelize(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    size: int,
    cut: float = DEFAULT_CUT,
    backend: str = "auto",
) -> Float[Tensor, "d d d"]:
    """Sum of normalised Gaussians at the voxels of a cube (z, y, x): V(x) = sum_j mass_j N3(x - centre_j; S_j).

    S = R(q) diag(scales^2) R(q)^T. For scales above 0.8 voxels the sum over voxels is the sum of the masses but for the
    mass beyond the cut. Differentiable once in all four tensors (float32 or float64), with the
    support held fixed.

    Parameters
    ----------
    centres
        xyz in voxels from the origin, which is index size//2. Gaussians may lie partly or wholly outside the cube.
    scales
        Standard deviations along the own axes, voxels, > 0.
    quaternions
        wxyz of any length but 0; normalised inside.
    masses
        Integrals; may be negative.
    size
        Side of the cube in voxels.
    cut
        A Gaussian ends at this Mahalanobis distance from its centre.
    backend
        ``auto``, ``numba`` (float32 on the CPU), ``triton`` (float32 on an NVIDIA GPU) or ``reference``.

    Raises
    ------
    ValueError
        If a shape, dtype or device does not fit, or size or cut is not positive.
    NumericsError
        If a value is not finite, a scale is not positive, or a quaternion is zero.
    BackendError
        If the backend asked for cannot run here.
    """
    check_gaussians("voxelize", centres, scales, quaternions, masses, cut)
    if size < 1:
        raise ValueError(f"voxelize: size is {size}; expected at least 1 voxel")
    name = registry.choose("voxelize", centres.device, centres.dtype, backend)
    volume: Tensor = _Voxelize.apply(centres, scales, quaternions, masses, int(size), float(cut), name)  # type: ignore[no-untyped-call]
    return volume


def voxelize_gather(
    grad_volume: Float[Tensor, "d d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    cut: float = DEFAULT_CUT,
    backend: str = "auto",
) -> Gradients:
    """Derivatives of <grad_volume, voxelize(...)> with respect to centres, scales, quaternions and masses.

    The adjoint of :func:`voxelize`, with the same parameters and errors. The support is held fixed: the step of height
    exp(-cut^2/2) at its boundary has no derivative.
    """
    check_gaussians("voxelize_gather", centres, scales, quaternions, masses, cut)
    shape = tuple(grad_volume.shape)
    if len(shape) != 3 or len(set(shape)) != 1:
        raise ValueError(f"voxelize_gather: grad_volume has shape {shape}; expected a cube (size, size, size)")
    require_like("voxelize_gather", "grad_volume", grad_volume, centres)
    name = registry.choose("voxelize_gather", centres.device, centres.dtype, backend)
    with torch.no_grad():
        return _gather(grad_volume, centres, scales, quaternions, masses, float(cut), name)


class _Voxelize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        centres: Tensor,
        scales: Tensor,
        quaternions: Tensor,
        masses: Tensor,
        size: int,
        cut: float,
        backend: str,
    ) -> Tensor:
        ctx.save_for_backward(centres, scales, quaternions, masses)
        ctx.cut, ctx.backend = cut, backend
        function = registry.load("voxelize", backend)
        if backend != "numba":
            return function(centres, scales, quaternions, masses, size, cut)  # type: ignore[no-any-return]
        return torch.from_numpy(function(*arrays(centres, scales, quaternions, masses), size, cut))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_volume: Tensor) -> tuple[Tensor | None, ...]:
        centres, scales, quaternions, masses = ctx.saved_tensors
        gradients = _gather(grad_volume, centres, scales, quaternions, masses, ctx.cut, ctx.backend)
        return (
            *(g if needed else None for g, needed in zip(gradients, ctx.needs_input_grad, strict=False)),
            None,
            None,
            None,
        )


def _gather(
    grad_volume: Tensor, centres: Tensor, scales: Tensor, quaternions: Tensor, masses: Tensor, cut: float, backend: str
) -> Gradients:
    function = registry.load("voxelize_gather", backend)
    if backend != "numba":
        return function(grad_volume, centres, scales, quaternions, masses, cut)  # type: ignore[no-any-return]
    g = function(*arrays(grad_volume, centres, scales, quaternions, masses), cut)
    return torch.from_numpy(g[0]), torch.from_numpy(g[1]), torch.from_numpy(g[2]), torch.from_numpy(g[3])
