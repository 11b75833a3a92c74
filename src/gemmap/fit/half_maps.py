"""Two fits that share nothing, and one of all particles."""

import time
from collections.abc import Mapping

import numpy as np

from gemmap._types import Curve, Float, Int, Volume
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.config import FitConfig
from gemmap.fit.diameter import estimate_diameter_px
from gemmap.fit.init import default_count
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import Reconstruction
from gemmap.fit.region import Region
from gemmap.fit.single import fit
from gemmap.fit.trials import Choice, choose
from gemmap.particles.batches import images_per_chunk, read_ahead, read_finite
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.noise import noise_spectrum

#: Images per optics group and half that the noise spectrum is measured on.
NOISE_IMAGES = 500
#: Images read at a time, in bytes; four such chunks are in memory.
CHUNK_BYTES = 2**25
#: Diameter in boxes where none can be measured.
UNKNOWN_DIAMETER = 0.8
#: Every fourth particle of a half is held out of the trial fits that choose settings.
HELD_OUT_EVERY = 4


def reconstruct_halves(
    table: ParticleTable,
    stack: ImageStack,
    config: FitConfig,
    progress: Progress,
    mask: Volume | None = None,
) -> Reconstruction:
    """Aggregate every half in one pass over the images, fit each half, then the sum of both.

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
    radius = {half: _radius_px(table, stack, rows[half], half, config, progress) for half in (1, 2)}
    lap("particle diameter")
    noise = {half: _noise(table, stack, rows[half], radius[half]) for half in (1, 2)}
    lap("noise spectra")
    parts = _aggregate(table, stack, rows, {h: 1.0 / n for h, n in noise.items()}, progress)
    lap("aggregate")
    images_per_second = len(table) / max(seconds["aggregate"], 1e-9)
    results = {}
    halves: dict[int, Aggregate] = {}
    gaussian_map: dict[int, Volume] = {}
    choices: dict[int, Choice] = {}
    for half in (1, 2):
        name = f"half{half}"
        region = Region.build(stack.box_px, radius[half], mask)
        count = config.n_gaussians or default_count(radius[half])
        seed = _seed(config.seed, half)
        seen, held_out = parts.pop((half, 0)), parts.pop((half, 1))
        choices[half] = choose(seen, held_out, region, config, count, seed, progress)
        lap(f"trials {name}")
        halves[half] = seen + held_out
        progress.aggregate(name, halves[half])
        results[half], gaussian_map[half] = fit(
            halves[half], choices[half], seen, held_out, region, config, count, seed, progress
        )
        del seen, held_out
        progress.result(name, results[half])
        lap(f"fit {name}")
    largest = max(radius.values())
    # The final fit decides by the halves: half 1's own map is a trial that has not seen half 2. Of the two choices the
    # shorter fit is taken, since scores are noisy and too many steps cost more than too few.
    shorter = min(choices.values(), key=lambda c: c.steps)
    both = Choice(shorter.voxels, shorter.steps, gaussian_map[1], shorter.score)
    full, _ = fit(
        halves[1] + halves[2],
        both,
        halves[1],
        halves[2],
        Region.build(stack.box_px, largest, mask),
        config,
        config.n_gaussians or default_count(largest),
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
        particle_diameter_a=2.0 * largest * table.pixel_size_a,
        noise_spectra=_named_spectra(table, noise),
        seconds=seconds,
        images_per_second=images_per_second,
        details={f"particle_diameter_a_half{h}": 2.0 * r * table.pixel_size_a for h, r in radius.items()},
    )


def _seed(seed: int, half: int) -> int:
    return int(np.random.SeedSequence([seed, half]).generate_state(1)[0])


def _radius_px(
    table: ParticleTable,
    stack: ImageStack,
    rows: Int[np.ndarray, " n"],
    half: int,
    config: FitConfig,
    progress: Progress,
) -> float:
    if config.particle_diameter_a is not None:
        return min(0.5 * config.particle_diameter_a / table.pixel_size_a, 0.5 * stack.box_px - 1.0)
    diameter = estimate_diameter_px(table, stack, rows)
    if diameter is None:
        diameter = UNKNOWN_DIAMETER * stack.box_px
        progress.note(
            f"half {half}: no particle is seen at low resolution; {diameter * table.pixel_size_a:.0f} Å is used as its "
            "diameter: check poses, CTFs and contrast, or give --particle-diameter"
        )
        return 0.5 * diameter
    progress.note(
        f"half {half}: particle diameter estimated as {diameter * table.pixel_size_a:.0f} Å "
        f"({diameter:.0f} of {stack.box_px} px); give --particle-diameter if you know better"
    )
    return 0.5 * diameter


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
    rows: Mapping[int, Int[np.ndarray, " n"]],
    inverse_noise: Mapping[int, Float[np.ndarray, "g s"]],
    progress: Progress,
) -> dict[tuple[int, int], Aggregate]:
    """One pass: for each half the aggregates of the particles that trial fits see, (half, 0), and do not, (half, 1)."""
    out: dict[tuple[int, int], Aggregate] = {}
    chunk = images_per_chunk(stack.box_px, CHUNK_BYTES)
    with stage(progress, "reading and inserting particles", len(table), "particles"):
        for half in (1, 2):
            accumulators = [Accumulator(stack.box_px, table.pixel_size_a) for _ in (0, 1)]
            place = np.full(len(table), -1)
            place[rows[half]] = np.arange(len(rows[half])) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
            for part, images in read_ahead(stack, rows[half], chunk):
                for held_out, accumulator in enumerate(accumulators):
                    mine = place[part] == held_out
                    chosen = part[mine]
                    accumulator.add(images[mine], table.select(chosen), inverse_noise[half], table.optics_group[chosen])
                progress.advance(len(part))
            for held_out, accumulator in enumerate(accumulators):
                out[half, held_out] = accumulator.finish()
    return out


def _named_spectra(table: ParticleTable, noise: Mapping[int, Float[np.ndarray, "g s"]]) -> dict[str, Curve]:
    return {
        f"half{half}_{group.name}": spectra[i]
        for half, spectra in noise.items()
        for i, group in enumerate(table.optics)
    }
