"""Two ways down the same loss from the same start: against the aggregate, or image by image."""

import time
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gemmap.fit.config import Shape
from gemmap.fit.gaussian_fit import Step, fit_gaussians
from gemmap.fit.image_batches import Particles
from gemmap.fit.images import train
from gemmap.fit.init import VoxelStart, at_random
from gemmap.fit.keeper import RunState
from gemmap.fit.moments import Moment
from gemmap.fit.normal import NormalEquations
from gemmap.fit.parameters import Parameters
from gemmap.fit.pieces import training_from_piece, training_to_piece
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import StepRecord
from gemmap.fit.schedule import RANDOM_PART, Schedule
from gemmap.fit.training import State


@dataclass(frozen=True, eq=False)
class Fitted:
    """Gaussians where a fit ended, their map on the working cube, the way there, and why it ended."""

    parameters: Parameters
    volume: Float[Tensor, "d d d"]
    records: tuple[StepRecord, ...]
    stopped_because: str


def fit_to_aggregate(
    equations: NormalEquations,
    start: VoxelStart,
    steps: int,
    most: int,
    shape: Shape,
    progress: Progress,
    stage_name: str,
) -> Fitted:
    """Take the steps that trial fits chose, of ``most`` that they could try."""
    records: list[StepRecord] = []
    began = time.perf_counter()
    with stage(progress, "Gaussians", steps, "steps"):

        def keep_going(step: Step) -> bool:
            progress.advance(min(step.number, 1), f"loss {step.loss:.0f}")
            seconds, n_gaussians = time.perf_counter() - began, len(start.copies) * len(step.parameters)
            records.append(StepRecord(step.number, step.loss, seconds, n_gaussians))
            progress.moment(Moment(stage_name, "Gaussians", step.number, lambda: step.volume, step.loss, n_gaussians))
            return True

        last = fit_gaussians(equations, start.on_voxels(), start.price, steps, keep_going, shape, start.copies)
    # Trials score every second step.
    if steps >= most - most % 2:
        reason = f"the bound of {most} steps was reached; more --max-steps may serve"
    else:
        reason = "further steps did not predict held-out particles better, beyond noise"
    return Fitted(start.copies.expand(last.parameters), last.volume, tuple(records), reason)


def fit_to_images(
    equations: NormalEquations,
    start: VoxelStart,
    window: Float[Tensor, "d d d"],
    particles: Particles,
    schedule: Schedule,
    shape: Shape,
    progress: Progress,
    run: RunState,
    stage_name: str,
) -> Fitted:
    """Go through the images for the epochs of the schedule, from voxels or from Gaussians at random in ``window``.

    The aggregate gives the start and the price of mass only. ``run`` keeps where the training is, under the name of the
    stage.
    """
    records: list[StepRecord] = []
    name = f"{stage_name} training"
    on_voxels, copies = start.on_voxels(), start.copies
    # As many Gaussians as voxels carry mass, and fewer to begin with where they have to find their places.
    cap = len(on_voxels)
    piece = run.recall(name)
    if piece is not None:
        state, records = training_from_piece(piece, window.device)
        progress.note(f"{stage_name}: {state.number:,} batches were done before")
    elif schedule.start == "aggregate":
        state = State.at_rest(on_voxels)
    else:
        state = State.at_rest(at_random(equations, window, max(1, int(RANDOM_PART * cap)), start.seed, copies))
    began = time.perf_counter() - (records[-1].seconds if records else 0.0)
    total = schedule.steps(len(particles)) - state.number
    with stage(progress, "Gaussians against images", total, "batches"):

        def watch(state: State) -> None:
            done = state.number - (records[-1].step if records else 0)
            n_gaussians = len(copies) * len(state.parameters)
            records.append(StepRecord(state.number, state.loss.mean, time.perf_counter() - began, n_gaussians))
            if run.due():
                run.hold(**{name: training_to_piece(state, records)})
                run.save(stage_name)
            progress.advance(done, f"{n_gaussians:,} Gaussians, mean loss {state.loss.mean:.6g}")
            progress.moment(
                Moment(
                    stage_name,
                    "Gaussians",
                    state.number,
                    lambda: copies.expand(state.parameters).voxelize(equations.size),
                    state.loss.mean,
                    n_gaussians,
                )
            )

        trained = train(
            particles,
            state,
            equations.unit,
            # The aggregate counts every particle once for each view that it serves; images are visited once.
            start.price / len(copies),
            schedule,
            shape,
            cap,
            start.seed,
            watch,
            copies,
        )
    run.drop(name)
    if trained.failure:
        progress.note(f"Fit of {len(particles):,} particles: {trained.failure}")
    now = trained.state
    everything = copies.expand(now.parameters)
    records = records or [StepRecord(now.number, now.loss.mean, time.perf_counter() - began, len(everything))]
    reason = trained.failure or f"all {schedule.all_epochs} epochs are done"
    return Fitted(everything, everything.voxelize(equations.size), tuple(records), reason)
