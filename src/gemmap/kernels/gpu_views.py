"""What the compiled kernels of images know of a Gaussian in a view; see :mod:`gemmap.kernels.gpu_project`."""

import math

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from gemmap.gaussians import covariance

# Columns of the table of Gaussians: centre, R(q) diag(s) row by row, mass. Of the views: two rows of A, shift.
N_OF_GAUSSIAN = tl.constexpr(13)
N_OF_VIEW = tl.constexpr(8)
# Columns of what is seen: centre from the window's first pixel, 1 / sqrt(C_yy), slope, sqrt(C_yy / det C), height, and
# the window's first pixel once more, so that one sector of memory holds all that a pixel asks for. Of the windows:
# first pixel (x, y) and number of pixels.
N_SEEN = tl.constexpr(8)
N_WINDOW = tl.constexpr(4)
_PER_TURN = tl.constexpr(1 / (2 * math.pi))


def table_of_gaussians(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
) -> Float[Tensor, "n 13"]:
    """Constants of every Gaussian that do not depend on the view, in float64."""
    axes = covariance.rotation_matrices(quaternions.double()) * scales.double()[:, None, :]
    return torch.cat([centres.double(), axes.flatten(1), masses.double()[:, None]], 1)


def table_of_views(rotations: Float[Tensor, "b 3 3"], shifts: Float[Tensor, "b 2"]) -> Float[Tensor, "b 8"]:
    """The first two rows of every rotation, and the shift, in float64."""
    return torch.cat([rotations[:, :2].double().flatten(1), shifts.double()], 1)


@triton.jit
def _row_of_axes(at: tl.tensor, a0: tl.tensor, a1: tl.tensor, a2: tl.tensor) -> tl.tuple:
    """One row of B: R(q) diag(s) seen along one axis of the image, (a0, a1, a2) in the map."""
    b0 = a0 * tl.load(at + 3) + a1 * tl.load(at + 6) + a2 * tl.load(at + 9)
    b1 = a0 * tl.load(at + 4) + a1 * tl.load(at + 7) + a2 * tl.load(at + 10)
    b2 = a0 * tl.load(at + 5) + a1 * tl.load(at + 8) + a2 * tl.load(at + 11)
    return b0, b1, b2


@triton.jit
def see(table: tl.tensor, view: tl.tensor, j: tl.tensor) -> tl.tuple:
    """Look at Gaussians j, in float64.

    Return the centre from the origin of the image; per_x, per_y and slope of the whitening u_y = per_y dy,
    u_x = per_x (dx - slope dy); the peak for mass 1; and the two rows of B, whose B B^T is the covariance C.
    """
    at = table + j.to(tl.int64) * N_OF_GAUSSIAN
    a0, a1, a2 = tl.load(view), tl.load(view + 1), tl.load(view + 2)
    a3, a4, a5 = tl.load(view + 3), tl.load(view + 4), tl.load(view + 5)
    c0, c1, c2 = tl.load(at), tl.load(at + 1), tl.load(at + 2)
    x = a0 * c0 + a1 * c1 + a2 * c2 - tl.load(view + 6)
    y = a3 * c0 + a4 * c1 + a5 * c2 - tl.load(view + 7)
    b0, b1, b2 = _row_of_axes(at, a0, a1, a2)
    b3, b4, b5 = _row_of_axes(at, a3, a4, a5)
    c_yy = b3 * b3 + b4 * b4 + b5 * b5
    # det C is the squared length of the cross product of the rows: positive, without a difference of equal numbers.
    n0, n1, n2 = b1 * b5 - b2 * b4, b2 * b3 - b0 * b5, b0 * b4 - b1 * b3
    root_det, width_y = tl.sqrt(n0 * n0 + n1 * n1 + n2 * n2), tl.sqrt(c_yy)
    slope = (b0 * b3 + b1 * b4 + b2 * b5) / c_yy
    return x, y, width_y / root_det, 1.0 / width_y, slope, _PER_TURN / root_det, b0, b1, b2, b3, b4, b5


@triton.jit
def look(
    table: tl.tensor,
    views: tl.tensor,
    seen: tl.tensor,
    windows: tl.tensor,
    n: tl.tensor,
    size: tl.tensor,
    cut: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write what is seen of a block of Gaussians in an image, and their windows; programs (block, image)."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = row < n
    view = views + tl.program_id(1) * N_OF_VIEW
    j = tl.where(exists, row, 0)
    x, y, per_x, per_y, slope, peak, b0, b1, b2, b3, b4, b5 = see(table, view, j)
    x += size // 2
    y += size // 2
    wide = cut * tl.sqrt(b0 * b0 + b1 * b1 + b2 * b2)
    high = cut * tl.sqrt(b3 * b3 + b4 * b4 + b5 * b5)
    left = tl.minimum(tl.maximum(tl.ceil(x - wide), 0.0), size)
    top = tl.minimum(tl.maximum(tl.ceil(y - high), 0.0), size)
    width = tl.minimum(tl.maximum(tl.floor(x + wide), -1.0), size - 1) - left + 1.0
    height = tl.minimum(tl.maximum(tl.floor(y + high), -1.0), size - 1) - top + 1.0
    place = tl.program_id(1).to(tl.int64) * n + row
    out = seen + place * N_SEEN
    mass = tl.load(table + j.to(tl.int64) * N_OF_GAUSSIAN + 12)
    tl.store(out, (x - left).to(tl.float32), mask=exists)
    tl.store(out + 1, (y - top).to(tl.float32), mask=exists)
    tl.store(out + 2, per_y.to(tl.float32), mask=exists)
    tl.store(out + 3, slope.to(tl.float32), mask=exists)
    tl.store(out + 4, per_x.to(tl.float32), mask=exists)
    tl.store(out + 5, (mass * peak).to(tl.float32), mask=exists)
    tl.store(out + 6, left.to(tl.float32), mask=exists)
    tl.store(out + 7, top.to(tl.float32), mask=exists)
    window = windows + place * N_WINDOW
    tl.store(window, left.to(tl.int32), mask=exists)
    tl.store(window + 1, top.to(tl.int32), mask=exists)
    tl.store(window + 2, tl.maximum(width, 0.0).to(tl.int32), mask=exists)
    tl.store(window + 3, tl.maximum(height, 0.0).to(tl.int32), mask=exists)


@triton.jit
def whitened(seen: tl.tensor, place: tl.tensor, x: tl.tensor, y: tl.tensor) -> tl.tuple:
    """Whitened offsets of pixels from the centres of what is seen at ``place``, and their sum of squares."""
    at = seen + place * N_SEEN
    dx = x.to(tl.float32) - tl.load(at + 6) - tl.load(at)
    dy = y.to(tl.float32) - tl.load(at + 7) - tl.load(at + 1)
    u_y = dy * tl.load(at + 2)
    u_x = (dx - tl.load(at + 3) * dy) * tl.load(at + 4)
    return u_x, u_y, u_x * u_x + u_y * u_y
