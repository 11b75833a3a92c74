"""Are particles bright? Density that is positive, or negative, is fitted to most of a sample and judged on the rest."""

import functools
import operator
from dataclasses import dataclass, replace

import torch

from gemmap.checks.agreement import Assumption, SmallImages
from gemmap.fit.backprojection import back_projection
from gemmap.fit.held_out import HeldOutScore
from gemmap.fit.normal import NormalEquations
from gemmap.fit.region import Region, to_cube
from gemmap.fit.trials import SIGN
from gemmap.fit.voxels import blur, fit_voxels

#: Every fourth image is held out.
HELD_OUT = 4
#: Radius of the sphere fitted, as a fraction of the box.
RADIUS = 0.42


@dataclass(frozen=True)
class SignScores:
    """Scores of positive and of negative density, and the error of their difference under noise alone."""

    bright: float
    dark: float
    error: float

    @property
    def significance(self) -> float:
        """Lead of positive density in errors; negative where negative density leads."""
        return (self.bright - self.dark) / self.error if self.error > 0 else 0.0


def compare_signs(images: SmallImages, assumption: Assumption) -> SignScores:
    """Fit positive and negative density to three quarters of the images and score both on the others."""
    device = torch.device("cpu")
    *others, held_out = images.aggregates(assumption, HELD_OUT)
    seen = functools.reduce(operator.add, others)
    region = Region.build(images.box_px, RADIUS * images.box_px, None)
    window = region.on(device)
    equations = NormalEquations.build(seen, region.size, device)
    maps = [to_cube(back_projection(a), region.size, device) for a in (seen, held_out)]
    score = HeldOutScore(maps[0], maps[1], window)
    scored = []
    for sign in (1.0, -1.0):
        signed = replace(equations, data=equations.data * sign)
        scored.append(score.measure(sign * blur(fit_voxels(signed, window, SIGN), SIGN.blob_px, signed.grid)))
    return SignScores(scored[0].value, scored[1].value, score.error(scored[0], scored[1]))
