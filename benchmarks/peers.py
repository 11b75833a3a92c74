"""Run RELION and cryoDRGN over the benchmark sets: their maps, their FSC to the truth, their time and memory.

Usage::

    python benchmarks/peers.py OUT relion [SET ...]
    python benchmarks/peers.py OUT cryodrgn [SET ...] --cryodrgn PATH
    python benchmarks/peers.py OUT rates --cryodrgn PATH

OUT is the folder that make_sets.py filled. Results go to OUT/relion.csv, OUT/cryodrgn.csv and OUT/rates.csv; a rerun
replaces its rows. Every program runs on one thread; other work on the machine lengthens the wall-clock time, so CPU
seconds stand beside it.
"""

import argparse
import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
from measure import Usage, run_logged, update_table
from score import mean_fsc, resolution_a, score, truth_fsc
from truth_maps import read_map

TASKS = {"all": (), "half1": ("--subset", 1), "half2": ("--subset", 2)}
RATE_ROWS = {"relion_reconstruct": (2000, 10000), "cryodrgn backproject_voxel": (1000, 4000)}
RATE_REPEATS = 3


def star_rows(star: Path) -> list[str]:
    """The particle lines of a star file that make_sets.py wrote."""
    return [line for line in star.read_text().splitlines() if "@" in line]


def subsets(star: Path) -> np.ndarray:
    """Half-set of every row, 1 or 2: rlnRandomSubset, the last column."""
    return np.array([int(row.split()[-1]) for row in star_rows(star)])


def first_rows(star: Path, count: int, path: Path) -> Path:
    """Write a star file with ``count`` rows, taken in turn from ``star``."""
    lines = star.read_text().splitlines()
    head, rows = [line for line in lines if "@" not in line], star_rows(star)
    path.write_text("\n".join(head).rstrip() + "\n" + "\n".join(rows[i % len(rows)] for i in range(count)) + "\n\n")
    return path


def stars_of(out: Path, name: str) -> list[Path]:
    """Star files named by "set" or "set/star"; a set's files with repeated rows are for speed and memory only."""
    if "/" in name:
        return [out / f"{name}.star"]
    return [star for star in sorted((out / name).glob("particles_*.star")) if not star.stem.endswith("rows")]


def stack_of(star: Path) -> Path:
    """The stack that a star file names."""
    return Path(star_rows(star)[0].split()[0].split("@")[1])


def pixel_size_of(star: Path) -> float:
    """Pixel size from the record beside the star file's stack."""
    return float(json.loads(stack_of(star).with_suffix(".json").read_text())["pixel_size_a"])


def record(out: Path, program: str, star: Path, task: str, usage: Usage, maps: dict[str, np.ndarray]) -> None:
    """Add one run to the program's table: with its halves at hand, also what the half-maps would claim."""
    folder = star.parent
    truth, mask, pixel_size_a = read_map(folder / "truth.mrc"), read_map(folder / "mask.mrc"), pixel_size_of(star)
    used = len(star_rows(star)) if task == "all" else int((subsets(star) == int(task[-1])).sum())
    row: dict[str, object] = {"set": folder.name, "star": star.stem, "task": task, "particles": used}
    row |= asdict(usage) | score(maps[task], truth, mask, pixel_size_a)
    if task == "all":
        halves = truth_fsc(maps["half1"], maps["half2"], mask)
        row |= {"half_map_mean_fsc_masked": mean_fsc(halves)}
        row |= {"half_map_resolution_masked_a": resolution_a(halves, pixel_size_a, threshold=0.143)}
    print(program, *(f"{name}={value}" for name, value in row.items()), flush=True)
    update_table(out / f"{program}.csv", row, ("set", "star", "task"))


def relion(out: Path, names: list[str]) -> None:
    """relion_reconstruct over every star file: all particles and both half-sets."""
    for star in (star for name in names for star in stars_of(out, name)):
        maps, usage = {}, {}
        for task, option in TASKS.items():
            target = star.with_name(f"relion_{star.stem}_{task}.mrc")
            command = ("relion_reconstruct", "--i", star, "--o", target, "--ctf", *option)
            usage[task] = run_logged(target.with_suffix(".log"), *command)
            maps[task] = read_map(target)
        for task in TASKS:
            record(out, "relion", star, task, usage[task], maps)


def cryodrgn_inputs(command: str, star: Path) -> tuple[Path, Path]:
    """Poses and CTF of a star file in cryoDRGN's own files, beside it."""
    poses, ctf = star.with_name(f"{star.stem}_poses.pkl"), star.with_name(f"{star.stem}_ctf.pkl")
    box_px = read_map(stack_of(star).with_name("truth.mrc")).shape[0]
    run_logged(poses.with_suffix(".log"), command, "parse_pose_star", star, "-o", poses, "-D", box_px)
    pixel = ("--Apix", pixel_size_of(star))
    run_logged(ctf.with_suffix(".log"), command, "parse_ctf_star", star, "-o", ctf, "-D", box_px, *pixel)
    return poses, ctf


def backproject(command: str, star: Path, target: Path, inputs: tuple[Path, Path], *options: object) -> Usage:
    """Run cryodrgn backproject_voxel; the map is ``target``/backproject.mrc."""
    images = ("--poses", inputs[0], "--ctf", inputs[1], "-o", target, "--no-half-maps", *options)
    return run_logged(target.with_name(f"{target.name}.log"), command, "backproject_voxel", star, *images)


def cryodrgn(out: Path, names: list[str], command: str) -> None:
    """Run cryodrgn backproject_voxel over every star file: all particles and RELION's half-sets."""
    for star in (star for name in names for star in stars_of(out, name)):
        inputs = cryodrgn_inputs(command, star)
        maps, usage = {}, {}
        for task in TASKS:
            target = star.with_name(f"cryodrgn_{star.stem}_{task}")
            options: tuple[object, ...] = ()
            if task != "all":
                rows = star.with_name(f"cryodrgn_{star.stem}_{task}.pkl")
                rows.write_bytes(pickle.dumps(np.flatnonzero(subsets(star) == int(task[-1]))))
                options = ("--ind", rows)
            usage[task] = backproject(command, star, target, inputs, *options)
            maps[task] = read_map(target / "backproject.mrc")
        for task in TASKS:
            record(out, "cryodrgn", star, task, usage[task], maps)


def rates(out: Path, names: list[str], command: str) -> None:
    """Time per particle with the fixed costs out: the difference of two runs that differ in their rows alone."""
    for star in (stars_of(out, name)[0] for name in names):
        name = star.parent.name
        folder = out / "rates"
        folder.mkdir(exist_ok=True)
        for program, counts in RATE_ROWS.items():
            runs: dict[int, list[Usage]] = {count: [] for count in counts}
            for count in counts:
                rows = first_rows(star, count, folder / f"{name}_{count}.star")
                target = folder / f"{program.split()[0]}_{name}_{count}"
                inputs = cryodrgn_inputs(command, rows) if program.startswith("cryodrgn") else None
                for _ in range(RATE_REPEATS):
                    if inputs is None:
                        reconstruct = ("relion_reconstruct", "--i", rows, "--o", f"{target}.mrc", "--ctf")
                        runs[count].append(run_logged(target.with_suffix(".log"), *reconstruct))
                    else:
                        runs[count].append(backproject(command, rows, target, inputs))
            few, many = counts
            row: dict[str, object] = {"set": name, "program": program, "rows_few": few, "rows_many": many}
            for quantity in ("wall_s", "cpu_s"):
                # The fastest of the repeats: other work on the machine only ever adds time.
                low, high = (min(getattr(run, quantity) for run in runs[count]) for count in counts)
                row |= {f"{quantity}_few": low, f"{quantity}_many": high}
                row |= {f"{quantity.split('_')[0]}_ms_per_particle": 1e3 * (high - low) / (many - few)}
            row |= {"peak_mb": max(run.peak_mb for run in runs[many]), "repeats": RATE_REPEATS}
            print(*(f"{key}={value}" for key, value in row.items()), flush=True)
            update_table(out / "rates.csv", row, ("set", "program"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder that make_sets.py filled")
    parser.add_argument("what", choices=("relion", "cryodrgn", "rates"))
    parser.add_argument("sets", nargs="*", help="SET or SET/STAR; default: every set (8zpm alone for rates)")
    parser.add_argument("--cryodrgn", default="cryodrgn", help="the cryodrgn command")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    names = arguments.sets or sorted(p.parent.name for p in out.glob("*/truth.mrc"))
    if arguments.what == "relion":
        relion(out, names)
    elif arguments.what == "cryodrgn":
        cryodrgn(out, names, arguments.cryodrgn)
    else:
        rates(out, arguments.sets or ["8zpm"], arguments.cryodrgn)


if __name__ == "__main__":
    main()
