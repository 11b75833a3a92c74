"""The loss of projected images against observed ones, and its gradient with respect to the projections.

    L = 1/2 sum_i sum_k |c_i T_i(k) P_i(k) - Y_i(k)|^2 / sigma^2(k),

the sum over all frequencies of radius below D/2, Y and P plain transforms (no factor), sigma^2 the noise power of a
coefficient; T is the transfer of an image, and Y is without its odd aberrations. It is the loss whose sum over all
particles the aggregate holds: with P_i the projections of V it is 1/2 V'KV - b'V plus a constant
(docs/derivations.md). The in-plane shift is not here: projections are made shifted.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.kernels.residuals import weigh_residuals

_IMAGES_PER_THREAD = 4


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Observed images with what the model needs, on one device.

    Attributes
    ----------
    images
        y, (b, D, D), at least one.
    coefficients
        Of transfer and aberrations, (b, 33): :class:`gemmap.physics.image_model.ImageModel`.
    scales
        c, (b,), not 0.
    inverse_noise
        1/sigma^2 of image i in the shells 0 .. D//2 at least, (b, s).
    """

    images: Float[Tensor, "b d d"]
    coefficients: Float[Tensor, "b 33"]
    scales: Float[Tensor, " b"]
    inverse_noise: Float[Tensor, "b s"]

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
    """Compare projections (origin at pixel D//2, before CTF and scale) with the images of a batch.

    Transforms are taken about pixel 0: moving the origin turns the phases of P and Y alike, and of the residual back.
    """
    b, d = len(projections), batch.box_px
    by_projection = torch.empty_like(projections)
    losses, by_scale = torch.empty_like(batch.scales), torch.empty_like(batch.scales)
    # On the CPU few images at a time, so that their transforms stay in its caches.
    group = _IMAGES_PER_THREAD * torch.get_num_threads() if projections.device.type == "cpu" else b
    for start in range(0, b, group):
        here = slice(start, start + group)
        gradient, losses[here], by_scale[here] = weigh_residuals(
            torch.fft.rfft2(projections[here]),
            torch.fft.rfft2(batch.images[here]),
            batch.coefficients[here],
            batch.scales[here],
            batch.inverse_noise[here],
        )
        # The adjoint of the plain transform: the sum over the full plane, without a factor.
        by_projection[here] = torch.fft.irfft2(gradient, s=(d, d), norm="forward")
    return LossAndGradients(losses, by_projection, by_scale)
