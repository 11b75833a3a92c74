"""Both engines on the same particles: do they reach the same map, and how much is that of the scatter of one engine?

``python benchmarks/agreement.py OUT --stars 8zpm/particles_snr0.02.star ...`` runs the aggregate engine, the images
engine with two seeds, and the images engine from a random start, and prints for every pair the lowest FSC of the final
maps in the shells up to the resolution printed, beside the FSC to the truth and the time of every run. Half-sets are
those of the files: seeds decide the order of batches and the start only.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from peers import pixel_size_of
from score import mean_fsc, resolution_a, truth_fsc
from truth_maps import read_map

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
        subprocess.run([*command, *options], check=True)
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


def main() -> None:
    """Compare the engines on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the sets made by make_sets.py")
    parser.add_argument("--stars", nargs="+", type=Path, required=True, help="STAR files, relative to OUT")
    arguments = parser.parse_args()
    for star in arguments.stars:
        print("\n".join(compare(arguments.out / star, arguments.out / "agreement")), flush=True)


if __name__ == "__main__":
    main()
