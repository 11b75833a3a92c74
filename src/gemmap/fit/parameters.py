"""The 11 numbers of each Gaussian as they are optimised: unbounded, dimensionless, in voxels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.fit.config import Shape
from gemmap.gaussians.model import Gaussians
from gemmap.kernels import ops

#: Bounds of the standard deviation in voxels. Below 0.35 a Gaussian falls between the voxels that sample it.
MIN_SCALE_PX, MAX_SCALE_PX = 0.35, 4.0


@dataclass(frozen=True, eq=False)
class Parameters:
    """Centres in voxels from the origin (xyz), log standard deviations, quaternions (wxyz) and log masses in units."""

    centres: Float[Tensor, "n 3"]
    log_scales: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    log_masses: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.log_masses)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors, in the order of the fields."""
        return self.centres, self.log_scales, self.quaternions, self.log_masses

    def voxelize(self, size: int) -> Float[Tensor, "d d d"]:
        """The map on a cube of ``size`` voxels."""
        return ops.voxelize(self.centres, self.log_scales.exp(), self.quaternions, self.log_masses.exp(), size)

    def gather(self, gradient: Float[Tensor, "d d d"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Derivatives of <gradient, map> with respect to the four tensors."""
        scales, masses = self.log_scales.exp(), self.log_masses.exp()
        centres, by_scale, quaternions, by_mass = ops.voxelize_gather(
            gradient, self.centres, scales, self.quaternions, masses
        )
        return centres, by_scale * scales, quaternions, by_mass * masses

    def to_gaussians(self, pixel_size_a: float, unit: float) -> Gaussians:
        """The same Gaussians in Å and grey values, on the CPU."""
        q = self.quaternions / self.quaternions.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return Gaussians(
            (self.centres * pixel_size_a).cpu(),
            (self.log_scales.exp() * pixel_size_a).cpu(),
            q.cpu(),
            (self.log_masses.exp() * unit).cpu(),
        )


def clone(parameters: Parameters) -> Parameters:
    """Return a copy that shares no memory."""
    return Parameters(*(torch.clone(t) for t in parameters.tensors()))


def bound(parameters: Parameters) -> Parameters:
    """Bring scales within their bounds and quaternions to unit length, in place; return the same parameters."""
    parameters.log_scales.clamp_(math.log(MIN_SCALE_PX), math.log(MAX_SCALE_PX))
    parameters.quaternions.div_(parameters.quaternions.norm(dim=1, keepdim=True))
    return parameters


def restrict(slopes: list[Tensor], shape: Shape) -> list[Tensor]:
    """Derivatives with respect to centres, log scales, quaternions and log masses, of the parameters that may change.

    The scales of a round Gaussian are one parameter, their log: each axis gets the mean derivative.
    """
    centres, log_scales, quaternions, log_masses = slopes
    if shape != "free":
        quaternions = quaternions.new_zeros(quaternions.shape)
    if shape == "round":
        log_scales = log_scales.mean(dim=1, keepdim=True).expand_as(log_scales)
    elif shape == "fixed":
        log_scales = log_scales.new_zeros(log_scales.shape)
    return [centres, log_scales, quaternions, log_masses]
