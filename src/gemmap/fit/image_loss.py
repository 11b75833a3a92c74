"""The loss of projected images against observed ones, and its gradient with respect to the projections.

    L = 1/2 sum_i sum_k |c_i CTF_i(k) P_i(k) - Y_i(k)|^2 / sigma^2(k),

the sum over all frequencies of radius below D/2, Y and P plain transforms (no factor), sigma^2 the noise power of a
coefficient. It is the loss whose sum over all particles the aggregate holds: with P_i the projections of V it is
1/2 V'KV - b'V plus a constant (docs/derivations.md). The in-plane shift is not here: projections are made shifted.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.geometry.grids import half_plane_frequencies, shell_index
from gemmap.physics.ctf import ctf_from_coefficients


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Observed images with what the model needs, on one device.

    Attributes
    ----------
    images
        y, (b, D, D), at least one.
    ctf
        Coefficients (b, 7) of :meth:`gemmap.physics.ctf.CtfParameters.phase_coefficients`, or None for images without.
    scales
        c, (b,), not 0.
    inverse_noise
        1/sigma^2 of image i in the shells 0 .. D//2 at least, (b, s).
    pixel_size_a
        Å per pixel.
    """

    images: Float[Tensor, "b d d"]
    ctf: Float[Tensor, "b 7"] | None
    scales: Float[Tensor, " b"]
    inverse_noise: Float[Tensor, "b s"]
    pixel_size_a: float

    @property
    def box_px(self) -> int:
        """Side of the images."""
        return int(self.images.shape[-1])


@dataclass(frozen=True, eq=False)
class LossAndGradients:
    """Loss of every image, its derivatives with respect to the projections, and with respect to the scales."""

    losses: Float[Tensor, " b"]
    by_projection: Float[Tensor, "b d d"]
    by_scale: Float[Tensor, " b"]


def image_loss(projections: Float[Tensor, "b d d"], batch: ImageBatch) -> LossAndGradients:
    """Compare projections (origin at pixel D//2, before CTF and scale) with the images of a batch."""
    d = batch.box_px
    scale = batch.scales[:, None, None]
    transfer = scale if batch.ctf is None else scale * ctf_from_coefficients(batch.ctf, d, batch.pixel_size_a)
    modelled = transfer * _transform(projections)
    residual = modelled - _transform(batch.images)
    weighted = _weights(batch) * residual
    mates = _mates(d, batch.images)
    return LossAndGradients(
        0.5 * _inner(residual, weighted, mates),
        _adjoint(transfer * weighted, d),
        _inner(modelled, weighted, mates) / batch.scales,
    )


def _transform(images: Float[Tensor, "b d d"]) -> Complex[Tensor, "b d h"]:
    """Plain transform with the origin at pixel D//2."""
    result: Tensor = torch.fft.rfft2(torch.fft.ifftshift(images, dim=(-2, -1)))
    return result


def _adjoint(transform: Complex[Tensor, "b d h"], size: int) -> Float[Tensor, "b d d"]:
    """Sum over the full plane of Re(transform exp(2 pi i k.x / D)): the adjoint of :func:`_transform`."""
    images: Tensor = torch.fft.irfft2(transform, s=(size, size), norm="forward")
    centred: Tensor = torch.fft.fftshift(images, dim=(-2, -1))
    return centred


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


def _weights(batch: ImageBatch) -> Float[Tensor, "b d h"]:
    """1/sigma^2 at every frequency of radius below D/2, 0 beyond."""
    d = batch.box_px
    ky, kx = half_plane_frequencies(d)
    shell = np.where(4 * (ky**2 + kx**2) < d**2, shell_index(d, 2), -1)
    with_zero = torch.nn.functional.pad(batch.inverse_noise, (0, 1))
    return with_zero[:, torch.from_numpy(shell).to(with_zero.device)]
