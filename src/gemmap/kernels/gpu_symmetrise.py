"""The sum over rotations of the grid, on an NVIDIA GPU with triton.

:mod:`gemmap.kernels.reference_symmetrise` defines it.
Every point of the result is gathered by one program, in the order of the rotations: the same bits every time.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 512


def symmetrise(
    volume: Float[Tensor, "m m h2 3"], rotations: Int[Tensor, "n 3 3"], out: Float[Tensor, "m m h2 3"]
) -> None:
    """Fill ``out`` with the sum over rotations R of the complete half-complex volume at R k."""
    m, n_points = len(volume), out.numel() // 3
    _gather[(triton.cdiv(n_points, _BLOCK),)](
        volume, rotations.to(torch.int32).contiguous(), out, m, n_points, len(rotations), BLOCK=_BLOCK
    )


@triton.jit
def _gather(
    volume: tl.tensor,
    rotations: tl.tensor,
    out: tl.tensor,
    m: tl.tensor,
    n_points: tl.tensor,
    n_rotations: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Write a block of points."""
    half = m // 2
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = (point % (half + 1)).to(tl.int32)
    column = (point // (half + 1) % m).to(tl.int32)
    row = (point // (half + 1) // m).to(tl.int32)
    y, z = tl.where(column < half, column, column - m), tl.where(row < half, row, row - m)
    within = (point < n_points) & (x * x + y * y + z * z < (half + 1) * (half + 1))
    re = tl.zeros((BLOCK,), tl.float32)
    im, weight = re, re
    for i in range(n_rotations):
        r = rotations + 9 * i
        qx = tl.load(r) * x + tl.load(r + 1) * y + tl.load(r + 2) * z
        qy = tl.load(r + 3) * x + tl.load(r + 4) * y + tl.load(r + 5) * z
        qz = tl.load(r + 6) * x + tl.load(r + 7) * y + tl.load(r + 8) * z
        mirrored = qx < 0
        qx, qy, qz = tl.where(mirrored, -qx, qx), tl.where(mirrored, -qy, qy), tl.where(mirrored, -qz, qz)
        qy, qz = tl.where(qy < 0, qy + m, qy), tl.where(qz < 0, qz + m, qz)
        at = volume + ((qz.to(tl.int64) * m + qy) * (half + 1) + qx) * 3
        value = tl.load(at + 1, mask=within, other=0.0)
        re += tl.load(at, mask=within, other=0.0)
        im += tl.where(mirrored, -value, value)
        weight += tl.load(at + 2, mask=within, other=0.0)
    tl.store(out + point * 3, re, mask=point < n_points)
    tl.store(out + point * 3 + 1, im, mask=point < n_points)
    tl.store(out + point * 3 + 2, weight, mask=point < n_points)
