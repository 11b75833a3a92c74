"""Gaussians to images as functions of torch tensors: checks, choice of backend, derivatives.

Lengths are in pixels: a kernel knows no Å. Public as :func:`gemmap.kernels.ops.project`.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gemmap.errors import NumericsError
from gemmap.kernels import registry
from gemmap.kernels.inputs import DEFAULT_CUT, arrays, check_gaussians, require_like, require_views


class ProjectionGradients(NamedTuple):
    """Derivatives of <grad_images, project(...)>, those of the Gaussians summed over the images."""

    centres: Float[Tensor, "n 3"]
    scales: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    masses: Float[Tensor, " n"]
    #: With respect to w in A -> exp([w]x) A: a turn about the axes of the image, after A; radians.
    tangents: Float[Tensor, "b 3"]
    shifts: Float[Tensor, "b 2"]


def project(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    size: int,
    cut: float = DEFAULT_CUT,
    backend: str = "auto",
) -> Float[Tensor, "b d d"]:
    """Images (y, x) of Gaussians, before the CTF: P(u) = sum_j mass_j N2(u - (A centre_j)_xy + shift; [A S_j A^T]_2x2).

    This is the integral over z of the rotated density, exact for any shape and orientation; S = R(q) diag(scales^2)
    R(q)^T. It is sampled at the centres of pixels: for scales above 0.8 pixels the sum over pixels is the sum of
    the masses but for the mass beyond the cut. Gaussians at the edge of an image are clipped.

    Differentiable once in all six tensors (float32 or float64), with the support held fixed. The derivative with
    respect to ``rotations`` is that of nine free numbers (0 in the last row, which is not read). A step along it leaves
    the rotations: :func:`rotation_tangents` makes it a derivative with respect to a turn.

    Parameters
    ----------
    centres
        xyz in pixels from the origin, which is index size//2 of an image.
    scales
        Standard deviations along the own axes, pixels. Any positive number: there is no floor.
    quaternions
        wxyz of any length but 0; normalised inside.
    masses
        Integrals; may be negative.
    rotations
        A with p_img = A p_vol, xyz column vectors; or any view whose first two rows see a point so, a rotation with a
        magnification. The third row is not read.
    shifts
        s = (x, y) in pixels: the content of the *observed* image moves by +s to be centred, so the content of the
        projection moves by -s to match it; its transform is multiplied by exp(+2 pi i k.s / size).
    size
        Side of the images in pixels.
    cut
        A Gaussian ends at this Mahalanobis distance from its centre in the image.
    backend
        ``auto``, ``numba`` (float32 on the CPU), ``triton`` (float32 on an NVIDIA GPU) or ``reference``.

    Raises
    ------
    ValueError
        If a shape, dtype or device does not fit, or size or cut is not positive.
    NumericsError
        If a value is not finite, a scale is not positive, a quaternion is zero, or a view is singular.
    BackendError
        If the backend asked for cannot run here.
    """
    _check("project", centres, scales, quaternions, masses, rotations, shifts, cut)
    if size < 1:
        raise ValueError(f"project: size is {size}; expected at least 1 pixel")
    name = registry.choose("project", centres.device, centres.dtype, backend)
    images: Tensor = _Project.apply(  # type: ignore[no-untyped-call]
        centres, scales, quaternions, masses, rotations, shifts, int(size), float(cut), name
    )
    return images


def project_gather(
    grad_images: Float[Tensor, "b d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    cut: float = DEFAULT_CUT,
    backend: str = "auto",
) -> ProjectionGradients:
    """Derivatives of <grad_images, project(...)> with respect to Gaussians, turns and shifts.

    The adjoint of :func:`project`, with the same parameters and errors. The support is held fixed: the step of height
    exp(-cut^2/2) at its boundary has no derivative.
    """
    _check("project_gather", centres, scales, quaternions, masses, rotations, shifts, cut)
    shape, b = tuple(grad_images.shape), len(rotations)
    if len(shape) != 3 or shape[0] != b or shape[1] != shape[2]:
        raise ValueError(f"project_gather: grad_images has shape {shape}; expected ({b}, size, size) for {b} rotations")
    require_like("project_gather", "grad_images", grad_images, centres)
    name = registry.choose("project_gather", centres.device, centres.dtype, backend)
    with torch.no_grad():
        g = _gather(grad_images, (centres, scales, quaternions, masses, rotations, shifts), float(cut), name)
        return ProjectionGradients(g[0], g[1], g[2], g[3], rotation_tangents(g[4], rotations), g[5])


def rotation_tangents(
    grad_rotations: Float[Tensor, "b 3 3"], rotations: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 3"]:
    """Derivative with respect to w in A -> exp([w]x) A, from that with respect to the entries of A.

    To first order dA = [w]x A, so dL = sum_ij M_ij ([w]x)_ij with M = G A^T and G the given derivative.
    """
    m = grad_rotations @ rotations.mT
    return torch.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], -1)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        tensors, (size, cut, backend) = arguments[:6], arguments[6:]
        ctx.save_for_backward(*tensors)
        ctx.cut, ctx.backend = cut, backend
        function = registry.load("project", backend)
        if backend != "numba":
            return function(*tensors, size, cut)  # type: ignore[no-any-return]
        return torch.from_numpy(function(*arrays(*tensors), size, cut))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_images: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _gather(grad_images, ctx.saved_tensors, ctx.cut, ctx.backend)
        needed = (g if n else None for g, n in zip(gradients, ctx.needs_input_grad, strict=False))
        return (*needed, None, None, None)


def _gather(grad_images: Tensor, tensors: tuple[Tensor, ...], cut: float, backend: str) -> tuple[Tensor, ...]:
    """Derivatives with respect to the six tensors; for rotations those with respect to the entries."""
    function = registry.load("project_gather", backend)
    if backend != "numba":
        return function(grad_images, *tensors, cut)  # type: ignore[no-any-return]
    return tuple(torch.from_numpy(g) for g in function(*arrays(grad_images, *tensors), cut))


def _check(
    op: str,
    centres: Tensor,
    scales: Tensor,
    quaternions: Tensor,
    masses: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    cut: float,
) -> None:
    check_gaussians(op, centres, scales, quaternions, masses, cut)
    b = len(rotations)
    for name, tensor, shape in (("rotations", rotations, (b, 3, 3)), ("shifts", shifts, (b, 2))):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{op}: {name} has shape {tuple(tensor.shape)}; expected {shape} for {b} rotations")
        require_like(op, name, tensor, centres)
    require_views(op, rotations.detach().cpu().numpy())
    fine = torch.isfinite(shifts.detach()).all(1)
    if not fine.all():
        first = int((~fine).int().argmax())
        raise NumericsError(
            f"{op}: {int((~fine).sum())} of {b} shifts are not finite; the first is number {first}: "
            f"{shifts[first].tolist()}; expected x and y in pixels."
        )
