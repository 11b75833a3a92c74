"""What trial fits decide, and how the decisions of two halves are joined."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gemmap._types import Curve, Volume
from gemmap.fit.agreement import HeldOutAgreement
from gemmap.fit.voxels import VoxelSettings

#: Voxel settings tried; the first is kept unless another is better by more than this part of the difference's error. A
#: narrow blob serves much data and fine detail.
TRIED = (VoxelSettings(0.7, 1.0, 20), VoxelSettings(0.5, 1.0, 20))
CAUTION = 0.5


@dataclass(frozen=True)
class Settings:
    """How to fit: start, steps of Adam, and whether the residual is added inside the particle's envelope only."""

    voxels: VoxelSettings
    steps: int
    inside_envelope: bool


@dataclass(frozen=True)
class Gain:
    """Score of a setting less that of the first one tried, and the standard deviation of this difference by noise."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class Choice:
    """What the trials decided.

    Attributes
    ----------
    settings
        The best.
    gains
        Of every one of TRIED.
    trial
        Map of the best trial (grey values), which has not seen the held-out particles.
    error
        Its variance, measured on them (:func:`gemmap.fit.residual.error_variance`).
    score
        Its score.
    agreement
        Of it, with the residual added as the fit of all particles has it, and of the back-projection of the same
        particles (``map`` and ``backprojection``) with those and with the held-out ones.
    scores
        Steps and score of every map of the trial fit that was scored.
    """

    settings: Settings
    gains: tuple[Gain, ...]
    trial: Volume
    error: Curve
    score: float
    agreement: HeldOutAgreement
    scores: tuple[tuple[int, float], ...] = ()


def best_of(gains: Sequence[Gain]) -> int:
    """Index of the setting that is better than the first, most certainly; 0 if none is."""
    certain = [gain.value - CAUTION * gain.error for gain in gains]
    return max(range(len(gains)), key=lambda i: certain[i])


def joint(first: Choice, second: Choice) -> Settings:
    """Settings for the particles of both halves.

    Gains of independent particles add. Too many steps cost more than too few: the shorter fit is taken, and the
    envelope only where both halves want it.
    """
    gains = [
        Gain(a.value + b.value, math.hypot(a.error, b.error)) for a, b in zip(first.gains, second.gains, strict=True)
    ]
    both = (first.settings, second.settings)
    return Settings(TRIED[best_of(gains)], min(s.steps for s in both), all(s.inside_envelope for s in both))
