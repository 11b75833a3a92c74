"""Run ``gemmap reconstruct`` on every particle set and score its maps: accuracy, honesty, time and memory.

Every run is a process of its own with default options; the same settings for all sets. Seed 0 is the set as it is, the
others are further realisations of it (``realisations.py``). Runs of pure noise go to noise.csv, all others to
gemmap.csv.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from measure import run_logged, update_table
from peers import pixel_size_of, stars_of
from realisations import realise
from score import mean_fsc, resolution_a, truth_fsc
from truth_maps import read_map

MAPS = {"gaussians": "run_class001.mrc", "voxels": "voxels.mrc", "backprojection": "backprojection.mrc"}
KEYS = ("set", "star", "seed")


def run(star: Path, folder: Path, seed: int, threads: int | None) -> dict[str, object]:
    """Reconstruct one STAR file; return the record of the run (job.json)."""
    command = [sys.executable, "-m", "gemmap", "reconstruct", str(star), "-o", str(folder), "--overwrite"]
    command += ["--seed", str(seed), "--quiet"]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)
    record: dict[str, object] = json.loads((folder / "job.json").read_text())
    return record


def relion_curve(path: Path, truth: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """FSC to the truth of RELION's map of the same particles, if it was made."""
    return truth_fsc(read_map(path), truth, mask) if path.exists() else None


def score_noise(star: Path, folder: Path, seed: int) -> dict[str, object]:
    """Largest half-map FSC from shell 8 up of a run on pure noise: the fit's and back-projection's, in two masks."""
    row: dict[str, object] = {"set": star.parent.name, "star": star.stem, "seed": seed}
    masks = {
        "own_mask": read_map(folder / "mask.mrc"),
        "truth_mask": read_map(star.parent.with_name("8zpm") / "mask.mrc"),
    }
    for what, name in (("gaussians", "run_half{}_class001_unfil.mrc"), ("backprojection", "backprojection_half{}.mrc")):
        halves = [read_map(folder / name.format(half)) for half in (1, 2)]
        for where, mask in masks.items():
            row[f"{what}_{where}"] = float(truth_fsc(halves[0], halves[1], mask)[8:-1].max())
    return row


def score_run(star: Path, folder: Path, record: dict[str, object], seed: int, relion_map: Path) -> dict[str, object]:
    """Scores of one finished run against the truth, within the truth's mask."""
    name = star.parent.name
    truth, mask = read_map(star.parent / "truth.mrc"), read_map(star.parent / "mask.mrc")
    pixel = pixel_size_of(star)
    last = len(truth) // 2 - 1
    curves = {what: truth_fsc(read_map(folder / file), truth, mask) for what, file in MAPS.items()}
    relion = relion_curve(relion_map, truth, mask)
    row: dict[str, object] = {"set": name, "star": star.stem, "seed": seed}
    for what, curve in curves.items():
        row[f"{what}_mean_fsc"] = mean_fsc(curve)
        row[f"{what}_truth_a"] = resolution_a(curve, pixel)
    ours = curves["gaussians"][1:last]
    for what, other in (("voxels", curves["voxels"]), ("backprojection", curves["backprojection"]), ("relion", relion)):
        row[f"worst_shell_against_{what}"] = "" if other is None else float((ours - other[1:last]).min())
    if relion is not None:
        row["relion_mean_fsc"] = mean_fsc(relion)
        row["relion_truth_a"] = resolution_a(relion, pixel)
    resolutions = record["resolutions"]
    assert isinstance(resolutions, dict)
    row["printed_a"] = resolutions["map"]["value_a"]
    row["printed_at_nyquist"] = resolutions["map"]["at_nyquist"]
    row["half_map_0143_a"] = resolutions["half_maps_masked"]["value_a"]
    row["wall_s"] = record["seconds"]["total"]  # type: ignore[index]
    row["images_per_s"] = record["results"]["images_per_second"]  # type: ignore[index]
    row["peak_mb"] = record["peak_memory_bytes"] / 2**20  # type: ignore[operator]
    np.savetxt(
        folder / "truth_fsc.csv",
        np.column_stack([*curves.values(), *([relion] if relion is not None else [])]),
        delimiter=",",
        header=",".join([*curves, *(["relion"] if relion is not None else [])]),
    )
    return row


def table(path: Path) -> str:
    """The results as a Markdown table, one line per run."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [c for c in rows[0] if c not in KEYS]
    lines = ["| set | particles | seed | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
    for r in rows:
        lines.append("| " + " | ".join([*(r[k] for k in KEYS), *(r.get(c, "") for c in columns)]) + " |")
    return "\n".join(lines)


def benchmark(
    out: Path, star: Path, seed: int, threads: int | None, relion: bool, keep_maps: bool
) -> dict[str, object]:
    """Run and score one realisation of one STAR file; add the row to its table.

    Maps of seeds above 0 are removed unless they are to be kept.
    """
    folder, draw = star.parent / f"gemmap_{star.stem}_{seed}", star.parent / "realisation"
    source = star if seed == 0 else realise(star, seed, draw)
    record = run(source, folder, seed, threads)
    relion_map = star.parent / f"relion_{star.stem}_all.mrc" if seed == 0 else draw / "relion.mrc"
    if seed and relion:
        run_logged(draw / "relion.log", "relion_reconstruct", "--i", source, "--o", relion_map, "--ctf")
    noise = "noise" in star.stem
    row = score_noise(star, folder, seed) if noise else score_run(star, folder, record, seed, relion_map)
    update_table(out / ("noise.csv" if noise else "gemmap.csv"), row, KEYS)
    if seed:
        shutil.rmtree(draw)
        for path in [] if keep_maps else folder.glob("*.mrc"):
            path.unlink()
    return row


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder made by make_sets.py")
    parser.add_argument("sets", nargs="*", help="names of sets, or set/star stem; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="realisations to run; 0 is the set itself")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--relion", action="store_true", help="run relion_reconstruct on further realisations too")
    parser.add_argument("--keep-maps", action="store_true", help="of further realisations too (calibration.py)")
    arguments = parser.parse_args()
    names = arguments.sets or sorted({p.parent.name for p in arguments.out.glob("*/particles_*.json")})
    for seed in arguments.seeds:
        for star in (star for name in names for star in stars_of(arguments.out, name)):
            if seed and star.stem.endswith("true_poses"):
                continue
            row = benchmark(arguments.out, star, seed, arguments.threads, arguments.relion, arguments.keep_maps)
            print(*(f"{k}={v:.4f}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()), flush=True)
    print(table(arguments.out / "gemmap.csv"))


if __name__ == "__main__":
    main()
