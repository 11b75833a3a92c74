"""Truth-FSC 0.5 against seconds for both engines: one fit of all particles of a set, from the first image read.

``python benchmarks/time_to_quality.py OUT --star 8zpm/particles_snr0.02.star --plot docs/images/time_to_quality.png``

The clock runs through noise spectra, the one pass, voxels and steps; it stands still while a map is scored. Maps are
those of the Gaussians alone, without the residual that a run adds at its end. Nothing here chooses when to stop.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from peers import pixel_size_of
from score import mean_fsc, resolution_a, truth_fsc
from truth_maps import read_map

from gemmap.fit.backprojection import back_projection
from gemmap.fit.choice import TRIED
from gemmap.fit.config import FitConfig
from gemmap.fit.diameter import estimate_diameter_px
from gemmap.fit.gaussian_fit import Step, fit_gaussians
from gemmap.fit.image_batches import Particles
from gemmap.fit.images import train
from gemmap.fit.init import VoxelStart, at_random, default_count
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.noise_power import NOISE_IMAGES
from gemmap.fit.normal import NormalEquations
from gemmap.fit.one_pass import aggregate_half
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region, to_box
from gemmap.fit.schedule import RANDOM_PART, Schedule
from gemmap.fit.training import State
from gemmap.fit.trials import mass_price
from gemmap.fit.voxels import blur, fit_voxels
from gemmap.io.formats import read_particles
from gemmap.kernels import threads
from gemmap.particles.batches import read_living
from gemmap.particles.dead_images import DeadImages
from gemmap.physics.noise import noise_spectrum

CPU = torch.device("cpu")


@dataclass
class Clock:
    """Seconds that count, and the scores of the maps seen on the way."""

    score: Callable[[np.ndarray], tuple[float, float]]
    seconds: float = 0.0
    curve: list[tuple[float, float, float]] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def stop(self) -> None:
        """Count the time since the clock went on."""
        self.seconds += time.perf_counter() - self._since

    def go(self) -> None:
        """Go on counting."""
        self._since = time.perf_counter()

    def see(self, volume: np.ndarray) -> None:
        """Score a map while the clock stands still."""
        self.stop()
        self.curve.append((self.seconds, *self.score(volume)))
        self.go()

    def branch(self) -> "Clock":
        """A clock that goes on from here on its own."""
        return Clock(self.score, self.seconds)


def curves(star: Path, epochs: int, steps: int) -> dict[str, list[tuple[float, float, float]]]:
    """Seconds, mean truth-FSC and Å at truth-FSC 0.5, by engine and start."""
    truth, mask, pixel_size_a = (
        read_map(star.parent / "truth.mrc"),
        read_map(star.parent / "mask.mrc"),
        pixel_size_of(star),
    )

    def score(volume: np.ndarray) -> tuple[float, float]:
        curve = truth_fsc(volume, truth, mask)
        return mean_fsc(curve), resolution_a(curve, pixel_size_a)

    clock = Clock(score)
    loaded = read_particles(star)
    table, stack = loaded.table, loaded.stack
    box, rows = stack.box_px, np.arange(len(loaded.table))
    dead = DeadImages(len(table))
    diameter = estimate_diameter_px(table, stack, rows, dead)
    assert diameter is not None
    radius_px = 0.5 * diameter
    noise = noise_spectrum(read_living(stack, rows[:: max(1, len(rows) // NOISE_IMAGES)])[1], radius_px)[None]
    split = aggregate_half(table, stack, rows, 1.0 / noise, 1, dead, Silent(), RunState(Forgetful(), Silent()))
    total = split.total()
    clock.see(back_projection(total))
    found = {"back-projection": clock.curve}
    region = Region.build(box, radius_px, None)
    equations = NormalEquations.build(total, region.size, CPU)
    clock = clock.branch()
    u = fit_voxels(equations, region.on(CPU), TRIED[0])
    clock.see(to_box(blur(u, TRIED[0].blob_px, equations.grid), box, equations.unit))
    found["non-negative voxels"] = clock.curve
    price = mass_price(equations, TRIED[0])
    start = VoxelStart(u, TRIED[0].blob_px, price, default_count(radius_px), FitConfig.seed)

    after_voxels = clock.branch()
    clock = after_voxels

    def keep_going(step: Step) -> bool:
        clock.see(to_box(step.volume, box, equations.unit))
        return True

    fit_gaussians(equations, start.on_voxels(), price, steps, keep_going)
    found["aggregate engine"] = clock.curve

    particles = Particles(table, stack, rows, 1.0 / noise, np.zeros(len(rows), np.int64))
    for name, schedule in (
        ("images engine", Schedule(epochs=3)),
        ("images engine, random start", Schedule(epochs=epochs, start="random")),
    ):
        engine = Clock(score, found["non-negative voxels"][-1][0])
        on_voxels = start.on_voxels()
        cap = len(on_voxels)
        if schedule.start == "random":
            first = State.at_rest(at_random(equations, region.on(CPU), int(RANDOM_PART * cap), start.seed))
        else:
            first = State.at_rest(on_voxels)
        see = lambda parameters, engine=engine: engine.see(  # noqa: E731
            to_box(parameters.voxelize(region.size), box, equations.unit)
        )
        see(first.parameters)
        train(
            particles,
            first,
            equations.unit,
            price,
            schedule,
            "free",
            cap,
            0,
            lambda state, see=see: see(state.parameters),
        )
        found[name] = engine.curve
    return found


def plot(found: dict[str, list[tuple[float, float, float]]], title: str, path: Path) -> None:
    """Two panels: Å at truth-FSC 0.5 and the mean truth-FSC, against seconds."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, column, label in ((axes[0], 2, "truth-FSC 0.5 at, Å"), (axes[1], 1, "mean truth-FSC")):
        for (name, rows), marker in zip(found.items(), "Dsov^", strict=True):
            values = np.array(rows)
            axis.plot(values[:, 0], values[:, column], marker=marker, markersize=4, label=name)
        axis.set(xscale="log", xlabel="seconds from the first image", ylabel=label)
        axis.grid(alpha=0.3)
    reached = np.array([row for rows in found.values() for row in rows])
    axes[0].set_ylim(1.5 * reached[:, 2].min(), 0.97 * reached[:, 2].min())
    axes[1].set_ylim(reached[:, 1].max() - 0.15, reached[:, 1].max() + 0.01)
    axes[1].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the sets made by make_sets.py")
    parser.add_argument("--star", type=Path, required=True, help="STAR file, relative to OUT")
    parser.add_argument("--epochs", type=int, default=10, help="of the random start")
    parser.add_argument("--steps", type=int, default=16, help="of the aggregate engine")
    parser.add_argument("--plot", type=Path, required=True)
    arguments = parser.parse_args()
    threads.configure(None)
    found = curves(arguments.out / arguments.star, arguments.epochs, arguments.steps)
    for name, rows in found.items():
        print(f"{name}:", ", ".join(f"{s:.1f} s {mean:.4f} {a:.2f} Å" for s, mean, a in rows), flush=True)
    plot(found, f"{arguments.star.parent}, {arguments.star.stem}", arguments.plot)


if __name__ == "__main__":
    main()
