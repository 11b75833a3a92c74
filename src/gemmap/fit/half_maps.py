"""Two fits that share nothing, and one of all particles."""

import time
from collections.abc import Mapping

import numpy as np

from gemmap._types import Curve, Float, Int, Volume
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.choice import Choice, joint
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import find_extent
from gemmap.fit.images import Particles
from gemmap.fit.init import default_count
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult, Reconstruction
from gemmap.fit.region import Region
from gemmap.fit.residual import error_variance
from gemmap.fit.single import fit
from gemmap.fit.split import Split, places
from gemmap.fit.trials import choose
from gemmap.particles.batches import images_per_chunk, read_ahead, read_finite
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.noise import noise_spectrum

#: Images per optics group and half that the noise spectrum is measured on.
NOISE_IMAGES = 500
#: Images read at a time, in bytes; four such chunks are in memory.
CHUNK_BYTES = 2**25


def reconstruct_halves(
    table: ParticleTable,
    stack: ImageStack,
    config: FitConfig,
    progress: Progress,
    mask: Volume | None = None,
) -> Reconstruction:
    """Aggregate and fit one half after the other, reading every image once, then fit the sum of both.

    ``table.half`` is 1 or 2 everywhere. The halves share the options and, if given, the mask; diameter, noise spectra,
    trial fits, stopping and seeds are each half's own. The last fit, of all particles, may use both halves' decisions.
    """
    clock = time.perf_counter()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[name] = seconds.get(name, 0.0) + now - clock
        clock = now

    rows = {half: np.flatnonzero(table.half == half) for half in (1, 2)}
    extent = {half: find_extent(table, stack, rows[half], half, config, progress) for half in (1, 2)}
    lap("particle diameter")
    noise = {half: _noise(table, stack, rows[half], extent[half].radius_px) for half in (1, 2)}
    lap("noise spectra")
    results: dict[int, FitResult] = {}
    choices: dict[int, Choice] = {}
    kept: dict[int, list[Aggregate]] = {}
    trial: Volume | None = None
    for half in (1, 2):
        name = f"half{half}"
        split = _aggregate(table, stack, rows[half], 1.0 / noise[half], half, progress)
        lap("aggregate")
        region = Region.build(stack.box_px, extent[half].radius_px, mask, extent[half].edge_px)
        count = config.n_gaussians or default_count(extent[half].radius_px)
        seed = _seed(config.seed, half)
        choices[half] = choose(split, region, config, count, seed, progress)
        lap(f"trials {name}")
        # The final fit measures its error on half 2, which needs two sets of it.
        kept[half] = [split.total()] if half == 1 else [split.seen, split.all_held_out()]
        del split
        total = sum(kept[half][1:], kept[half][0])
        progress.aggregate(name, total)
        settings, error = choices[half].settings, choices[half].error
        images = Particles(table, stack, rows[half], 1.0 / noise[half], table.optics_group)
        results[half], gaussian_map = fit(total, images, settings, error, region, config, count, seed, progress)
        trial = gaussian_map if trial is None else trial
        del total
        progress.result(name, results[half])
        lap(f"fit {name}")
    assert trial is not None
    largest = max(extent.values(), key=lambda e: e.radius_px)
    # The final fit may decide by both halves. Half 1's Gaussians have not seen half 2, where their error is measured.
    error = error_variance(trial, *kept[2])
    total = sum(kept[2], kept[1][0])
    kept.clear()
    spectra = np.concatenate([noise[1], noise[2]])
    own = table.optics_group + len(noise[1]) * (table.half - 1)
    everything = Particles(table, stack, np.arange(len(table)), 1.0 / spectra, own)
    full, _ = fit(
        total,
        everything,
        joint(choices[1], choices[2]),
        error,
        Region.build(stack.box_px, largest.radius_px, mask, largest.edge_px),
        config,
        config.n_gaussians or default_count(largest.radius_px),
        _seed(config.seed, 0),
        progress,
    )
    progress.result("full", full)
    lap("fit full")
    return Reconstruction(
        half1=results[1],
        half2=results[2],
        full=full,
        pixel_size_a=table.pixel_size_a,
        particle_diameter_a=2.0 * largest.radius_px * table.pixel_size_a,
        noise_spectra=_named_spectra(table, noise),
        seconds=seconds,
        images_per_second=len(table) / max(seconds["aggregate"], 1e-9),
        details={
            **{f"particle_diameter_a_half{h}": 2.0 * e.radius_px * table.pixel_size_a for h, e in extent.items()},
            **{f"held_out_score_half{h}": choice.score for h, choice in choices.items()},
        },
    )


def _seed(seed: int, half: int) -> int:
    return int(np.random.SeedSequence([seed, half]).generate_state(1)[0])


def _noise(
    table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"], radius_px: float
) -> Float[np.ndarray, "g s"]:
    """Noise power of every optics group from images of this half; a group without any takes the mean of the others."""
    spectra: list[Curve | None] = []
    for group in range(len(table.optics)):
        of_group = rows[table.optics_group[rows] == group]
        sample = of_group[np.linspace(0, len(of_group) - 1, min(NOISE_IMAGES, len(of_group))).astype(np.int64)]
        spectra.append(noise_spectrum(read_finite(stack, sample), radius_px) if len(sample) else None)
    present = [s for s in spectra if s is not None]
    fallback = np.mean(present, axis=0)
    return np.stack([fallback if s is None else s for s in spectra])


def _aggregate(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    inverse_noise: Float[np.ndarray, "g s"],
    half: int,
    progress: Progress,
) -> Split:
    """One pass over the images of a half."""
    accumulators = [Accumulator(stack.box_px, table.pixel_size_a) for _ in range(3)]
    place = np.full(len(table), -1)
    place[rows] = places(len(rows))
    chunk = images_per_chunk(stack.box_px, CHUNK_BYTES)
    with stage(progress, f"reading and inserting particles of half {half}", len(rows), "particles"):
        for part, images in read_ahead(stack, rows, chunk):
            for which, accumulator in enumerate(accumulators):
                mine = place[part] == which
                chosen = part[mine]
                accumulator.add(images[mine], table.select(chosen), inverse_noise, table.optics_group[chosen])
            progress.advance(len(part))
    seen, first, second = (accumulator.finish() for accumulator in accumulators)
    return Split(seen, (first, second))


def _named_spectra(table: ParticleTable, noise: Mapping[int, Float[np.ndarray, "g s"]]) -> dict[str, Curve]:
    return {
        f"half{half}_{group.name}": spectra[i]
        for half, spectra in noise.items()
        for i, group in enumerate(table.optics)
    }
