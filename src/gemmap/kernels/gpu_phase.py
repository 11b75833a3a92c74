"""What the compiled kernels of image transforms share: phases along a row, sines, envelopes and weights.

Along a row of frequencies every polynomial of :mod:`gemmap.physics.image_model` is one in kx. Its coefficients are
worked out and it is evaluated in float64, up to the turn; what is left within one turn is float32.
"""

import functools
import math

import numpy as np
import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from gemmap.geometry.grids import half_plane_frequencies
from gemmap.physics.image_model import ENVELOPE, EVEN, FACTOR, MODE, N_COLUMNS, ODD, Mode
from gemmap.physics.zernike import DEGREES

#: Columns of a row's polynomials: even (powers 0 to 6 of kx), odd aberrations (0 to 6), exponent of 2 in the envelope
#: (0 to 2).
N_ROW = tl.constexpr(17)
#: Frequencies of a row that a program takes.
BLOCK = 128

_FACTOR, _MODE, _N_COLUMNS = tl.constexpr(FACTOR), tl.constexpr(MODE), tl.constexpr(N_COLUMNS)
_FLIPPED, _MULTIPLIED = tl.constexpr(int(Mode.FLIPPED)), tl.constexpr(int(Mode.MULTIPLIED))
# sin(x) = x - x^3/3! + x^5/5! ..., to 1e-7 for |x| <= pi/2: the processor's own sine is good to 1e-6 only.
_TURN = tl.constexpr(2.0 * math.pi)
_S3, _S5, _S7 = tl.constexpr(-1 / 6), tl.constexpr(1 / 120), tl.constexpr(-1 / 5040)
_S9, _S11 = tl.constexpr(1 / 362880), tl.constexpr(-1 / 39916800)


@functools.lru_cache(maxsize=4)
def _powers(size: int, device: torch.device) -> Float[Tensor, "columns row_columns"]:
    """How the columns of an image enter the polynomials of its rows, ky by ky: (33, D * 17), float64."""
    ky = half_plane_frequencies(size)[0].ravel().astype(np.float64)
    out = np.zeros((N_COLUMNS, size, N_ROW.value))
    for part, degrees, first in ((EVEN, DEGREES["even"], 0), (ODD, DEGREES["odd"], 7)):
        column = part.start
        for degree in degrees:
            for j in range(degree + 1):
                out[column, :, first + degree - j] = ky**j
                column += 1
    for j in range(3):
        out[ENVELOPE.start + 2 - j, :, 14 + j] = ky ** (2 - j) / math.log(2.0)
    return torch.from_numpy(out.reshape(N_COLUMNS, -1)).to(device)


def row_polynomials(coefficients: Float[Tensor, "b 33"], size: int) -> Float[Tensor, "b d 17"]:
    """Coefficients of the powers of kx along every row, in float64."""
    return (coefficients.double() @ _powers(size, coefficients.device)).reshape(-1, size, N_ROW.value)


@triton.jit
def turns_along_row(row: tl.tensor, x: tl.tensor) -> tl.tensor:
    """A polynomial of degree 6, its coefficients at ``row``."""
    return tl.load(row) + x * (
        tl.load(row + 1)
        + x
        * (
            tl.load(row + 2)
            + x * (tl.load(row + 3) + x * (tl.load(row + 4) + x * (tl.load(row + 5) + x * tl.load(row + 6))))
        )
    )


@triton.jit
def sine_of_turns(turns: tl.tensor) -> tl.tensor:
    """sin(2 pi turns), float32 of float64."""
    t = (turns - tl.floor(turns + 0.5)).to(tl.float32)
    a = tl.abs(t)
    x = tl.minimum(a, 0.5 - a) * _TURN
    x2 = x * x
    s = x * (x2 * (x2 * (x2 * (x2 * (x2 * _S11 + _S9) + _S7) + _S5) + _S3) + 1.0)
    return tl.where(t >= 0, s, -s)


@triton.jit
def transfer_along_row(row: tl.tensor, of_image: tl.tensor, x: tl.tensor) -> tl.tensor:
    """T at frequencies x of a row, without the scale; float32."""
    exponent = tl.load(row + 14) + x * (tl.load(row + 15) + x * tl.load(row + 16))
    exponent = tl.minimum(tl.maximum(exponent, -126.0), 126.0).to(tl.float32)
    factor = -tl.load(of_image + _FACTOR).to(tl.float32)
    t = factor * tl.exp2(exponent) * sine_of_turns(turns_along_row(row, x))
    return tl.where(tl.load(of_image + _MODE) == _FLIPPED, tl.abs(t), t)


@triton.jit
def is_multiplied(of_image: tl.tensor) -> tl.tensor:
    """Whether the image was multiplied by its CTF."""
    return tl.load(of_image + _MODE) == _MULTIPLIED


@triton.jit
def columns_of_image(coefficients: tl.tensor, image: tl.tensor) -> tl.tensor:
    """Where the columns of an image begin."""
    return coefficients + image.to(tl.int64) * _N_COLUMNS


@triton.jit
def frequencies(row: tl.tensor, size: tl.tensor, block: tl.tensor, BLOCK: tl.constexpr) -> tl.tuple:
    """Return kx of a block of a row, whether it is below the radius D/2, and the shell round(|k|)."""
    ky = tl.where(row < (size + 1) // 2, row, row - size)
    kx = block * BLOCK + tl.arange(0, BLOCK)
    square = kx * kx + ky * ky
    shell = tl.floor(tl.sqrt(square.to(tl.float32)) + 0.5).to(tl.int32)
    return kx, (kx <= size // 2) & (4 * square < size * size), shell
