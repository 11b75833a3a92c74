"""The one pass on an NVIDIA GPU with triton: weigh image transforms, insert them as slices.

The readable definitions are in :mod:`gemmap.kernels.reference_insert`; these agree with them to float32 rounding.

Insertion is a gather: a program owns a tile of the volume, walks over the images of the batch in their order, and of
those whose plane meets the tile every voxel asks the few points of the slice that may lie within one grid step of it.
So there are no atomics, a tile is read and written once per batch, and the bits are the same every time: an interrupted
pass ends where a whole one does. Scattering the points with atomics takes a ninth of the arithmetic, which is not what
bounds the pass (docs/performance.md).

The plane of an image in a tile is described from the tile's centre, in float64 once per tile and image; offsets of a
few grid steps from there are float32.
"""

import math

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float, Int
from torch import Tensor

from gemmap.kernels.gpu_phase import (
    BLOCK,
    N_ROW,
    columns_of_image,
    frequencies,
    is_multiplied,
    row_polynomials,
    sine_of_turns,
    transfer_along_row,
    turns_along_row,
)

# Side of a tile of voxels.
_TILE = 8
# Columns of a plane: where a step of kx and one of ky lead in the volume, the way back (rows of the inverse), the
# normal, squared length of a point as a form in kx and ky (xx, xy, yy), and the largest that is inserted.
_N_PLANE = tl.constexpr(19)


def prepare_slices(
    transforms: Complex[Tensor, "b d h"],
    coefficients: Float[Tensor, "b columns"],
    shifts: Float[Tensor, "b 2"],
    scales: Float[Tensor, " b"],
    group: Int[Tensor, " b"],
    inverse_noise: Float[Tensor, "g s"],
    out: Float[Tensor, "b d h 3"],
) -> None:
    """Fill ``out`` with numerator and weight; see :func:`gemmap.kernels.reference_insert.prepare_slices`."""
    b, d, h = transforms.shape
    if b == 0:
        return
    of_images = coefficients.double().contiguous()
    _prepare[(b * d, triton.cdiv(h, BLOCK))](
        torch.view_as_real(transforms.contiguous()),
        of_images,
        row_polynomials(of_images, d),
        # Moving the content by +s and the origin to D//2: exp(-2 pi i k.s/D) exp(+2 pi i k.(D//2)/D).
        ((d // 2) / d - shifts.double()).contiguous(),
        scales.float().contiguous(),
        group.contiguous(),
        inverse_noise.float().contiguous(),
        out,
        d,
        h,
        inverse_noise.shape[1],
        BLOCK=BLOCK,
    )


def insert_slices(
    slices: Float[Tensor, "b d h 3"], views: Float[Tensor, "b 3 3"], volume: Float[Tensor, "m m h2 3"]
) -> None:
    """Add the slices to the half-complex volume, in place; see :func:`gemmap.kernels.reference_insert.insert_slices`.

    As there, half of each image plane is inserted, and the caller completes the plane x = 0.
    """
    d, m = slices.shape[1], len(volume)
    if len(views) == 0:
        return
    planes, reach = _planes(views.double(), d, m)
    over, across = triton.cdiv(m, _TILE), triton.cdiv(m // 2 + 1, _TILE)
    _insert[(across, over, over)](slices.contiguous(), planes, volume, len(views), d, m, TILE=_TILE, REACH=reach)


def _planes(views: Float[Tensor, "b 3 3"], d: int, m: int) -> tuple[Float[Tensor, "b 19"], int]:
    """Return the columns of every plane, and how far from the nearest point of a slice those that reach a voxel may be.

    A point reaches a voxel if it lies within one grid step of it on every axis. Projected onto the plane, such a step
    is at most the sum of a row of the inverse, in absolute values, of frequencies away.
    """
    steps = m / d * views[:, :2]
    gram = steps @ steps.mT
    back = torch.linalg.solve(gram, steps)
    normals = torch.linalg.cross(steps[:, 0], steps[:, 1])
    of_gram = torch.stack([gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1]], 1)
    # One grid step inside the map's Nyquist; a point at that radius stays in, however it is rounded.
    largest = torch.full_like(of_gram[:, :1], (m / 2 - 1) ** 2 * (1 + 1e-9))
    reach = math.floor(float(back.abs().sum(2).max()) + 0.5 + 1e-4)
    return torch.cat([steps.flatten(1), back.flatten(1), normals, of_gram, largest], 1), reach


@triton.jit
def _prepare(
    transforms: tl.tensor,
    coefficients: tl.tensor,
    rows: tl.tensor,
    moves: tl.tensor,
    scales: tl.tensor,
    group: tl.tensor,
    inverse_noise: tl.tensor,
    out: tl.tensor,
    d: tl.tensor,
    h: tl.tensor,
    n_shells: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write c T y and c^2 T^2 over the noise, centred, below the radius D/2. Programs (row, block)."""
    program, block = tl.program_id(0), tl.program_id(1)
    image, iy = program // d, program % d
    kx, inside, shell = frequencies(iy, d, block, BLOCK)
    of_image, row = columns_of_image(coefficients, image), rows + program.to(tl.int64) * N_ROW
    x = kx.to(tl.float64)
    ky = tl.where(iy < (d + 1) // 2, iy, iy - d)
    scale = tl.load(scales + image)
    t = transfer_along_row(row, of_image, x) * scale
    spectrum = inverse_noise + tl.load(group + image) * n_shells
    w = tl.load(spectrum + shell, mask=inside, other=0.0)
    turns = tl.load(moves + 2 * image) * x + tl.load(moves + 2 * image + 1) * ky - turns_along_row(row + 7, x)
    sine, cosine = sine_of_turns(turns), sine_of_turns(turns + 0.25)
    place = program.to(tl.int64) * h + kx
    re = tl.load(transforms + place * 2, mask=inside, other=0.0)
    im = tl.load(transforms + place * 2 + 1, mask=inside, other=0.0)
    # c CTF of the images, and what multiplies them: the same unless they were multiplied by the CTF before.
    factor = w * tl.where(is_multiplied(of_image), scale, t)
    tl.store(out + place * 3, factor * (re * cosine - im * sine), mask=inside)
    tl.store(out + place * 3 + 1, factor * (re * sine + im * cosine), mask=inside)
    tl.store(out + place * 3 + 2, w * t * t, mask=inside)


@triton.jit
def _insert(
    slices: tl.tensor,
    planes: tl.tensor,
    volume: tl.tensor,
    b: tl.tensor,
    d: tl.tensor,
    m: tl.tensor,
    TILE: tl.constexpr,
    REACH: tl.constexpr,
) -> None:
    """Add what all images say to a tile of the volume. Programs (x, y, z), z and y from the lowest."""
    lane = tl.arange(0, TILE * TILE * TILE)
    e_x, e_y, e_z = lane % TILE - TILE // 2, lane // TILE % TILE - TILE // 2, lane // (TILE * TILE) - TILE // 2
    # The middle of the tile; its voxels are TILE / 2 before to TILE / 2 - 1 behind it.
    middle_x = tl.program_id(0) * TILE + TILE // 2
    middle_y, middle_z = tl.program_id(1) * TILE + TILE // 2 - m // 2, tl.program_id(2) * TILE + TILE // 2 - m // 2
    x, y, z = middle_x + e_x, middle_y + e_y, middle_z + e_z
    within = (x <= m // 2) & (y < m - m // 2) & (z < m - m // 2)
    # Points end at the radius M/2 - 1, and what they reach less than 2 beyond.
    is_near = x * x + y * y + z * z < (m // 2 + 2) * (m // 2 + 2)
    re = tl.zeros((TILE * TILE * TILE,), tl.float32)
    im, weight = re, re
    n_images = tl.where(tl.max((within & is_near).to(tl.int32), 0) > 0, b, 0)
    half_width = d // 2 + 1
    values, plane = slices, planes
    for _ in range(n_images):
        n_x, n_y, n_z = tl.load(plane + 12), tl.load(plane + 13), tl.load(plane + 14)
        distance = tl.abs(n_x * middle_x + n_y * middle_y + n_z * middle_z)
        if distance < (tl.abs(n_x) + tl.abs(n_y) + tl.abs(n_z)) * (TILE // 2 + 1):
            xx, xy, xz = tl.load(plane), tl.load(plane + 1), tl.load(plane + 2)
            yx, yy, yz = tl.load(plane + 3), tl.load(plane + 4), tl.load(plane + 5)
            b0, b1, b2 = tl.load(plane + 6), tl.load(plane + 7), tl.load(plane + 8)
            b3, b4, b5 = tl.load(plane + 9), tl.load(plane + 10), tl.load(plane + 11)
            # The point of the slice next to the middle of the tile, and where it lies from there.
            u, v = b0 * middle_x + b1 * middle_y + b2 * middle_z, b3 * middle_x + b4 * middle_y + b5 * middle_z
            u0, v0 = tl.floor(u + 0.5), tl.floor(v + 0.5)
            r_x = (u0 * xx + v0 * yx - middle_x).to(tl.float32)
            r_y = (u0 * xy + v0 * yy - middle_y).to(tl.float32)
            r_z = (u0 * xz + v0 * yz - middle_z).to(tl.float32)
            s_xx, s_xy, s_xz = xx.to(tl.float32), xy.to(tl.float32), xz.to(tl.float32)
            s_yx, s_yy, s_yz = yx.to(tl.float32), yy.to(tl.float32), yz.to(tl.float32)
            # The point next to every voxel, from that one.
            near_u = (u - u0).to(tl.float32) + b0.to(tl.float32) * e_x + b1.to(tl.float32) * e_y
            near_v = (v - v0).to(tl.float32) + b3.to(tl.float32) * e_x + b4.to(tl.float32) * e_y
            near_u = tl.floor(near_u + b2.to(tl.float32) * e_z + 0.5)
            near_v = tl.floor(near_v + b5.to(tl.float32) * e_z + 0.5)
            q_xx, q_xy, q_yy, largest = (
                tl.load(plane + 15),
                tl.load(plane + 16),
                tl.load(plane + 17),
                tl.load(plane + 18),
            )
            for of_u in tl.static_range(-REACH, REACH + 1):
                for of_v in range(-REACH, REACH + 1):
                    d_u, d_v = near_u + of_u, near_v + of_v
                    w_x = tl.maximum(1.0 - tl.abs(r_x + d_u * s_xx + d_v * s_yx - e_x), 0.0)
                    w_y = tl.maximum(1.0 - tl.abs(r_y + d_u * s_xy + d_v * s_yy - e_y), 0.0)
                    w_z = tl.maximum(1.0 - tl.abs(r_z + d_u * s_xz + d_v * s_yz - e_z), 0.0)
                    w = w_x * w_y * w_z
                    k_u, k_v = u0 + d_u, v0 + d_v
                    kx, ky = k_u.to(tl.int32), k_v.to(tl.int32)
                    # Half of the plane is there; of the other half minus the point is read, and conjugated. Which of
                    # the two has x >= 0 must be decided alike for both: from exact numbers.
                    x_of_point = k_u * xx + k_v * yx
                    is_stored = (kx > 0) | ((kx == 0) & (ky >= 0))
                    chosen = tl.where(is_stored, x_of_point >= 0.0, x_of_point > 0.0)
                    chosen = chosen & (w > 0.0) & (4 * (kx * kx + ky * ky) < d * d) & within
                    chosen = chosen & (q_xx * k_u * k_u + 2.0 * q_xy * k_u * k_v + q_yy * k_v * k_v <= largest)
                    column, line = tl.where(is_stored, kx, -kx), tl.where(is_stored, ky, -ky)
                    line = tl.where(line < 0, line + d, line)
                    at = values + (line * half_width + column) * 3
                    # k = 0 enters with half its weight: it is its own mate.
                    w = tl.where((kx == 0) & (ky == 0), 0.5 * w, w)
                    im_of_point = tl.load(at + 1, mask=chosen, other=0.0)
                    re += w * tl.load(at, mask=chosen, other=0.0)
                    im += w * tl.where(is_stored, im_of_point, -im_of_point)
                    weight += w * tl.load(at + 2, mask=chosen, other=0.0)
        values += d * half_width * 3
        plane += _N_PLANE
    if n_images > 0:
        y, z = tl.where(y < 0, y + m, y), tl.where(z < 0, z + m, z)
        out = volume + ((z.to(tl.int64) * m + y) * (m // 2 + 1) + x) * 3
        tl.store(out, tl.load(out, mask=within, other=0.0) + re, mask=within)
        tl.store(out + 1, tl.load(out + 1, mask=within, other=0.0) + im, mask=within)
        tl.store(out + 2, tl.load(out + 2, mask=within, other=0.0) + weight, mask=within)
