"""What is done to the transforms of images, on an NVIDIA GPU with triton: one pass, few numbers kept per row.

The readable definition is in :mod:`gemmap.kernels.reference_residuals`; this agrees with it to float32 rounding. The
sums of blocks are added up in a fixed order: the same bits every time.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
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


def weigh_residuals(
    projected: Complex[Tensor, "b d h"],
    observed: Complex[Tensor, "b d h"],
    coefficients: Float[Tensor, "b 33"],
    scales: Float[Tensor, " b"],
    inverse_noise: Float[Tensor, "b s"],
) -> tuple[Complex[Tensor, "b d h"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Derivative T W R (written over ``projected``), losses and derivatives by c, complex64 and float32."""
    b, d, h = projected.shape
    projected = projected.contiguous()
    blocks = triton.cdiv(h, BLOCK)
    sums = scales.new_empty((b, d * blocks, 2))
    if b:
        of_images = coefficients.double().contiguous()
        _weigh[(b * d, blocks)](
            torch.view_as_real(projected),
            torch.view_as_real(observed.contiguous()),
            of_images,
            row_polynomials(of_images, d),
            scales.contiguous(),
            inverse_noise.contiguous(),
            sums,
            d,
            h,
            inverse_noise.shape[1],
            BLOCK=BLOCK,
        )
    totals = sums.double().sum(1)
    return projected, (0.5 * totals[:, 0]).float(), (totals[:, 1] / scales).float()


@triton.jit
def _weigh(
    projected: tl.tensor,
    observed: tl.tensor,
    coefficients: tl.tensor,
    rows: tl.tensor,
    scales: tl.tensor,
    inverse_noise: tl.tensor,
    sums: tl.tensor,
    d: tl.tensor,
    h: tl.tensor,
    n_shells: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """Turn P into T W R, 0 from the radius D/2 on; write the two sums over the full plane. Programs (row, block)."""
    program, block = tl.program_id(0), tl.program_id(1)
    image = program // d
    kx, inside, shell = frequencies(program % d, d, block, BLOCK)
    of_image, row = columns_of_image(coefficients, image), rows + program.to(tl.int64) * N_ROW
    x = kx.to(tl.float64)
    scale = tl.load(scales + image)
    t = transfer_along_row(row, of_image, x) * scale
    w = tl.load(inverse_noise + image.to(tl.int64) * n_shells + shell, mask=inside, other=0.0)
    place = (program.to(tl.int64) * h + kx) * 2
    p_re = tl.load(projected + place, mask=inside, other=0.0)
    p_im = tl.load(projected + place + 1, mask=inside, other=0.0)
    re = tl.load(observed + place, mask=inside, other=0.0)
    im = tl.load(observed + place + 1, mask=inside, other=0.0)
    odd = turns_along_row(row + 7, x)
    sine, cosine = sine_of_turns(odd), sine_of_turns(odd + 0.25)
    y_re, y_im = re * cosine + im * sine, im * cosine - re * sine
    m_re, m_im = t * p_re, t * p_im
    r_re, r_im = m_re - y_re, m_im - y_im
    loss = w * (r_re * r_re + r_im * r_im)
    # Images that hold the CTF twice: T W R is W (T^2 P - c Y), and 2 P W c Y is taken from the loss.
    twice = is_multiplied(of_image)
    y_re, y_im = scale * y_re, scale * y_im
    g_re = tl.where(twice, w * (t * m_re - y_re), t * (w * r_re))
    g_im = tl.where(twice, w * (t * m_im - y_im), t * (w * r_im))
    of_products = m_re * m_re + m_im * m_im - 2.0 * (p_re * y_re + p_im * y_im)
    loss = tl.where(twice, w * of_products, loss)
    stored = kx < h
    tl.store(projected + place, tl.where(inside, g_re, 0.0), mask=stored)
    tl.store(projected + place + 1, tl.where(inside, g_im, 0.0), mask=stored)
    # All points with kx > 0 stand for their mates as well.
    mates = tl.where(kx == 0, 1.0, 2.0)
    out = sums + (program.to(tl.int64) * tl.num_programs(1) + block) * 2
    tl.store(out, tl.sum(tl.where(inside, mates * loss, 0.0), 0))
    tl.store(out + 1, tl.sum(tl.where(inside, mates * (p_re * g_re + p_im * g_im), 0.0), 0))
