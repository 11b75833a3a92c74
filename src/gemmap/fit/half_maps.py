"""Two fits that share nothing, and one of all particles; a stage that an earlier process kept is not done again."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Float, Int, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.aggregate_tensors import aggregate_from_tensors, aggregate_to_tensors
from gemmap.fit.choice import Choice, joint
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import Extent, find_extent, particle_circles
from gemmap.fit.images import Particles
from gemmap.fit.init import default_count
from gemmap.fit.keeper import Forgetful, Keeper, RunState
from gemmap.fit.noise_power import inverse_noise, noise_power_of_groups
from gemmap.fit.one_pass import STAGE, aggregate_half, recall_dead, set_names
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
from gemmap.fit.symmetry_check import check_symmetry
from gemmap.fit.trials import choose
from gemmap.particles.background import NormalisedStack, WindowedStack
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

_GAUSSIAN_MAP, _FULL = "half1_gaussian_map", "full_fit"


@dataclass(frozen=True, eq=False)
class _Run:
    """What all stages of one reconstruction look at."""

    table: ParticleTable
    stack: ImageStack
    config: FitConfig
    progress: Progress
    mask: Volume | None
    state: RunState
    dead: DeadImages

    def region(self, extent: Extent) -> Region:
        """Region to fit."""
        return Region.build(self.stack.box_px, extent.radius_px, self.mask, extent.edge_px)

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
    dead = recall_dead(len(table), state)
    rows = {half: np.flatnonzero(table.half == half) for half in (1, 2)}
    extent = {half: find_extent(table, stack, rows[half], half, dead, config, progress) for half in (1, 2)}
    against = {half: check_symmetry(table, stack, rows[half], half, dead, config.group, progress) for half in (1, 2)}
    state.lap("particle diameter")
    circles = particle_circles(table, rows, extent)
    if config.normalise:
        stack = NormalisedStack(stack, circles)
    noise = {half: noise_power_of_groups(table, stack, rows[half], extent[half].radius_px, dead) for half in (1, 2)}
    state.lap("noise spectra")
    if config.window:
        stack = WindowedStack(stack, circles)
    run = _Run(table, stack, config, progress, mask, state, dead)
    weights = {half: inverse_noise(table.optics, noise[half]) for half in (1, 2)}
    halves = {half: _fit_half(run, half, rows[half], weights[half], extent[half]) for half in (1, 2)}
    largest = max(extent.values(), key=lambda e: e.radius_px)
    full = _fit_all(run, halves[1], halves[2], weights, largest)
    return Reconstruction(
        half1=halves[1].result,
        half2=halves[2].result,
        full=full,
        pixel_size_a=table.pixel_size_a,
        particle_diameter_a=2.0 * largest.radius_px * table.pixel_size_a,
        noise_spectra=_named_spectra(table, noise),
        dead_rows=dead.rows,
        seconds=state.seconds,
        images_per_second=len(table) / max(state.seconds[STAGE], 1e-9),
        details={
            **{f"particle_diameter_a_half{h}": 2.0 * e.radius_px * table.pixel_size_a for h, e in extent.items()},
            **{f"held_out_score_half{h}": half.choice.score for h, half in halves.items()},
            **{f"asymmetric_part_half{h}": found.part for h, found in against.items() if found is not None},
        },
    )


def _decide(
    run: _Run, half: int, rows: Int[np.ndarray, " n"], weights: Float[np.ndarray, "g s"], extent: Extent
) -> tuple[Choice, list[Aggregate]]:
    """Insert the particles of a half and make its trial fits: the choice, and the particles in parts."""
    state = run.state
    choice_name, part_names = f"half{half}_choice", _part_names(half)
    piece = state.recall(choice_name)
    if piece is not None:
        recalled = [state.recall(name) for name in part_names]
        return choice_from_piece(piece), [aggregate_from_tensors(*part) for part in recalled if part is not None]
    split = aggregate_half(
        run.table, run.stack, rows, weights, half, run.dead, run.progress, state, run.config.group,
        run.config.chunk_bytes, run.config.device,
    )  # fmt: skip
    seed = _seed(run.config.seed, half)
    choice = choose(split, run.region(extent), run.config, run.count(extent), seed, run.progress)
    parts = [split.total()] if half == 1 else [split.seen, split.all_held_out()]
    state.drop(*set_names(half))
    state.hold(**{choice_name: choice_to_piece(choice)})
    state.hold(**{name: aggregate_to_tensors(part) for name, part in zip(part_names, parts, strict=True)})
    state.save(f"trials half{half}")
    return choice, parts


def _fit_half(
    run: _Run, half: int, rows: Int[np.ndarray, " n"], weights: Float[np.ndarray, "g s"], extent: Extent
) -> _Half:
    """Everything that is computed from the particles of one half alone."""
    state, name = run.state, f"half{half}"
    choice, parts = _decide(run, half, rows, weights, extent)
    piece = state.recall(f"{name}_fit")
    if piece is not None:
        result = fit_from_piece(piece)
        run.progress.result(name, result)
        kept = state.recall(_GAUSSIAN_MAP) if half == 1 else None
        return _Half(choice, parts, result, None if kept is None else map_from_piece(kept))
    total = sum(parts[1:], parts[0])
    run.progress.aggregate(name, total)
    region, count, seed = run.region(extent), run.count(extent), _seed(run.config.seed, half)
    particles = Particles(run.table, run.stack, run.dead.living(rows), weights, run.table.optics_group)
    result, gaussian_map = fit(
        total, particles, choice.settings, choice.error, region, run.config, count, seed, run.progress, state,
        f"fit {name}",
    )  # fmt: skip
    del total
    run.progress.result(name, result)
    state.hold(**{f"{name}_fit": fit_to_piece(result)})
    if half == 1:
        state.hold(**{_GAUSSIAN_MAP: map_to_piece(gaussian_map)})
    state.save(f"fit {name}")
    return _Half(choice, parts, result, gaussian_map if half == 1 else None)


def _fit_all(
    run: _Run, half1: _Half, half2: _Half, weights: Mapping[int, Float[np.ndarray, "g s"]], extent: Extent
) -> FitResult:
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
    of_both = np.concatenate([weights[1], weights[2]])
    own = run.table.optics_group + len(weights[1]) * (run.table.half - 1)
    particles = Particles(run.table, run.stack, run.dead.living(np.arange(len(run.table))), of_both, own)
    region, count = run.region(extent), run.count(extent)
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


def _named_spectra(table: ParticleTable, noise: Mapping[int, Float[np.ndarray, "g s"]]) -> dict[str, Curve]:
    return {
        f"half{half}_{group.name}": spectra[i]
        for half, spectra in noise.items()
        for i, group in enumerate(table.optics)
    }
