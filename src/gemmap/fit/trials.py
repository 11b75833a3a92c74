"""Trial fits: to three quarters of a half, scored on the rest, they decide how all of it is fitted."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.fit.agreement import HeldOutAgreement, agreements
from gemmap.fit.backprojection import back_projection
from gemmap.fit.choice import CAUTION, TRIED, Choice, Gain, Settings, best_of
from gemmap.fit.config import FitConfig
from gemmap.fit.copies import Copies
from gemmap.fit.gaussian_fit import Step, fit_gaussians
from gemmap.fit.held_out import HeldOutScore, Scored
from gemmap.fit.init import VoxelStart
from gemmap.fit.moments import Moment
from gemmap.fit.normal import NormalEquations
from gemmap.fit.progress import Progress, stage
from gemmap.fit.region import Region, to_box, to_cube
from gemmap.fit.residual import add_residual, error_variance
from gemmap.fit.split import Split
from gemmap.fit.voxels import VoxelSettings, blur, fit_voxels, noise_of_blob

#: A first look: where the particle is. Whether it is bright is told as well by the first iterations of it.
QUICK = VoxelSettings(0.7, 0.5, 10)
SIGN = replace(QUICK, iterations=3)
#: Every second step is scored. A trial stops when this many scores in a row are not better, beyond noise, than the best
#: so far; it may not choose fewer steps than the least, since it sees fewer particles than the fit it decides for.
PATIENCE, LEAST_STEPS = 2, 2
#: Images are called inverted when negative density scores this many times better than positive, and better by this many
#: errors of the difference.
INVERTED_MARGIN, INVERTED_ERRORS = 1.1, 3.0


def mass_price(equations: NormalEquations, settings: VoxelSettings) -> float:
    """The voxel penalty as the price of one unit of mass."""
    return settings.penalty * noise_of_blob(equations, settings.blob_px)


def choose(
    split: Split,
    region: Region,
    config: FitConfig,
    count: int,
    seed: int,
    progress: Progress,
    stage_name: str,
) -> Choice:
    """Decide blob, penalty, steps and the residual's region by trial fits to the seen particles, scored on the others.

    Raises
    ------
    InputError
        If negative density predicts the held-out particles better: the contrast is inverted.
    """
    device = torch.device(config.device)
    copies = Copies.of(config.group, device)
    equations = NormalEquations.build(split.seen, region.size, device)
    score = _positive_score(equations, split, region, len(copies), config.refuse_dark)
    gains, tried, u = _try_voxels(equations, score, region, progress, stage_name)
    voxels = TRIED[tried]
    best: list[tuple[Step, Scored]] = []
    scores: list[tuple[int, float]] = []
    with stage(progress, "trial Gaussians", config.max_steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1))
            now = Moment(
                stage_name,
                "Gaussians",
                step.number,
                lambda: step.volume,
                step.loss,
                len(copies) * len(step.parameters),
            )
            if step.number % 2:
                progress.moment(now)
                return True
            scored = score.measure(step.volume)
            scores.append((step.number, scored.value))
            progress.moment(replace(now, score=scored.value))
            if step.number <= LEAST_STEPS or score.better(scored, best[0][1]):
                best[:] = [(step, scored)]
            return step.number - best[0][0].number < 2 * PATIENCE

        start = VoxelStart(u, voxels.blob_px, mass_price(equations, voxels), count, seed, copies)
        fit_gaussians(equations, start.on_voxels(), start.price, config.max_steps, keep_going, config.shape, copies)
    step, scored = best[0]
    trial = to_box(step.volume, split.seen.box_px, equations.unit)
    error = error_variance(trial, *split.held_out)
    inside, with_residual = _with_residual(trial, error, split, region, score)
    maps = {"map": with_residual, "backprojection": back_projection(split.seen)}
    agreement = HeldOutAgreement(*agreements(maps, split.all_held_out(), split.seen))
    settings = Settings(voxels, step.number, inside)
    return Choice(settings, gains, trial, error, scored.value, agreement, tuple(scores))


def _try_voxels(
    equations: NormalEquations, score: HeldOutScore, region: Region, progress: Progress, stage_name: str
) -> tuple[tuple[Gain, ...], int, Tensor]:
    """Gains of all settings, the index of the best, and the voxels fitted with it."""
    window = region.on(equations.data.device)
    scores: list[Scored] = []
    fitted: list[Tensor] = []
    with stage(progress, "trial voxels", sum(t.iterations for t in TRIED), "iterations"):
        for settings in TRIED:

            def watch(iteration: int, u: Tensor, blob_px: float = settings.blob_px) -> None:
                progress.advance(1)
                progress.moment(Moment(stage_name, "voxels", iteration, lambda: blur(u, blob_px, equations.grid)))

            fitted.append(fit_voxels(equations, window, settings, watch))
            scores.append(score.measure(blur(fitted[-1], settings.blob_px, equations.grid)))
    gains = tuple(Gain(s.value - scores[0].value, score.error(s, scores[0])) for s in scores)
    best = best_of(gains)
    return gains, best, fitted[best]


def _with_residual(
    trial: Volume, error: Curve, split: Split, region: Region, score: HeldOutScore
) -> tuple[bool, Volume]:
    """Whether the residual predicts held-out particles better when it is added inside the particle's envelope only.

    It does if all of the error is there: the variance, known for the whole box, is then larger inside the envelope.
    With neighbours, membranes or noise that the fit took for density it is not. The better map comes with the answer.
    """
    envelope = region.envelope(trial, split.seen.pixel_size_a)
    maps = [add_residual(trial, split.seen, error, where) for where in (envelope, region.window)]
    inside, everywhere = (score.measure(to_cube(m, region.size, score.device)) for m in maps)
    better = inside.value > everywhere.value + CAUTION * score.error(inside, everywhere)
    return better, maps[0] if better else maps[1]


def _positive_score(
    equations: NormalEquations, split: Split, region: Region, order: int, refuse_dark: bool
) -> HeldOutScore:
    """The score within the particle's envelope, after making sure that the particle is bright."""
    device = equations.data.device
    maps = [to_cube(back_projection(a), region.size, device) for a in (split.seen, split.all_held_out())]
    everywhere = region.on(device)
    score = HeldOutScore(maps[0], maps[1], everywhere, order)
    early: list[Tensor] = []

    def keep_early(iteration: int, u: Tensor) -> None:
        if iteration == SIGN.iterations:
            early.append(u.clone())

    quick = fit_voxels(equations, everywhere, QUICK, keep_early)
    early.append(-fit_voxels(replace(equations, data=-equations.data), everywhere, SIGN))
    positive, negative = (score.measure(blur(u, QUICK.blob_px, equations.grid)) for u in early)
    least = max(INVERTED_MARGIN * positive.value, positive.value + INVERTED_ERRORS * score.error(positive, negative))
    if refuse_dark and negative.value > least:
        raise InputError(
            "The particles seem to be dark: negative density predicts held-out images better (score "
            f"{negative.value:.3f}) than positive density ({positive.value:.3f}); expected bright particles, add "
            "--invert (or leave it out)."
        )
    density = to_box(blur(quick, QUICK.blob_px, equations.grid), split.seen.box_px, equations.unit)
    envelope = region.envelope(density, split.seen.pixel_size_a)
    window: Float[Tensor, "d d d"] = to_cube(envelope, region.size, device)
    return HeldOutScore(maps[0], maps[1], window, order)
