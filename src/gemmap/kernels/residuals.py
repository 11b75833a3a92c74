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
    ctf: Float[Tensor, "b 7"] | None,
    scales: Float[Tensor, " b"],
    inverse_noise: Float[Tensor, "b s"],
    pixel_size_a: float,
    backend: str = "auto",
) -> tuple[Complex[Tensor, "b d h"], Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Loss of every image, its derivative with respect to the projection, and with respect to the scale.

    With T = c CTF, R = T P - Y and W = 1/sigma^2 below the radius D/2, 0 beyond: T W R, 1/2 <R, W R> and
    <T P, W R> / c, the products over the full plane.

    Parameters
    ----------
    projected, observed
        P and Y on the half-plane, ky in FFT order; both with the same origin, whichever it is. P may be overwritten.
    ctf
        Coefficients of :meth:`gemmap.physics.ctf.CtfParameters.phase_coefficients`, or None for images without.
    scales
        c, not 0.
    inverse_noise
        1/sigma^2 in the shells 0 .. D//2 at least.
    backend
        ``auto``, ``numba`` (float32 on the CPU) or ``reference``.

    Raises
    ------
    BackendError
        If the backend asked for cannot run here.
    """
    name = registry.choose("weigh_residuals", scales.device, scales.dtype, backend)
    function = registry.load("weigh_residuals", name)
    if name != "numba":
        return function(projected, observed, ctf, scales, inverse_noise, pixel_size_a)  # type: ignore[no-any-return]
    coefficients = None if ctf is None else ctf.numpy()
    p, y, c, noise = arrays(projected, observed, scales, inverse_noise)
    gradient, losses, by_scale = function(p, y, coefficients, c, noise, pixel_size_a)
    return torch.from_numpy(gradient), torch.from_numpy(losses), torch.from_numpy(by_scale)
