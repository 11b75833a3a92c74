"""Two fits that share nothing, and one of all particles; a stage that an earlier process kept is not done again."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gemmap._types import Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.fit.batch_gradients import end_fits, help_fits
from gemmap.fit.choice import Choice, joint
from gemmap.fit.config import FitConfig
from gemmap.fit.copies import Copies
from gemmap.fit.extent import Extent
from gemmap.fit.init import default_count
from gemmap.fit.keeper import Forgetful, Keeper, RunState
from gemmap.fit.one_pass import STAGE, set_names
from gemmap.fit.pieces import (
    choice_from_piece,
    choice_to_piece,
    fit_from_piece,
    fit_to_piece,
    map_from_piece,
    map_to_piece,
)
from gemmap.fit.progress import Progress
from gemmap.fit.records import FitResult, Reconstruction
from gemmap.fit.region import Region
from gemmap.fit.residual import error_variance
from gemmap.fit.single import fit
from gemmap.fit.source import ImageSource, Source
from gemmap.fit.split import Split
from gemmap.fit.team import Team, helped_half, owner
from gemmap.fit.trials import choose
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

_GAUSSIAN_MAP, _FULL = "half1_gaussian_map", "full_fit"


@dataclass(frozen=True, eq=False)
class _Run:
    """What all stages of one reconstruction look at."""

    source: Source
    config: FitConfig
    progress: Progress
    mask: Volume | None
    state: RunState

    @property
    def largest(self) -> Extent:
        """The extent of the half that found the larger one: that of all particles."""
        return max(self.source.extents.values(), key=lambda extent: extent.radius_px)

    def region(self, extent: Extent) -> Region:
        """Region to fit."""
        return Region.build(self.source.box_px, extent.radius_px, self.mask, extent.edge_px)

    def count(self, extent: Extent) -> int:
        """Largest number of Gaussians."""
        return self.config.n_gaussians or default_count(extent.radius_px)


@dataclass(frozen=True, eq=False)
class _Half:
    """What is known of a half when it is fitted.

    ``parts`` add up to its particles: one of half 1, two of half 2, on which the final fit measures its error; none
    when that fit was done by an earlier process. ``gaussian_map`` is kept of half 1 only.
    """

    choice: Choice
    parts: list[Aggregate]
    result: FitResult
    gaussian_map: Volume | None


def reconstruct_halves(
    table: ParticleTable,
    stack: ImageStack,
    config: FitConfig,
    progress: Progress,
    mask: Volume | None = None,
    keeper: Keeper | None = None,
) -> Reconstruction:
    """Aggregate and fit one half after the other, reading every image once, then fit the sum of both.

    ``table.half`` is 1 or 2 everywhere. The halves share the options and, if given, the mask; diameter, noise spectra,
    trial fits, stopping and seeds are each half's own. The last fit, of all particles, may use both halves' decisions.
    What ``keeper`` kept of the same reconstruction is not computed again. Particles whose images are dead
    (:mod:`gemmap.particles.dead_images`) are left out everywhere.
    """
    state = RunState(keeper or Forgetful(), progress)
    return reconstruct_source(ImageSource.measure(table, stack, config, progress, state), config, progress, state, mask)


def reconstruct_together(
    table: ParticleTable,
    stack: ImageStack,
    config: FitConfig,
    progress: Progress,
    team: Team,
    mask: Volume | None = None,
    keeper: Keeper | None = None,
) -> Reconstruction | None:
    """Do the same with several processes: each inserts a share of the particles, and the first two fit a half each.

    Where a fit goes back to the images, each of its batches is shared: among the even or odd processes for half 1 or 2,
    among all for the last fit.

    Returns
    -------
    Reconstruction or None
        None on all processes but the first.
    """
    state = RunState(keeper or Forgetful(), progress)
    source = ImageSource.measure(table, stack, config, progress, state, team)
    run = _Run(source, config, progress, mask, state)
    halves = _fit_halves_together(run, team)
    if team.rank:
        _help(run, None)
        return None
    whole = _finish(run, halves)
    _dismiss(run, None)
    return whole


def fit_half_maps(
    table: ParticleTable, stack: ImageStack, config: FitConfig, progress: Progress, mask: Volume | None = None
) -> tuple[FitResult, FitResult]:
    """Do the same without the fit to all particles; those of half 0 are left out."""
    state = RunState(Forgetful(), progress)
    return fit_source_halves(ImageSource.measure(table, stack, config, progress, state), config, progress, state, mask)


def fit_source_halves(
    source: Source, config: FitConfig, progress: Progress, state: RunState, mask: Volume | None = None
) -> tuple[FitResult, FitResult]:
    """Fit one half after the other, from wherever their sums come."""
    run = _Run(source, config, progress, mask, state)
    return _fit_half(run, 1).result, _fit_half(run, 2).result


def fit_half_of(
    source: Source,
    half: int,
    split: Split,
    config: FitConfig,
    progress: Progress,
    state: RunState,
    mask: Volume | None = None,
) -> FitResult:
    """Fit one half from sums that are at hand; extent and, for the images engine, particles are the source's."""
    return _fit_half(_Run(source, config, progress, mask, state), half, split).result


def reconstruct_source(
    source: Source, config: FitConfig, progress: Progress, state: RunState, mask: Volume | None = None
) -> Reconstruction:
    """Fit one half after the other, then the sum of both, as :func:`reconstruct_halves`, from wherever sums come."""
    run = _Run(source, config, progress, mask, state)
    return _finish(run, {half: _fit_half(run, half) for half in (1, 2)})


def _fit_halves_together(run: _Run, team: Team) -> dict[int, _Half]:
    """Fit each half on one process; the first process has both then, the others their own if any."""
    # All processes insert both halves before any fits: who fits cannot read.
    splits = {half: (run.source.split(half), owner(half, team)) for half in (1, 2)}
    mine = {half: split for half, (split, own) in splits.items() if own == team.rank}
    del splits
    halves = {half: _fit_half(run, half, mine.pop(half)) for half in sorted(mine)}
    half_of_crew = helped_half(team)
    if halves:
        _dismiss(run, half_of_crew)
    else:
        _help(run, half_of_crew)
    for half in (1, 2):
        own = owner(half, team)
        if own != 0 and team.rank == own:
            _hand_over(halves[half], team)
        elif own != 0 and team.rank == 0:
            halves[half] = _take_over(run, half, own, team)
    return halves


def _help(run: _Run, half: int | None) -> None:
    """Compute shares of batches, for the engine that goes back to the images, while another process fits a half."""
    particles, schedule = run.source.particles(half), run.config.schedule
    if particles is not None and schedule is not None:
        device = torch.device(run.config.device)
        help_fits(particles, schedule, Copies.of(run.config.group, device), device)


def _dismiss(run: _Run, half: int | None) -> None:
    """End the help that this process has had."""
    particles = run.source.particles(half)
    if particles is not None and run.config.schedule is not None:
        end_fits(particles.crew)


def _hand_over(half: _Half, team: Team) -> None:
    """Send everything but the map of the Gaussians alone, which is needed of half 1: that one is never sent."""
    team.send(choice_to_piece(half.choice), 0)
    team.send(fit_to_piece(half.result), 0)
    for part in half.parts:
        team.send(aggregate_to_tensors(part), 0)


def _take_over(run: _Run, half: int, of: int, team: Team) -> _Half:
    choice, result = choice_from_piece(team.receive(of)), fit_from_piece(team.receive(of))
    parts = [aggregate_from_tensors(*team.receive(of)) for _ in _part_names(half)]
    run.progress.aggregate(f"half{half}", sum(parts[1:], parts[0]))
    run.progress.result(f"half{half}", result)
    return _Half(choice, parts, result, None)


def _finish(run: _Run, halves: Mapping[int, _Half]) -> Reconstruction:
    """Fit all particles, and put everything together."""
    source, state = run.source, run.state
    full = _fit_all(run, halves[1], halves[2])
    pass_seconds, pixel_size_a = state.seconds.get(STAGE), source.pixel_size_a
    return Reconstruction(
        half1=halves[1].result,
        half2=halves[2].result,
        full=full,
        pixel_size_a=pixel_size_a,
        particle_diameter_a=2.0 * run.largest.radius_px * pixel_size_a,
        noise_spectra=source.noise_spectra(),
        dead_rows=source.dead_rows,
        held_out=halves[1].choice.agreement + halves[2].choice.agreement,
        trial_scores={f"half{h}": half.choice.scores for h, half in halves.items()},
        seconds=state.seconds,
        images_per_second=None if pass_seconds is None else source.n_particles / max(pass_seconds, 1e-9),
        details={
            **{
                f"particle_diameter_a_half{h}": 2.0 * e.radius_px * source.pixel_size_a
                for h, e in source.extents.items()
            },
            **{f"held_out_score_half{h}": half.choice.score for h, half in halves.items()},
            **{f"asymmetric_part_half{h}": part for h, part in source.asymmetry.items()},
        },
    )


def _decide(run: _Run, half: int, split: Split | None) -> tuple[Choice, list[Aggregate]]:
    """Add up the particles of a half and make its trial fits: the choice, and the particles in parts."""
    state = run.state
    choice_name, part_names = f"half{half}_choice", _part_names(half)
    piece = state.recall(choice_name)
    if piece is not None:
        recalled = [state.recall(name) for name in part_names]
        return choice_from_piece(piece), [aggregate_from_tensors(*part) for part in recalled if part is not None]
    extent = run.source.extents[half]
    split = split or run.source.split(half)
    seed = _seed(run.config.seed, half)
    stage_name = f"trials half{half}"
    choice = choose(split, run.region(extent), run.config, run.count(extent), seed, run.progress, stage_name)
    parts = [split.total()] if half == 1 else [split.seen, split.all_held_out()]
    state.drop(*set_names(half))
    state.hold(**{choice_name: choice_to_piece(choice)})
    state.hold(**{name: aggregate_to_tensors(part) for name, part in zip(part_names, parts, strict=True)})
    state.save(stage_name)
    return choice, parts


def _fit_half(run: _Run, half: int, split: Split | None = None) -> _Half:
    """Everything that is computed from the particles of one half alone; the source is asked for them if not given."""
    state, name, extent = run.state, f"half{half}", run.source.extents[half]
    choice, parts = _decide(run, half, split)
    piece = state.recall(f"{name}_fit")
    if piece is not None:
        result = fit_from_piece(piece)
        run.progress.result(name, result)
        kept = state.recall(_GAUSSIAN_MAP) if half == 1 else None
        return _Half(choice, parts, result, None if kept is None else map_from_piece(kept))
    total = sum(parts[1:], parts[0])
    run.progress.aggregate(name, total)
    region, count, seed = run.region(extent), run.count(extent), _seed(run.config.seed, half)
    result, gaussian_map = fit(
        total, run.source.particles(half), choice.settings, choice.error, region, run.config, count, seed, run.progress,
        state, f"fit {name}",
    )  # fmt: skip
    del total
    run.progress.result(name, result)
    state.hold(**{f"{name}_fit": fit_to_piece(result)})
    if half == 1:
        state.hold(**{_GAUSSIAN_MAP: map_to_piece(gaussian_map)})
    state.save(f"fit {name}")
    return _Half(choice, parts, result, gaussian_map if half == 1 else None)


def _fit_all(run: _Run, half1: _Half, half2: _Half) -> FitResult:
    """Fit all particles; the halves' parts are used up."""
    state = run.state
    piece = state.recall(_FULL)
    if piece is not None:
        result = fit_from_piece(piece)
        run.progress.result("full", result)
        return result
    assert half1.gaussian_map is not None
    # The final fit may decide by both halves. Half 1's Gaussians have not seen half 2, where their error is measured.
    error = error_variance(half1.gaussian_map, *half2.parts)
    total = sum(half2.parts, half1.parts[0])
    settings, seed = joint(half1.choice, half2.choice), _seed(run.config.seed, 0)
    region, count, particles = run.region(run.largest), run.count(run.largest), run.source.particles(None)
    result, _ = fit(total, particles, settings, error, region, run.config, count, seed, run.progress, state, "fit full")
    run.progress.result("full", result)
    state.drop(_GAUSSIAN_MAP, *_part_names(1), *_part_names(2))
    state.hold(**{_FULL: fit_to_piece(result)})
    state.save("fit full")
    return result


def _part_names(half: int) -> list[str]:
    return [f"half{half}_part{part}" for part in range(half)]


def _seed(seed: int, half: int) -> int:
    return int(np.random.SeedSequence([seed, half]).generate_state(1)[0])
