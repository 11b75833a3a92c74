"""Both engines on the same particles: do they reach the same map, and how much is that of the scatter of one engine?

``python benchmarks/agreement.py OUT --stars 8zpm/particles_snr0.02.star ...`` runs the aggregate engine, the images
engine with two seeds, and the images engine from a random start, and prints for every pair the lowest FSC of the final
maps in the shells up to the resolution printed, beside the FSC to the truth and the time of every run. Half-sets are
those of the files: seeds decide the order of batches and the start only. Then derivatives of the loss of all images, by
images and by the aggregate.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from peers import pixel_size_of
from score import mean_fsc, resolution_a, truth_fsc
from truth_maps import read_map

from gemmap.fit.batch_gradients import batch_gradient
from gemmap.fit.image_batches import Particles, image_batches
from gemmap.fit.init import at_random
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.normal import NormalEquations
from gemmap.fit.one_pass import aggregate_half
from gemmap.fit.parameters import Parameters
from gemmap.fit.progress import Silent
from gemmap.fit.region import Region
from gemmap.fit.schedule import Schedule
from gemmap.io.formats import read_particles
from gemmap.particles.batches import read_living
from gemmap.particles.dead_images import DeadImages
from gemmap.physics.noise import noise_spectrum

RUNS = {
    "aggregate": ["--engine", "aggregate"],
    "images": ["--engine", "images"],
    "images, seed 1": ["--engine", "images", "--seed", "1"],
    "images, random start": ["--engine", "images", "--start", "random"],
}


def run(star: Path, folder: Path, options: list[str]) -> dict[str, object]:
    """Reconstruct unless it was done; return the record of the run."""
    job = folder / "job.json"
    if not job.exists() or json.loads(job.read_text())["status"] != "finished":
        command = [sys.executable, "-m", "gemmap", "reconstruct", str(star), "-o", str(folder), "--overwrite", "-q"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    record: dict[str, object] = json.loads(job.read_text())
    return record


def compare(star: Path, root: Path) -> list[str]:
    """Rows of the tables of one particle set."""
    truth, mask = read_map(star.parent / "truth.mrc"), read_map(star.parent / "mask.mrc")
    pixel_size_a, box_px = pixel_size_of(star), len(truth)
    maps: dict[str, np.ndarray] = {}
    printed: dict[str, float] = {}
    lines = ["| run | mean truth-FSC | truth-FSC 0.5, Å | printed, Å | wall, s |", "|---|---|---|---|---|"]
    for name, options in RUNS.items():
        folder = root / star.parent.name / f"{star.stem}_{name.replace(', ', '_').replace(' ', '_')}"
        record = run(star, folder, options)
        maps[name] = read_map(folder / "run_class001.mrc")
        printed[name] = record["resolutions"]["map"]["value_a"]  # type: ignore[index]
        curve = truth_fsc(maps[name], truth, mask)
        wall_s = record["seconds"]["total"]  # type: ignore[index]
        lines.append(
            f"| {name} | {mean_fsc(curve):.4f} | {resolution_a(curve, pixel_size_a):.2f} | {printed[name]:.2f} "
            f"| {wall_s:.0f} |"
        )
    last = int(np.floor(box_px * pixel_size_a / printed["aggregate"]))
    lines += ["", f"| pair | lowest FSC up to {printed['aggregate']:.2f} Å | mean |", "|---|---|---|"]
    names = list(maps)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            curve = truth_fsc(maps[one], maps[other], mask)[1 : last + 1]
            lines.append(f"| {one} / {other} | {curve.min():.4f} | {curve.mean():.4f} |")
    return [f"### {star.parent.name}, {star.stem}", "", *lines, ""]


def gradients(star: Path, count: int = 20000, seed: int = 0) -> list[str]:
    """Derivatives of the loss of all images, by images and by the aggregate, at Gaussians drawn at random."""
    table, stack = (loaded := read_particles(star)).table, loaded.stack
    rows, box = np.arange(len(table)), stack.box_px
    radius_px = 0.25 * box
    noise = noise_spectrum(read_living(stack, rows[:500])[1], radius_px)[None]
    total = aggregate_half(
        table, stack, rows, 1.0 / noise, 1, DeadImages(len(table)), Silent(), RunState(Forgetful(), Silent())
    ).total()
    region = Region.build(box, radius_px, None)
    equations = NormalEquations.build(total, region.size, torch.device("cpu"))
    at = at_random(equations, region.on(torch.device("cpu")), count, seed)
    draw = torch.randn((count, 7), generator=torch.Generator().manual_seed(seed))
    at = Parameters(at.centres, at.log_scales.clamp_min(0.0) + 0.15 * draw[:, :3], draw[:, 3:], at.log_masses)
    by_aggregate = at.gather(equations.gradient(at.voxelize(region.size))[0])
    particles = Particles(table, stack, rows, 1.0 / noise, table.optics_group)
    by_images = [torch.zeros_like(t) for t in by_aggregate]
    for share in image_batches(particles, Schedule(epochs=1, batch_size=64), seed, 0, torch.device("cpu")):
        assert share.batch is not None
        for sums, part in zip(by_images, batch_gradient(at, share.batch, equations.unit)[0], strict=True):
            sums += part
    lines = ["", "| derivative by | relative L2 of the difference | cosine |", "|---|---|---|"]
    for name, a, b in zip(("centre", "log scale", "quaternion", "log mass"), by_images, by_aggregate, strict=True):
        cosine = float((a * b).sum() / (a.norm() * b.norm()))
        lines.append(f"| {name} | {float((a - b).norm() / b.norm()):.4f} | {cosine:.5f} |")
    return [*lines, ""]


def main() -> None:
    """Compare the engines on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the sets made by make_sets.py")
    parser.add_argument("--stars", nargs="+", type=Path, required=True, help="STAR files, relative to OUT")
    arguments = parser.parse_args()
    for star in arguments.stars:
        print("\n".join(compare(arguments.out / star, arguments.out / "agreement")), flush=True)
        print("\n".join(gradients(arguments.out / star)), flush=True)


if __name__ == "__main__":
    main()
