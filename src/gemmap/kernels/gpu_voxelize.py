"""Gaussians to voxels and back, on an NVIDIA GPU with triton: tensors in, tensors out.

The readable definitions are in :mod:`gemmap.kernels.reference`; these agree with them to float32 rounding.

With d = x - centre and P the precision matrix, the exponent is a sum of three squares (an LDL^T factorisation of P):

    d^T P d = dz^2 / S_zz  +  p_y (dy - b dz)^2  +  p_x (dx - a_y dy - a_z dz)^2

Forward: a program owns a tile of voxels and adds up the Gaussians that reach into it, in their order: no atomics, and
the same bits every time. Backward: a Gaussian reads its own window and takes the moments of order 0, 1 and 2 of
gradient x kernel, from which all derivatives are closed forms. Constants are worked out in float64 and positions kept
from the corner of the window, so float32 is enough for the voxels.
"""

import math
from typing import TypeAlias

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from gemmap.gaussians import covariance
from gemmap.kernels.gpu_bins import bin_windows

Gradients: TypeAlias = tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 4"], Float[Tensor, " n"]]

# Columns of the constants: centre from the window's first voxel, b, a_y, a_z, 1 / S_zz, p_y, p_x, peak, one to spare.
_N_CONSTANTS = tl.constexpr(10)
_N_MOMENTS = tl.constexpr(10)
# exp(-u / 2) = 2^(_LOG2 u).
_LOG2 = tl.constexpr(-0.5 / math.log(2))

# Side of a tile of voxels, and Gaussians that a program takes at a time for them.
_TILE, _AT_A_TIME = 8, 4
# Gaussians of a program of the backward kernel, and voxels of their windows taken at a time.
_GAUSSIANS, _VOXELS = 4, 128


def voxelize(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    size: int,
    cut: float,
) -> Float[Tensor, "d d d"]:
    """Sum of normalised Gaussians at the voxels of a cube, float32; see :func:`gemmap.kernels.ops.voxelize`."""
    per_axis = -(-size // _TILE)
    constants, windows = _constants(centres, scales, quaternions, masses, size, cut)
    members, begins = bin_windows(windows, None, size, _TILE, per_axis**3)
    volume = centres.new_empty((size, size, size))
    _splat[(per_axis**3,)](
        constants, windows, members, begins, volume, size, per_axis, cut * cut, TILE=_TILE, AT_A_TIME=_AT_A_TIME
    )
    return volume


def voxelize_gather(
    grad_volume: Float[Tensor, "d d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    cut: float,
) -> Gradients:
    """Derivatives of <grad_volume, volume>, float32; see :func:`gemmap.kernels.ops.voxelize_gather`."""
    n, size = len(masses), len(grad_volume)
    moments = centres.new_empty((n, _N_MOMENTS.value))
    if n:
        constants, windows = _constants(centres, scales, quaternions, masses, size, cut)
        _take_moments[(triton.cdiv(n, _GAUSSIANS),)](
            constants, windows, grad_volume.contiguous(), moments, n, size, cut * cut, GAUSSIANS=_GAUSSIANS,
            VOXELS=_VOXELS,
        )  # fmt: skip
    return _differentiate(moments.double(), scales.double(), quaternions.double(), masses.double())


def _constants(
    centres: Tensor, scales: Tensor, quaternions: Tensor, masses: Tensor, size: int, cut: float
) -> tuple[Float[Tensor, "n columns"], Int[Tensor, "n 6"]]:
    """What a kernel needs of every Gaussian, and its window: first voxel (x, y, z) and number of voxels."""
    scales, quaternions = scales.double(), quaternions.double()
    s, p = covariance.covariances(scales, quaternions), covariance.precisions(scales, quaternions)
    variances, p_xx = s.diagonal(dim1=1, dim2=2), p[:, 0, 0]
    middle, half_widths = centres.double() + size // 2, cut * variances.sqrt()
    first = (middle - half_widths).ceil().clamp(0, size)
    counts = ((middle + half_widths).floor().clamp(-1, size - 1) - first + 1).clamp(min=0)
    determinant, s_zz = scales.square().prod(1), variances[:, 2]
    peaks = masses.double() / ((2 * math.pi) ** 1.5 * scales.prod(1))
    # det of the (y, z) block of S is det(S) p_xx: no subtraction of nearly equal numbers for flat Gaussians.
    p_y = s_zz / (determinant * p_xx)
    shape = [s[:, 1, 2] / s_zz, -p[:, 0, 1] / p_xx, -p[:, 0, 2] / p_xx, 1 / s_zz, p_y, p_xx, peaks]
    constants = torch.cat([middle - first, torch.stack(shape, 1)], 1).float()
    return constants, torch.cat([first, counts], 1).int()


def _differentiate(
    moments: Float[Tensor, "n 10"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
) -> Gradients:
    """Derivatives from the moments M0, M1, M2 of gradient x kernel, the kernel's peak 1; h is that of mass 1.

    dL/dmass = h M0, dL/dcentre = mass h P M1, dL/dS = mass h / 2 (P M2 P - P M0).
    """
    m0, m1 = moments[:, 0], moments[:, 1:4]
    m2 = moments[:, [4, 5, 6, 5, 7, 8, 6, 8, 9]].reshape(-1, 3, 3)
    p = covariance.precisions(scales, quaternions)
    h = 1 / ((2 * math.pi) ** 1.5 * scales.prod(1))
    mass_h = (masses * h)[:, None]
    g_covariances = 0.5 * mass_h[..., None] * (p @ m2 @ p - m0[:, None, None] * p)
    g_scales, g_quaternions = covariance.differentiate(g_covariances, scales, quaternions)
    g_centres = mass_h * (p @ m1[..., None])[..., 0]
    return g_centres.float(), g_scales.float(), g_quaternions.float(), (h * m0).float()


@triton.jit
def _offsets(
    constants: tl.tensor, windows: tl.tensor, j: tl.tensor, x: tl.tensor, y: tl.tensor, z: tl.tensor
) -> tl.tuple:
    """Offsets of voxels (rows of them) from the centres of Gaussians j (a column), and squared distances."""
    at = constants + j.to(tl.int64) * _N_CONSTANTS
    window = windows + j.to(tl.int64) * 6
    dx = (x - tl.load(window)).to(tl.float32) - tl.load(at)
    dy = (y - tl.load(window + 1)).to(tl.float32) - tl.load(at + 1)
    dz = (z - tl.load(window + 2)).to(tl.float32) - tl.load(at + 2)
    u_y = dy - tl.load(at + 3) * dz
    u_x = dx - tl.load(at + 4) * dy - tl.load(at + 5) * dz
    square = tl.load(at + 6) * dz * dz + tl.load(at + 7) * u_y * u_y + tl.load(at + 8) * u_x * u_x
    return dx, dy, dz, square


@triton.jit
def _splat(
    constants: tl.tensor,
    windows: tl.tensor,
    members: tl.tensor,
    begins: tl.tensor,
    volume: tl.tensor,
    size: tl.tensor,
    per_axis: tl.tensor,
    cut2: tl.tensor,
    TILE: tl.constexpr,
    AT_A_TIME: tl.constexpr,
) -> None:
    """Write a tile of the volume."""
    tile = tl.program_id(0)
    lane = tl.arange(0, TILE * TILE * TILE)
    x = tile % per_axis * TILE + lane % TILE
    y = tile // per_axis % per_axis * TILE + lane // TILE % TILE
    z = tile // (per_axis * per_axis) * TILE + lane // (TILE * TILE)
    sums = tl.zeros((TILE * TILE * TILE,), tl.float32)
    end = tl.load(begins + tile + 1)
    for begin in range(tl.load(begins + tile), end, AT_A_TIME):
        place = begin + tl.arange(0, AT_A_TIME)
        j = tl.load(members + place, mask=place < end, other=0)[:, None]
        _, _, _, square = _offsets(constants, windows, j, x[None, :], y[None, :], z[None, :])
        peak = tl.load(constants + j.to(tl.int64) * _N_CONSTANTS + 9)
        inside = (place < end)[:, None] & (square <= cut2)
        sums += tl.sum(tl.where(inside, peak * tl.exp2(square * _LOG2), 0.0), 0)
    at = (z.to(tl.int64) * size + y) * size + x
    tl.store(volume + at, sums, mask=(x < size) & (y < size) & (z < size))


@triton.jit
def _take_moments(
    constants: tl.tensor,
    windows: tl.tensor,
    grad: tl.tensor,
    moments: tl.tensor,
    n: tl.tensor,
    size: tl.tensor,
    cut2: tl.tensor,
    GAUSSIANS: tl.constexpr,
    VOXELS: tl.constexpr,
) -> None:
    """Write sums of gradient x kernel x (1, dx, dy, dz, dx2, dxdy, dxdz, dy2, dydz, dz2); the kernel's peak is 1."""
    row = tl.program_id(0) * GAUSSIANS + tl.arange(0, GAUSSIANS)
    exists = row < n
    j = tl.where(exists, row, 0)[:, None]
    window = windows + j.to(tl.int64) * 6
    left, top, front = tl.load(window), tl.load(window + 1), tl.load(window + 2)
    width, height = tl.load(window + 3), tl.load(window + 4)
    count = width * height * tl.load(window + 5)
    # Nothing is read of an empty window, but its voxels are numbered.
    width, height = tl.maximum(width, 1), tl.maximum(height, 1)
    w0 = tl.zeros((GAUSSIANS, VOXELS), tl.float32)
    wx, wy, wz, wxx, wxy, wxz, wyy, wyz, wzz = w0, w0, w0, w0, w0, w0, w0, w0, w0
    for begin in range(0, tl.max(tl.max(count, 1), 0), VOXELS):
        i = begin + tl.arange(0, VOXELS)[None, :]
        x = left + i % width
        y = top + i // width % height
        z = front + i // (width * height)
        dx, dy, dz, square = _offsets(constants, windows, j, x, y, z)
        inside = (i < count) & (square <= cut2)
        g = tl.load(grad + (z.to(tl.int64) * size + y) * size + x, mask=inside, other=0.0)
        w = tl.where(inside, g * tl.exp2(square * _LOG2), 0.0)
        # Where nothing is inside the offsets may be too large to be squared.
        dx, dy, dz = tl.where(inside, dx, 0.0), tl.where(inside, dy, 0.0), tl.where(inside, dz, 0.0)
        w0 += w
        wx, wy, wz = wx + w * dx, wy + w * dy, wz + w * dz
        wxx, wxy, wxz = wxx + w * dx * dx, wxy + w * dx * dy, wxz + w * dx * dz
        wyy, wyz, wzz = wyy + w * dy * dy, wyz + w * dy * dz, wzz + w * dz * dz
    out = moments + row.to(tl.int64) * _N_MOMENTS
    tl.store(out, tl.sum(w0, 1), mask=exists)
    tl.store(out + 1, tl.sum(wx, 1), mask=exists)
    tl.store(out + 2, tl.sum(wy, 1), mask=exists)
    tl.store(out + 3, tl.sum(wz, 1), mask=exists)
    tl.store(out + 4, tl.sum(wxx, 1), mask=exists)
    tl.store(out + 5, tl.sum(wxy, 1), mask=exists)
    tl.store(out + 6, tl.sum(wxz, 1), mask=exists)
    tl.store(out + 7, tl.sum(wyy, 1), mask=exists)
    tl.store(out + 8, tl.sum(wyz, 1), mask=exists)
    tl.store(out + 9, tl.sum(wzz, 1), mask=exists)
