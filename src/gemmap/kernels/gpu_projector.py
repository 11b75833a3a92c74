"""The compiled kernels of :mod:`gemmap.kernels.gpu_project`."""

import math

import triton
import triton.language as tl

from gemmap.kernels.gpu_views import N_OF_GAUSSIAN, N_OF_VIEW, N_SEEN, N_WINDOW, see, whitened

# exp(-u / 2) = 2^(_LOG2 u).
_LOG2 = tl.constexpr(-0.5 / math.log(2))


@triton.jit
def splat(
    seen: tl.tensor,
    members: tl.tensor,
    begins: tl.tensor,
    images: tl.tensor,
    size: tl.tensor,
    per_axis: tl.tensor,
    cut2: tl.tensor,
    TILE: tl.constexpr,
    AT_A_TIME: tl.constexpr,
) -> None:
    """Write a tile of an image; programs count the tiles of one image after the other."""
    program = tl.program_id(0)
    tile, image = program % (per_axis * per_axis), program // (per_axis * per_axis)
    lane = tl.arange(0, TILE * TILE)
    x = tile % per_axis * TILE + lane % TILE
    y = tile // per_axis * TILE + lane // TILE
    sums = tl.zeros((TILE * TILE,), tl.float32)
    end = tl.load(begins + program + 1)
    for begin in range(tl.load(begins + program), end, AT_A_TIME):
        index = begin + tl.arange(0, AT_A_TIME)
        place = tl.load(members + index, mask=index < end, other=0).to(tl.int64)[:, None]
        _, _, square = whitened(seen, place, x[None, :], y[None, :])
        height = tl.load(seen + place * N_SEEN + 5)
        inside = (index < end)[:, None] & (square <= cut2)
        sums += tl.sum(tl.where(inside, height * tl.exp2(square * _LOG2), 0.0), 0)
    at = (image.to(tl.int64) * size + y) * size + x
    tl.store(images + at, sums, mask=(x < size) & (y < size))


@triton.jit
def take_moments(
    seen: tl.tensor,
    windows: tl.tensor,
    grad: tl.tensor,
    moments: tl.tensor,
    n: tl.tensor,
    size: tl.tensor,
    cut2: tl.tensor,
    GAUSSIANS: tl.constexpr,
    PIXELS: tl.constexpr,
) -> None:
    """Write sums of gradient x kernel x (1, u_x, u_y, u_x^2, u_x u_y, u_y^2), u whitened and the kernel's peak 1.

    Programs (block of Gaussians, image).
    """
    row = tl.program_id(0) * GAUSSIANS + tl.arange(0, GAUSSIANS)
    exists = row < n
    image = tl.program_id(1).to(tl.int64)
    place = image * n + tl.where(exists, row, 0)[:, None]
    window = windows + place * N_WINDOW
    left, top, width = tl.load(window), tl.load(window + 1), tl.load(window + 2)
    count = width * tl.load(window + 3)
    # Nothing is read of an empty window, but its pixels are numbered.
    width = tl.maximum(width, 1)
    m = tl.zeros((GAUSSIANS, PIXELS), tl.float32)
    m_x, m_y, m_xx, m_xy, m_yy = m, m, m, m, m
    for begin in range(0, tl.max(tl.max(count, 1), 0), PIXELS):
        i = begin + tl.arange(0, PIXELS)[None, :]
        x, y = left + i % width, top + i // width
        u_x, u_y, square = whitened(seen, place, x, y)
        inside = (i < count) & (square <= cut2)
        g = tl.load(grad + (image * size + y) * size + x, mask=inside, other=0.0)
        w = tl.where(inside, g * tl.exp2(square * _LOG2), 0.0)
        # Where nothing is inside the offsets may be too large to be squared.
        u_x, u_y = tl.where(inside, u_x, 0.0), tl.where(inside, u_y, 0.0)
        m += w
        m_x, m_y = m_x + w * u_x, m_y + w * u_y
        m_xx, m_xy, m_yy = m_xx + w * u_x * u_x, m_xy + w * u_x * u_y, m_yy + w * u_y * u_y
    out = moments + (image * n + row) * 6
    tl.store(out, tl.sum(m, 1), mask=exists)
    tl.store(out + 1, tl.sum(m_x, 1), mask=exists)
    tl.store(out + 2, tl.sum(m_y, 1), mask=exists)
    tl.store(out + 3, tl.sum(m_xx, 1), mask=exists)
    tl.store(out + 4, tl.sum(m_xy, 1), mask=exists)
    tl.store(out + 5, tl.sum(m_yy, 1), mask=exists)


@triton.jit
def _along(at: tl.tensor, b0: tl.tensor, b1: tl.tensor, b2: tl.tensor) -> tl.tuple:
    """B (R diag s)^T for one row of B: the covariance of an axis of the image with those of the map."""
    l0 = b0 * tl.load(at + 3) + b1 * tl.load(at + 4) + b2 * tl.load(at + 5)
    l1 = b0 * tl.load(at + 6) + b1 * tl.load(at + 7) + b2 * tl.load(at + 8)
    l2 = b0 * tl.load(at + 9) + b1 * tl.load(at + 10) + b2 * tl.load(at + 11)
    return l0, l1, l2


@triton.jit
def derive(
    table: tl.tensor,
    views: tl.tensor,
    moments: tl.tensor,
    of_runs: tl.tensor,
    of_blocks: tl.tensor,
    n: tl.tensor,
    b: tl.tensor,
    BLOCK: tl.constexpr,
    IMAGES: tl.constexpr,
) -> None:
    """Write dL/dmass, dL/dcentre, 2 dL/dS of a block of Gaussians over a run of images, and what it adds to the poses.

    With the whitening u = W d, K = M2 - M0 and the height h: for the centre c in the image dL/dc = h W^T M1, and
    2 dL/dC = h W^T K W. From there, with H = A_2x3, dL/dcentre = H^T dL/dc, dL/dS = H^T dL/dC H, dL/dshift = -dL/dc,
    and dL/dH = dL/dc centre^T + 2 dL/dC B (R diag s)^T. Programs (block, run).
    """
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = row < n
    j = tl.where(exists, row, 0)
    at = table + j.to(tl.int64) * N_OF_GAUSSIAN
    c0, c1, c2, mass = tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 12)
    o0 = tl.zeros((BLOCK,), tl.float64)
    o1, o2, o3, o4, o5, o6, o7, o8, o9 = o0, o0, o0, o0, o0, o0, o0, o0, o0
    run = tl.program_id(1)
    for i in range(run * IMAGES, tl.minimum((run + 1) * IMAGES, b)):
        view = views + i * N_OF_VIEW
        _, _, per_x, per_y, slope, peak, b0, b1, b2, b3, b4, b5 = see(table, view, j)
        moment = moments + (j.to(tl.int64) + i * n) * 6
        m = tl.load(moment, mask=exists, other=0.0).to(tl.float64)
        m_x = tl.load(moment + 1, mask=exists, other=0.0).to(tl.float64)
        m_y = tl.load(moment + 2, mask=exists, other=0.0).to(tl.float64)
        m_xx = tl.load(moment + 3, mask=exists, other=0.0).to(tl.float64)
        m_xy = tl.load(moment + 4, mask=exists, other=0.0).to(tl.float64)
        m_yy = tl.load(moment + 5, mask=exists, other=0.0).to(tl.float64)
        h = mass * peak
        g_x = h * m_x * per_x
        g_y = h * m_y * per_y - slope * g_x
        k_xx, k_xy = h * (m_xx - m) * per_x * per_x, h * m_xy * per_x * per_y
        c_xy = k_xy - slope * k_xx
        c_yy = h * (m_yy - m) * per_y * per_y - slope * (k_xy + c_xy)
        a0, a1, a2 = tl.load(view), tl.load(view + 1), tl.load(view + 2)
        a3, a4, a5 = tl.load(view + 3), tl.load(view + 4), tl.load(view + 5)
        o0 += peak * m
        o1, o2, o3 = o1 + a0 * g_x + a3 * g_y, o2 + a1 * g_x + a4 * g_y, o3 + a2 * g_x + a5 * g_y
        # Columns of H^T 2 dL/dC.
        x0, y0 = k_xx * a0 + c_xy * a3, c_xy * a0 + c_yy * a3
        x1, y1 = k_xx * a1 + c_xy * a4, c_xy * a1 + c_yy * a4
        x2, y2 = k_xx * a2 + c_xy * a5, c_xy * a2 + c_yy * a5
        o4, o5, o6 = o4 + x0 * a0 + y0 * a3, o5 + x0 * a1 + y0 * a4, o6 + x0 * a2 + y0 * a5
        o7, o8, o9 = o7 + x1 * a1 + y1 * a4, o8 + x1 * a2 + y1 * a5, o9 + x2 * a2 + y2 * a5
        p0, p1, p2 = _along(at, b0, b1, b2)
        q0, q1, q2 = _along(at, b3, b4, b5)
        pose = of_blocks + (tl.program_id(0).to(tl.int64) * b + i) * 8
        tl.store(pose, tl.sum(tl.where(exists, g_x * c0 + k_xx * p0 + c_xy * q0, 0.0), 0))
        tl.store(pose + 1, tl.sum(tl.where(exists, g_x * c1 + k_xx * p1 + c_xy * q1, 0.0), 0))
        tl.store(pose + 2, tl.sum(tl.where(exists, g_x * c2 + k_xx * p2 + c_xy * q2, 0.0), 0))
        tl.store(pose + 3, tl.sum(tl.where(exists, g_y * c0 + c_xy * p0 + c_yy * q0, 0.0), 0))
        tl.store(pose + 4, tl.sum(tl.where(exists, g_y * c1 + c_xy * p1 + c_yy * q1, 0.0), 0))
        tl.store(pose + 5, tl.sum(tl.where(exists, g_y * c2 + c_xy * p2 + c_yy * q2, 0.0), 0))
        tl.store(pose + 6, -tl.sum(tl.where(exists, g_x, 0.0), 0))
        tl.store(pose + 7, -tl.sum(tl.where(exists, g_y, 0.0), 0))
    out = of_runs + (run.to(tl.int64) * n + row) * 10
    tl.store(out, o0, mask=exists)
    tl.store(out + 1, o1, mask=exists)
    tl.store(out + 2, o2, mask=exists)
    tl.store(out + 3, o3, mask=exists)
    tl.store(out + 4, o4, mask=exists)
    tl.store(out + 5, o5, mask=exists)
    tl.store(out + 6, o6, mask=exists)
    tl.store(out + 7, o7, mask=exists)
    tl.store(out + 8, o8, mask=exists)
    tl.store(out + 9, o9, mask=exists)
