"""What a reconstruction returns: values only, ready to be written by io and drawn by report."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gemmap._types import Curve, Int, Volume
from gemmap.fit.agreement import HeldOutAgreement
from gemmap.gaussians.model import Gaussians


@dataclass(frozen=True)
class StepRecord:
    """One step of a fit: data term in nats, seconds since the first step, Gaussians of the whole map."""

    step: int
    loss: float
    seconds: float
    n_gaussians: int


@dataclass(frozen=True, eq=False)
class FitResult:
    """Maps of one set of particles (a half, or all): grey values as sums over voxels, particle positive.

    ``gaussians`` are all that make up the map: first those of an asymmetric unit of ``symmetry``, then its copies.
    """

    map: Volume
    backprojection: Volume
    voxels: Volume
    gaussians: Gaussians
    steps: tuple[StepRecord, ...]
    stopped_because: str
    seed: int
    n_particles: int
    details: Mapping[str, float] = field(default_factory=dict)
    symmetry: str = "C1"


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Everything a run computed, before validation.

    ``dead_rows`` of the table were left out for their images. ``trial_scores`` holds, for ``half1`` and ``half2``,
    steps of the trial fit and the score of its map on the held-out particles. ``images_per_second`` is the rate of the
    pass; None where sums of an earlier pass were fitted. ``held_out`` is the agreement of the trial maps of both halves
    with the particles of their half that they were and were not fitted to.
    """

    half1: FitResult
    half2: FitResult
    full: FitResult
    pixel_size_a: float
    particle_diameter_a: float
    noise_spectra: Mapping[str, Curve]
    seconds: Mapping[str, float]
    images_per_second: float | None
    details: Mapping[str, float] = field(default_factory=dict)
    dead_rows: Int[np.ndarray, " k"] = field(default_factory=lambda: np.zeros(0, np.int64))
    trial_scores: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    held_out: HeldOutAgreement | None = None
