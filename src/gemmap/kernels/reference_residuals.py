"""The readable definition of what is done to the transforms of images, in plain torch: any dtype, any device.

Per image, with T the transfer times c, Y the transform without its odd aberrations, R = T P - Y and W = 1/sigma^2 below
the radius D/2 and 0 beyond: the loss 1/2 <R, W R>, its derivative T W R with respect to P, and <T P, W R> / c with
respect to c; <a, b> the real inner product over the full plane. Of images that were multiplied by their CTF only T Y is
known: see :func:`gemmap.kernels.residuals.weigh_residuals`.
"""

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.geometry.grids import half_plane_frequencies, shell_index
from gemmap.physics.image_model import MODE, Mode, odd_turns, transfer


@torch.no_grad()
def weigh_residuals(
    projected: Complex[Tensor, "b d h"],
    observed: Complex[Tensor, "b d h"],
    coefficients: Float[Tensor, "b 33"],
    scales: Float[Tensor, " b"],
    inverse_noise: Float[Tensor, "b s"],
) -> tuple[Complex[Tensor, "b d h"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Derivative T W R, losses and derivatives by c; see :func:`gemmap.kernels.residuals.weigh_residuals`."""
    size = projected.shape[1]
    coefficients = coefficients.to(scales.dtype)
    scale = scales[:, None, None]
    through = scale * transfer(coefficients, size)
    modelled = through * projected
    observed = observed * torch.exp(-2j * torch.pi * odd_turns(coefficients, size))
    weights, mates = _weights(inverse_noise, size), _mates(size, scales)
    residual = modelled - observed
    # T R of images that hold T Y already.
    multiplied = through * modelled - scale * observed
    is_multiplied = coefficients[:, MODE] == Mode.MULTIPLIED
    losses = torch.where(
        is_multiplied,
        0.5 * _inner(projected, weights * (multiplied - scale * observed), mates),
        0.5 * _inner(residual, weights * residual, mates),
    )
    gradient = weights * torch.where(is_multiplied[:, None, None], multiplied, through * residual)
    return gradient, losses, _inner(projected, gradient, mates) / scales


def _inner(a: Tensor, b: Tensor, mates: Tensor) -> Float[Tensor, " b"]:
    """Real inner product over the full plane."""
    product: Tensor = ((a.real * b.real + a.imag * b.imag) * mates).sum(dim=(-2, -1))
    return product


def _mates(size: int, like: Tensor) -> Float[Tensor, " h"]:
    """How many coefficients of the full plane one of the half-plane stands for: 1 on x = 0, else 2.

    The Nyquist column of even sizes, one of its own, is beyond the radius D/2 and left out of every sum.
    """
    count = torch.full((size // 2 + 1,), 2.0, dtype=like.dtype, device=like.device)
    count[0] = 1.0
    return count


def _weights(inverse_noise: Float[Tensor, "b s"], size: int) -> Float[Tensor, "b d h"]:
    """1/sigma^2 at every frequency of radius below D/2, 0 beyond."""
    ky, kx = half_plane_frequencies(size)
    shell = np.where(4 * (ky**2 + kx**2) < size**2, shell_index(size, 2), -1)
    with_zero = torch.nn.functional.pad(inverse_noise, (0, 1))
    return with_zero[:, torch.from_numpy(shell).to(with_zero.device)]
