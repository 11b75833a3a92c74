"""One fit: an aggregate in, maps and Gaussians out. It sees no particles but those of the aggregate."""

import time

import torch

from gemmap._types import Curve, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.fit.config import FitConfig
from gemmap.fit.gaussian_fit import Step, fit_gaussians
from gemmap.fit.held_out import HeldOutScore
from gemmap.fit.init import from_voxels
from gemmap.fit.normal import NormalEquations
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult, StepRecord
from gemmap.fit.region import Region, to_box, to_cube
from gemmap.fit.residual import add_residual, error_variance
from gemmap.fit.trials import Choice, mass_price
from gemmap.fit.voxels import blur, fit_voxels

#: Factors on the variance of the residual that are tried, and whether inside the particle's envelope only.
RESIDUALS = ((0.0, True), (0.3, True), (1.0, True), (1.0, False))


def fit(
    aggregate: Aggregate,
    choice: Choice,
    seen: Aggregate,
    held_out: Aggregate,
    region: Region,
    config: FitConfig,
    count: int,
    seed: int,
    progress: Progress,
) -> tuple[FitResult, Volume]:
    """Fit all particles of ``aggregate`` as the trials chose; return the result and the map of the Gaussians alone.

    ``choice.trial`` was fitted to ``seen``; its residual on ``held_out`` says what the Gaussians cannot represent.
    """
    device = torch.device(config.device)
    box = aggregate.box_px
    equations = NormalEquations.build(aggregate, region.size, device)
    with stage(progress, "voxels", choice.voxels.iterations, "iterations"):
        u = fit_voxels(equations, region.on(device), choice.voxels, lambda _i, _u: progress.advance(1))
    records: list[StepRecord] = []
    began = time.perf_counter()
    with stage(progress, "Gaussians", choice.steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1), f"loss {step.loss:.0f}")
            records.append(StepRecord(step.number, step.loss, float("nan"), time.perf_counter() - began))
            return True

        start = from_voxels(u, choice.voxels.blob_px, count, seed)
        last = fit_gaussians(equations, start, mass_price(equations, choice.voxels), choice.steps, keep_going)
    gaussian_map = to_box(last.volume, box, equations.unit)
    voxel_map = to_box(blur(u, choice.voxels.blob_px, equations.grid), box, equations.unit)
    gaussians = last.parameters.to_gaussians(aggregate.pixel_size_a, equations.unit)
    unit = equations.unit
    del equations, u, last
    variance = error_variance(choice.trial, seen, held_out)
    strength, inside = _choose_residual(choice.trial, seen, held_out, variance, region)
    envelope = region.envelope(gaussian_map, aggregate.pixel_size_a) if inside else region.window
    result = FitResult(
        map=add_residual(gaussian_map, aggregate, strength * variance, envelope) if strength else gaussian_map,
        backprojection=back_projection(aggregate),
        voxels=voxel_map,
        gaussians=gaussians,
        steps=tuple(records),
        stopped_because=f"held-out score was best after {choice.steps} steps",
        seed=seed,
        n_particles=aggregate.n_particles,
        details={
            "blob_px": choice.voxels.blob_px,
            "penalty": choice.voxels.penalty,
            "voxel_iterations": choice.voxels.iterations,
            "held_out_score": choice.score,
            "n_gaussians": len(gaussians),
            "n_gaussians_allowed": count,
            "envelope_fraction": float(envelope.mean()),
            "grey_value_unit": unit,
            "residual_strength": strength,
        },
    )
    return result, gaussian_map


def _choose_residual(
    trial: Volume, seen: Aggregate, held_out: Aggregate, variance: Curve, region: Region
) -> tuple[float, bool]:
    """Factor on the variance, and whether to stay inside the particle's envelope, that predict held-out particles best.

    The error of a fit is in part noise that it followed. That part adds to the variance, but adding its residual back
    would only undo the fit; so the residual has to show that it helps. Outside the envelope it helps where neighbours
    or membranes are.
    """
    cpu = torch.device("cpu")
    envelope = region.envelope(trial, seen.pixel_size_a)
    maps = [to_cube(back_projection(a), region.size, cpu) for a in (seen, held_out)]
    score = HeldOutScore(maps[0], maps[1], region.on(cpu))

    def value(choice: tuple[float, bool]) -> float:
        strength, inside = choice
        where = envelope if inside else region.window
        candidate = add_residual(trial, seen, strength * variance, where) if strength else trial
        return score(to_cube(candidate, region.size, cpu))

    return max(RESIDUALS, key=value)
