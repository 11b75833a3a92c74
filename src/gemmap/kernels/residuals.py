"""Residuals of image transforms, weighed: choice of backend."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.kernels import registry
from gemmap.kernels.inputs import arrays


@torch.no_grad()
def weigh_residuals(
    projected: Complex[Tensor, "b d h"],
    observed: Complex[Tensor, "b d h"],
    coefficients: Float[Tensor, "b 33"],
    scales: Float[Tensor, " b"],
    inverse_noise: Float[Tensor, "b s"],
    backend: str = "auto",
) -> tuple[Complex[Tensor, "b d h"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Loss of every image, its derivative with respect to the projection, and with respect to the scale.

    With T the transfer times c, Y without its odd aberrations, R = T P - Y and W = 1/sigma^2 below the radius D/2, 0
    beyond: T W R, 1/2 <R, W R> and <T P, W R> / c, the products over the full plane.

    Images that were multiplied by their CTF are T Y' = c Y instead: the derivatives need no more than that, and the
    loss is 1/2 <T P, W T P> - <P, W c Y>, without the constant 1/2 <Y', W Y'>, which is lost where the CTF is 0.

    Parameters
    ----------
    projected, observed
        P and Y on the half-plane, ky in FFT order; both with the same origin, whichever it is. P may be overwritten.
    coefficients
        Of transfer and aberrations, :class:`gemmap.physics.image_model.ImageModel`; in float64 for the numba kernel
        they lose nothing.
    scales
        c, not 0.
    inverse_noise
        1/sigma^2 in the shells 0 .. D//2 at least.
    backend
        ``auto``, ``numba`` (float32 on the CPU), ``triton`` (float32 on an NVIDIA GPU) or ``reference``.

    Raises
    ------
    BackendError
        If the backend asked for cannot run here.
    """
    name = registry.choose("weigh_residuals", scales.device, scales.dtype, backend)
    function = registry.load("weigh_residuals", name)
    if name != "numba":
        return function(projected, observed, coefficients, scales, inverse_noise)  # type: ignore[no-any-return]
    gradient, losses, by_scale = function(*arrays(projected, observed, coefficients, scales, inverse_noise))
    return torch.from_numpy(gradient), torch.from_numpy(losses), torch.from_numpy(by_scale)
