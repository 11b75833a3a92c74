"""More Gaussians where they are pulled, fewer where they carry nothing.

After Kerbl et al. 2023 (3D Gaussian splatting, section 5.2), but a change keeps the map nearly as it is: a Gaussian is
replaced by two of half its mass. Wide ones are *split* along their longest axis, which keeps first and second moments;
narrow ones are *cloned*, the two copies a little apart, so that their gradients differ.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gemmap.fit.parameters import Parameters
from gemmap.gaussians.covariance import rotation_matrices

#: Largest standard deviation in voxels above which a Gaussian is split rather than cloned.
SPLIT_ABOVE_PX = 1.0
#: Half the distance of the two parts in standard deviations. Split: with 0.8 and a scale of 0.6 the variance is kept.
SPLIT_OFFSET, SPLIT_SCALE, CLONE_OFFSET = 0.8, 0.6, 0.2
#: A Gaussian of less than this part of the mean mass is taken away.
LEAST_MASS = 0.02


@dataclass(frozen=True, eq=False)
class Change:
    """New Gaussians, the old one that each comes from, and which ones start without momentum."""

    parameters: Parameters
    source: Int[Tensor, " n"]
    is_new: Bool[Tensor, " n"]


def densify(parameters: Parameters, pull: Float[Tensor, " n"], fraction: float, cap: int) -> Change:
    """Divide the Gaussians that are pulled hardest, at most ``fraction`` of all and no more than ``cap`` in total.

    Parameters
    ----------
    pull
        How strongly each centre was pulled lately, >= 0; Gaussians without any pull stay.
    """
    n = len(parameters)
    number = max(min(int(fraction * n), cap - n, int((pull > 0).sum())), 0)
    divided = torch.topk(pull, number).indices
    device = parameters.centres.device
    source = torch.cat([torch.arange(n, device=device), divided])
    first = torch.zeros(n, dtype=torch.bool, device=device)
    first[divided] = True
    is_new = torch.cat([first, torch.ones(number, dtype=torch.bool, device=device)])
    centres, log_scales, quaternions, log_masses = (t[source].clone() for t in parameters.tensors())

    scales = parameters.log_scales[divided].exp()
    longest = scales.argmax(dim=1)
    widest = scales.gather(1, longest[:, None])
    axis = rotation_matrices(parameters.quaternions[divided]).gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
    split = widest[:, 0] > SPLIT_ABOVE_PX
    offset = axis * widest * (CLONE_OFFSET + split.to(scales) * (SPLIT_OFFSET - CLONE_OFFSET))[:, None]
    narrower = split.to(scales) * math.log(SPLIT_SCALE)
    shrink = torch.zeros_like(scales).scatter_(1, longest[:, None], narrower[:, None])
    for rows, sign in ((divided, 1.0), (torch.arange(n, n + number, device=device), -1.0)):
        centres[rows] += sign * offset
        log_scales[rows] += shrink
        log_masses[rows] -= math.log(2.0)
    return Change(Parameters(centres, log_scales, quaternions, log_masses), source, is_new)


def prune(parameters: Parameters) -> Change:
    """Take away Gaussians of next to no mass; the others take over the mass that is lost. At least one is left."""
    masses = parameters.log_masses.exp()
    kept = masses >= LEAST_MASS * masses.mean()
    source = torch.nonzero(kept).flatten()
    centres, log_scales, quaternions, log_masses = (t[source].clone() for t in parameters.tensors())
    log_masses += (masses.sum() / masses[source].sum()).log()
    is_new = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    return Change(Parameters(centres, log_scales, quaternions, log_masses), source, is_new)
