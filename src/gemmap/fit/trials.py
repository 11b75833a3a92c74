"""Trial fits: to three quarters of a half, scored on the rest, they decide how all of it is fitted."""

import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Volume
from gemmap.errors import InputError
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.fit.config import FitConfig
from gemmap.fit.gaussian_fit import Step, fit_gaussians
from gemmap.fit.held_out import HeldOutScore
from gemmap.fit.init import from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import StepRecord
from gemmap.fit.region import Region, to_box, to_cube
from gemmap.fit.voxels import VoxelSettings, blur, fit_voxels, noise_of_blob

#: Settings tried. A narrow blob and a low penalty serve much data, a wide blob and a high penalty little.
TRIED = (VoxelSettings(0.5, 0.5, 20), VoxelSettings(0.5, 1.0, 20), VoxelSettings(0.7, 1.0, 20))
#: A first look: where the particle is, and whether it is bright.
QUICK = VoxelSettings(0.7, 0.5, 10)
#: A trial stops when this many scored steps in a row brought nothing better; it may not choose fewer steps than the
#: least, since it sees fewer particles than the fit it decides for.
PATIENCE, LEAST_STEPS = 2, 2
#: Images are called inverted when negative density scores this many times better than positive, and better than noise.
INVERTED_MARGIN, LEAST_SCORE = 1.1, 0.08


@dataclass(frozen=True, eq=False)
class Choice:
    """What the trials decided, and the trial map itself (grey values), which has not seen the held-out particles."""

    voxels: VoxelSettings
    steps: int
    trial: Volume
    score: float


def mass_price(equations: NormalEquations, settings: VoxelSettings) -> float:
    """The voxel penalty as the price of one unit of mass."""
    return settings.penalty * noise_of_blob(equations, settings.blob_px)


def choose(
    seen: Aggregate,
    held_out: Aggregate,
    region: Region,
    config: FitConfig,
    count: int,
    seed: int,
    progress: Progress,
) -> Choice:
    """Decide blob, penalty and number of steps by trial fits to ``seen``, scored on ``held_out``.

    Raises
    ------
    InputError
        If negative density predicts the held-out particles better: the contrast is inverted.
    """
    device = torch.device(config.device)
    equations = NormalEquations.build(seen, region.size, device)
    score = _positive_score(equations, seen, held_out, region)
    trials = []
    with stage(progress, "trial voxels", sum(t.iterations for t in TRIED), "iterations"):
        for tried in TRIED:
            u = fit_voxels(equations, region.on(device), tried, lambda _i, _u: progress.advance(1))
            trials.append((score(blur(u, tried.blob_px, equations.grid)), tried, u))
    _, settings, u = max(trials, key=lambda t: t[0])
    records: list[StepRecord] = []
    best: list[Step] = []
    began = time.perf_counter()
    with stage(progress, "trial Gaussians", config.max_steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1))
            if step.number % 2:
                return True
            value = score(step.volume)
            if step.number <= LEAST_STEPS or value > max(r.score for r in records if r.step >= LEAST_STEPS):
                best[:] = [step]
            records.append(StepRecord(step.number, step.loss, value, time.perf_counter() - began))
            return step.number - best[0].number < 2 * PATIENCE

        start = from_voxels(u, settings.blob_px, count, seed)
        fit_gaussians(equations, start, mass_price(equations, settings), config.max_steps, keep_going)
    return Choice(
        settings,
        best[0].number,
        to_box(best[0].volume, seen.box_px, equations.unit),
        next(r.score for r in records if r.step == best[0].number),
    )


def _positive_score(equations: NormalEquations, seen: Aggregate, held_out: Aggregate, region: Region) -> HeldOutScore:
    """The score within the particle's envelope, after making sure that the particle is bright."""
    device = equations.data.device
    maps = [to_cube(back_projection(a), region.size, device) for a in (seen, held_out)]
    everywhere = region.on(device)
    score = HeldOutScore(maps[0], maps[1], everywhere)
    densities = []
    for sign in (1.0, -1.0):
        signed = replace(equations, data=equations.data * sign)
        densities.append(blur(fit_voxels(signed, everywhere, QUICK), QUICK.blob_px, signed.grid))
    positive, negative = score(densities[0]), score(-densities[1])
    if negative > max(INVERTED_MARGIN * positive, LEAST_SCORE):
        raise InputError(
            f"The particles seem to be dark: negative density predicts held-out images better (score {negative:.3f}) "
            f"than positive density ({positive:.3f}); expected bright particles, add --invert (or leave it out)."
        )
    envelope = region.envelope(to_box(densities[0], seen.box_px, equations.unit), seen.pixel_size_a)
    window: Float[Tensor, "d d d"] = to_cube(envelope, region.size, device)
    return HeldOutScore(maps[0], maps[1], window)
