"""The kernels in plain torch: any floating dtype, any device, differentiable. They define what is correct.

V[z, y, x] = sum_j mass_j N3((x, y, z) - size//2 - centre_j; S_j) over voxels within Mahalanobis distance ``cut`` of
each Gaussian. Work is done in chunks of Gaussians, each on windows that hold the support of all of them.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gemmap.gaussians import covariance

# Voxels, or pixels, of all windows of one chunk: some hundred MB with their temporaries in float32.
_VOXELS_PER_CHUNK = 2_000_000


def voxelize(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    size: int,
    cut: float,
) -> Float[Tensor, "d d d"]:
    """Sum of normalised Gaussians at the voxels of a cube; see :func:`gemmap.kernels.ops.voxelize`.

    On a GPU the order of additions, and with it the last bit, is not fixed.
    """
    volume = centres.new_zeros(size**3)
    for rows, voxels, inside in windows(centres, _half_widths(scales, quaternions, cut), size):
        _, kernel = _evaluate(centres[rows], scales[rows], quaternions[rows], voxels, inside, size, cut)
        volume = volume.index_add(0, _flat(voxels, size).flatten(), (masses[rows, None] * kernel).flatten())
    return volume.reshape(size, size, size)


def voxelize_gather(
    grad_volume: Float[Tensor, "d d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    cut: float,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 4"], Float[Tensor, " n"]]:
    """Derivatives of <grad_volume, volume>; see :func:`gemmap.kernels.ops.voxelize_gather`.

    With the moments M0, M1, M2 of gradient x kernel about the centre and P = S^-1: dL/dmass = M0,
    dL/dcentre = mass P M1, dL/dS = mass / 2 (P M2 P - P M0).
    """
    size = len(grad_volume)
    out = tuple(torch.zeros_like(a) for a in (centres, scales, quaternions, masses))
    g_centres, g_scales, g_quaternions, g_masses = out
    for rows, voxels, inside in windows(centres, _half_widths(scales, quaternions, cut), size):
        d, kernel = _evaluate(centres[rows], scales[rows], quaternions[rows], voxels, inside, size, cut)
        weight = kernel * grad_volume.flatten()[_flat(voxels, size)]
        m0 = weight.sum(1)
        m1 = torch.einsum("nv,nvi->ni", weight, d)
        m2 = torch.einsum("nv,nvi,nvj->nij", weight, d, d)
        precision = covariance.precisions(scales[rows], quaternions[rows])
        mass = masses[rows, None]
        g_masses[rows] = m0
        g_centres[rows] = mass * (precision @ m1[..., None])[..., 0]
        g_covariance = 0.5 * mass[..., None] * (precision @ m2 @ precision - m0[:, None, None] * precision)
        g_scales[rows], g_quaternions[rows] = covariance.differentiate(g_covariance, scales[rows], quaternions[rows])
    return g_centres, g_scales, g_quaternions, g_masses


@torch.no_grad()
def windows(
    centres: Float[Tensor, "n axes"], half_widths: Float[Tensor, "n axes"], size: int
) -> Iterator[tuple[Int[Tensor, " m"], Int[Tensor, "m v axes"], Bool[Tensor, "m v"]]]:
    """Yield rows, the grid points (indices, x first) of windows around their supports, and which lie in the grid.

    Centres are in pixels from index size//2. A window is a cube, or a square in the plane. Windows of one chunk have
    one width, so the rows come in order of width. Gaussians outside the grid do not come.
    """
    axes = centres.shape[1]
    first = (centres + size // 2 - half_widths).ceil().clamp(0, size).long()
    last = (centres + size // 2 + half_widths).floor().clamp(-1, size - 1).long()
    extents = last - first + 1
    widths = extents.amax(1)
    order = torch.argsort(widths, stable=True)
    order = order[(extents > 0).all(1)[order]]
    sorted_widths = widths[order].tolist()
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and (end + 1 - begin) * sorted_widths[end] ** axes <= _VOXELS_PER_CHUNK:
            end += 1
        rows = order[begin:end]
        steps = torch.arange(sorted_widths[end - 1], device=centres.device)
        points = first[rows, None] + torch.cartesian_prod(*[steps] * axes).reshape(1, -1, axes)
        inside = (points < size).all(2)
        yield rows, points.clamp(max=size - 1), inside
        begin = end


def _half_widths(scales: Tensor, quaternions: Tensor, cut: float) -> Float[Tensor, "n 3"]:
    """Extent of the support along each axis of the map."""
    return cut * covariance.covariances(scales, quaternions).diagonal(dim1=-2, dim2=-1).sqrt()


def _evaluate(
    centres: Tensor, scales: Tensor, quaternions: Tensor, voxels: Tensor, inside: Tensor, size: int, cut: float
) -> tuple[Float[Tensor, "m v 3"], Float[Tensor, "m v"]]:
    """Offsets from the centres and normalised kernels at the voxels; zero outside the support and the box."""
    d = (voxels - size // 2).to(centres.dtype) - centres[:, None]
    own = (d @ covariance.rotation_matrices(quaternions)) / scales[:, None]
    square = (own**2).sum(2)
    norm = (2 * math.pi) ** 1.5 * scales.prod(1)
    kernel = torch.exp(-0.5 * square) / norm[:, None]
    return d, torch.where(inside & (square <= cut * cut), kernel, 0)


def _flat(voxels: Int[Tensor, "m v 3"], size: int) -> Int[Tensor, "m v"]:
    """Index of voxels in the flattened (z, y, x) volume."""
    return (voxels[..., 2] * size + voxels[..., 1]) * size + voxels[..., 0]
