"""The normal equations of a set of particles, made dimensionless.

The data term is L(V) = 1/2 V'KV - b'V in nats. K is a convolution: its kernel is the transform of the aggregate's
weight, divided at every lag by the trilinear kernel's transform sinc^2 (docs/derivations.md). Lengths are voxels and
densities are counted in ``unit`` = K(0)^(-1/2), the standard deviation of a voxel under white noise, so b has unit
variance and no result depends on the grey values of the images.
"""

from dataclasses import dataclass, field

import numpy as np
import scipy.fft
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.errors import NumericsError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.convolution import Room, convolve
from gemmap.fit.grid_planes import to_real_space, transform_symmetric

#: Pixels between the particle sphere and the faces of the cube in which a map is fitted.
MARGIN_PX = 7


def working_size(box_px: int, radius_px: float) -> int:
    """Even side of the centred cube that holds the particle sphere, at most the box."""
    return min(box_px, 2 * int(np.ceil(radius_px + MARGIN_PX)))


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """K and b on a centred cube of ``size`` voxels, on a device; origin at index size//2.

    Attributes
    ----------
    kernel
        Transform of K on a grid of ``grid`` >= 2 size samples (or the aggregate's grid), planes of constant x frequency
        first: real, >= 0.
    data
        b, (size, size, size).
    unit
        Grey value of density 1.
    room
        For convolutions, one thread at a time.
    """

    kernel: Float[Tensor, "h g g"]
    data: Float[Tensor, "d d d"]
    size: int
    grid: int
    unit: float
    room: Room = field(default_factory=Room)

    @classmethod
    def build(cls, aggregate: Aggregate, size: int, device: torch.device) -> "NormalEquations":
        """Make the normal equations of an aggregate for maps that are zero outside a centred cube of ``size`` voxels.

        Raises
        ------
        NumericsError
            If the aggregate holds no information (no particles, or all weights zero).
        """
        m = aggregate.grid_px
        grid = min(m, _even_fast_size(2 * size))
        lags = _without_kernel(aggregate.weight, grid, device)
        at_zero = float(lags[grid // 2, grid // 2, grid // 2])
        if not (np.isfinite(at_zero) and at_zero > 0):
            raise NumericsError("The particles carry no information: all their weights are zero; check CTFs and poses.")
        unit = at_zero**-0.5
        kernel = transform_symmetric(lags).mul_(unit**2).clamp_min_(0.0)
        del lags
        data = _without_kernel(aggregate.numerator, size, device)
        return cls(kernel, data.mul_(unit), size, grid, unit)

    def apply(self, volume: Float[Tensor, "d d d"]) -> Float[Tensor, "d d d"]:
        """K V."""
        return convolve(volume, self.kernel, self.room)

    def gradient(self, volume: Float[Tensor, "d d d"]) -> tuple[Float[Tensor, "d d d"], float]:
        """K V - b and the data term 1/2 V'KV - b'V."""
        kv = self.apply(volume)
        loss = float(torch.sum(torch.mul(kv, 0.5).sub_(self.data).mul_(volume), dtype=torch.float64))
        return kv.sub_(self.data), loss


def _without_kernel(
    transform: Complex[np.ndarray, "m m h"] | Float[np.ndarray, "m m h"], size: int, device: torch.device
) -> Float[Tensor, "d d d"]:
    """Back to real space without factor 1/M^3, cut to ``size`` with the origin at size//2, the trilinear kernel undone.

    The mean of every image falls exactly on the grid point k = 0, where the kernel spreads nothing: it is a constant of
    the volume that must not be divided by the kernel's transform.
    """
    m = transform.shape[0]
    mean = float(transform[0, 0, 0].real)

    def planes(some: slice) -> Tensor:
        chosen = torch.from_numpy(transform[:, :, some]).to(device, torch.complex64)
        return chosen.permute(2, 1, 0).contiguous()

    volume = to_real_space(planes, m, size, device).mul_(float(m) ** 3).sub_(mean)
    window = _inverse_apodisation(m, size, volume.device)
    for axis in (window[:, None, None], window[None, :, None], window[None, None, :]):
        volume.mul_(axis)
    return volume.add_(mean)


def _inverse_apodisation(grid_px: int, size: int, device: torch.device) -> Tensor:
    x = (torch.arange(size, device=device) - size // 2) / grid_px
    return 1.0 / torch.sinc(x) ** 2


def _even_fast_size(n: int) -> int:
    while n % 2 or scipy.fft.next_fast_len(n, real=True) != n:
        n += 1
    return n
