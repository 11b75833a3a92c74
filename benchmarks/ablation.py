"""What rotation and anisotropy are good for: the paper's ablation (its Table 5) on simulated particles.

``python benchmarks/ablation.py OUT --stars 8zpm/particles_snr0.02_1000.star`` runs the images engine from a random
start with Gaussians that may change less and less, for several numbers of Gaussians, and prints the FSC to the truth of
the Gaussians alone and of the final map (which adds what Gaussians cannot represent).
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

from gemmap.io.gaussians import load_gaussians
from gemmap.kernels import ops

SHAPES = {
    "free": "full model",
    "axis-aligned": "no rotation",
    "round": "isotropic, width learnt",
    "fixed": "isotropic, width fixed",
}


def gaussians_alone(path: Path, pixel_size_a: float) -> np.ndarray:
    """Map of the Gaussians of a run, without the residual that the run adds."""
    stored = load_gaussians(path)
    g = stored.gaussians
    volume = ops.voxelize(g.centres_a / pixel_size_a, g.scales_a / pixel_size_a, g.quaternions, g.masses, stored.box_px)
    return volume.numpy().astype(np.float64)


def row(star: Path, root: Path, shape: str, count: int | None, start: str) -> str:
    """Run once, unless it was done, and score."""
    folder = root / star.parent.name / f"{star.stem}_{shape}_{start}_{count or 'default'}"
    job = folder / "job.json"
    if not job.exists() or json.loads(job.read_text())["status"] != "finished":
        command = [sys.executable, "-m", "gemmap", "reconstruct", str(star), "-o", str(folder), "--overwrite", "-q"]
        command += ["--engine", "images", "--start", start, "--shape", shape]
        command += [] if count is None else ["--n-gaussians", str(count)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    record = json.loads(job.read_text())
    truth, mask, pixel_size_a = (
        read_map(star.parent / "truth.mrc"), read_map(star.parent / "mask.mrc"), pixel_size_of(star),
    )  # fmt: skip
    alone = truth_fsc(gaussians_alone(folder / "gaussians.safetensors", pixel_size_a), truth, mask)
    final = truth_fsc(read_map(folder / "run_class001.mrc"), truth, mask)
    n = record["results"]["fits"]["full"]["n_gaussians"]
    return (
        f"| {SHAPES[shape]} | {n:,} | {mean_fsc(alone):.3f} | {resolution_a(alone, pixel_size_a):.2f} "
        f"| {mean_fsc(final):.3f} | {resolution_a(final, pixel_size_a):.2f} |"
    )


def main() -> None:
    """Run all shapes on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the sets made by make_sets.py")
    parser.add_argument("--stars", nargs="+", type=Path, required=True, help="STAR files, relative to OUT")
    parser.add_argument("--counts", type=int, nargs="*", default=[0, 3000], help="numbers of Gaussians; 0: the default")
    parser.add_argument("--start", default="random", choices=["random", "aggregate"])
    arguments = parser.parse_args()
    for star in arguments.stars:
        print(f"### {star.parent.name}, {star.stem}, {arguments.start} start\n")
        print("| model | Gaussians | mean truth-FSC, Gaussians alone | 0.5 at, Å | mean truth-FSC, final | 0.5 at, Å |")
        print("|---|---|---|---|---|---|", flush=True)
        for count in arguments.counts:
            for shape in SHAPES:
                line = row(arguments.out / star, arguments.out / "ablation", shape, count or None, arguments.start)
                print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
