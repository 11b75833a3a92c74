"""One fit: the sum of two independent sets of particles in, maps and Gaussians out.

Nothing here sees particles other than those of the two sets. How long to iterate, how wide the blob and how strong the
penalty is decided by trial fits to one set, scored on the other; then everything is repeated on the sum.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
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
from gemmap.fit.init import default_count, from_voxels
from gemmap.fit.normal import NormalEquations, working_size
from gemmap.fit.parameters import Parameters
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult, StepRecord
from gemmap.fit.residual import add_residual, error_variance
from gemmap.fit.voxels import VoxelSettings, blur, fit_voxels, noise_of_blob
from gemmap.geometry.grids import centred_slice
from gemmap.validate.masks import spherical_mask

#: Width of the sphere's soft edge in voxels: a sharp edge, the same in both halves, would correlate far up in Fourier space.
EDGE_PX = 6.0
#: Settings tried on the first set and scored on the second. A narrow blob serves much data, a wide one little.
TRIED = (VoxelSettings(0.5, 1.0, 20), VoxelSettings(0.7, 1.0, 20), VoxelSettings(0.7, 0.5, 20))
#: A trial stops when this many scored steps in a row brought nothing better; it may not choose fewer steps than the
#: least, since it sees fewer particles than the fit it decides for.
PATIENCE, LEAST_STEPS = 2, 4
#: Images are called inverted when negative density scores this many times better than positive, and better than noise does.
INVERTED_MARGIN, LEAST_SCORE = 1.1, 0.05
QUICK = VoxelSettings(0.7, 0.5, 10)


@dataclass(frozen=True, eq=False)
class Region:
    """Where the map may differ from zero, as a soft window of the box, and the working cube around it."""

    window: Volume
    size: int

    @classmethod
    def build(cls, box_px: int, radius_px: float, mask: Volume | None) -> "Region":
        """A sphere of the given radius in pixels, narrowed by the user's mask."""
        window = spherical_mask(box_px, radius_px, EDGE_PX)
        if mask is not None:
            window = (window * mask).astype(np.float32)
            if not (window > 0).any():
                raise InputError(
                    "The mask is empty inside the particle sphere: check its position and --particle-diameter."
                )
        return cls(window, working_size(box_px, radius_px))

    def on(self, device: torch.device) -> Float[Tensor, "d d d"]:
        """The window on the working cube."""
        return torch.from_numpy(np.ascontiguousarray(cut(self.window, self.size))).to(device)


@dataclass(frozen=True, eq=False)
class Choice:
    """What the trial fits decided, and the trial map itself (grey values) with the set that it has not seen."""

    voxels: VoxelSettings
    steps: int
    trial: Volume
    score: float
    steps_tried: tuple[StepRecord, ...]


def cut(volume: Volume, size: int) -> Volume:
    """Centred cube of a map."""
    return volume[(centred_slice(volume.shape[0], size),) * 3]


def embed(volume: Tensor, box_px: int, unit: float) -> Volume:
    """A map of the working cube, in grey values, in the whole box."""
    out = np.zeros((box_px,) * 3, np.float32)
    out[(centred_slice(box_px, volume.shape[0]),) * 3] = (volume * unit).cpu().numpy()
    return out


def require_positive_contrast(
    equations: NormalEquations, region: Float[Tensor, "d d d"], score: HeldOutScore
) -> None:
    """Refuse data in which negative density predicts held-out particles better than positive density.

    Raises
    ------
    InputError
        If the sign of the images is inverted.
    """
    scores = []
    for sign in (1.0, -1.0):
        signed = replace(equations, data=equations.data * sign)
        density = blur(fit_voxels(signed, region, QUICK), QUICK.blob_px, signed.grid)
        scores.append(score(density * sign))
    positive, negative = scores
    if negative > max(INVERTED_MARGIN * positive, LEAST_SCORE):
        raise InputError(
            f"The particles seem to be dark: negative density predicts held-out images better (score {negative:.3f}) than "
            f"positive density ({positive:.3f}); expected bright particles, run again with --invert."
        )


def choose(
    seen: Aggregate,
    held_out: Aggregate,
    region: Region,
    config: FitConfig,
    count: int,
    seed: int,
    progress: Progress,
) -> Choice:
    """Decide blob, penalty, iterations and steps by trial fits to ``seen``, scored on ``held_out``."""
    device = torch.device(config.device)
    window = region.on(device)
    equations = NormalEquations.build(seen, region.size, device)

    def projection(aggregate: Aggregate) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(cut(back_projection(aggregate), region.size))).to(device)

    score = HeldOutScore(projection(seen), projection(held_out), window)
    require_positive_contrast(equations, window, score)
    trials = []
    with stage(progress, "trial voxels", sum(t.iterations for t in TRIED), "iterations"):
        for tried in TRIED:
            u = fit_voxels(equations, window, tried, lambda _i, _u: progress.advance(1))
            trials.append((score(blur(u, tried.blob_px, equations.grid)), tried, u))
    _, settings, u = max(trials, key=lambda t: t[0])
    start = from_voxels(u, settings.blob_px, count, seed)
    records: list[StepRecord] = []
    chosen: list[Step] = []
    began = time.perf_counter()
    with stage(progress, "trial Gaussians", config.max_steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1))
            if step.number % 2:
                return True
            value = score(step.volume)
            if step.number <= LEAST_STEPS or value > max(r.score for r in records if r.step >= LEAST_STEPS):
                chosen[:] = [step]
            records.append(StepRecord(step.number, step.loss, value, time.perf_counter() - began))
            return step.number - chosen[0].number < 2 * PATIENCE

        fit_gaussians(equations, start, mass_price(equations, settings), config.max_steps, keep_going)
    return Choice(
        settings,
        chosen[0].number,
        embed(chosen[0].volume, seen.box_px, equations.unit),
        max(r.score for r in records),
        tuple(records),
    )


def mass_price(equations: NormalEquations, settings: VoxelSettings) -> float:
    """The voxel penalty as the price of one unit of mass."""
    return settings.penalty * noise_of_blob(equations, settings.blob_px)


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
    window = region.on(device)
    equations = NormalEquations.build(aggregate, region.size, device)
    with stage(progress, "voxels", choice.voxels.iterations, "iterations"):
        u = fit_voxels(equations, window, choice.voxels, lambda _i, _u: progress.advance(1))
    start: Parameters = from_voxels(u, choice.voxels.blob_px, count, seed)
    records: list[StepRecord] = []
    began = time.perf_counter()
    with stage(progress, "Gaussians", choice.steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1), f"loss {step.loss:.0f}")
            records.append(StepRecord(step.number, step.loss, float("nan"), time.perf_counter() - began))
            return True

        last = fit_gaussians(equations, start, mass_price(equations, choice.voxels), choice.steps, keep_going)
    gaussian_map = embed(last.volume, box, equations.unit)
    variance = error_variance(choice.trial, seen, held_out)
    voxel_map = embed(blur(u, choice.voxels.blob_px, equations.grid), box, equations.unit)
    result = FitResult(
        map=add_residual(gaussian_map, aggregate, variance, region.window),
        backprojection=back_projection(aggregate),
        voxels=voxel_map,
        gaussians=last.parameters.to_gaussians(aggregate.pixel_size_a, equations.unit),
        steps=tuple(records),
        stopped_because=f"held-out score was best after {choice.steps} steps",
        seed=seed,
        n_particles=aggregate.n_particles,
        details={
            "blob_px": choice.voxels.blob_px,
            "penalty": choice.voxels.penalty,
            "voxel_iterations": choice.voxels.iterations,
            "held_out_score": choice.score,
            "n_gaussians": len(last.parameters),
            "n_gaussians_allowed": count,
        },
    )
    return result, gaussian_map


__all__ = ["Choice", "Region", "choose", "default_count", "fit"]
