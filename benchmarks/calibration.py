"""Is the printed resolution true? Finished runs on simulated sets, judged against the truth they never saw.

Every run's printed resolution (cross-FSC 0.5, with its interval) is set against the resolution at which the FSC of its
final map with the truth, within the run's own mask, falls below 0.5; beside it, what half-map FSC 0.143 (masked,
corrected for the mask) claims for our maps, and for the back-projections against the truth of their own mean. Writes
one row a run, one line a set, and a plot.

Usage: ``python benchmarks/calibration.py OUT [--runs FOLDER ...] [--table CSV] [--plot PNG]``.

OUT is the folder of ``make_sets.py``: OUT/SET/truth.mrc, and runs OUT/SET/gemmap_STAR_SEED with their maps
(``reconstruct.py --keep-maps``). Further FOLDERs may hold further runs of the same sets, FOLDER/SET/gemmap_STAR_SEED.
"""

import argparse
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from score import resolution_a, truth_fsc
from truth_maps import read_map

from gemmap.validate.assessment import assess
from gemmap.validate.resolution import Resolution

RUN = re.compile(r"gemmap_particles_snr(?P<snr>[0-9.]+?)(_(?P<n>[0-9]+))?_(?P<seed>[0-9]+)")
HALVES = ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc")
BACK_PROJECTIONS = ("backprojection_half1.mrc", "backprojection_half2.mrc")
#: Claims, each with the map that it is about.
CLAIMS = {"printed": "map", "half_maps": "map", "backprojection": "backprojection"}
NAMES = {
    "printed": "printed (cross-FSC 0.5)",
    "half_maps": "half-map FSC 0.143 of our maps",
    "backprojection": "half-map FSC 0.143 of back-projections",
}
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")  # Okabe & Ito 2008
Row = dict[str, str | float]


def judge(folder: Path, truth: np.ndarray) -> Row:
    """What one run prints, and what is true."""
    match = RUN.fullmatch(folder.name)
    assert match is not None
    record = json.loads((folder / "job.json").read_text())["results"]
    pixel_size_a = float(record["pixel_size_a"])
    mask = read_map(folder / "mask.mrc")
    halves, back = ([read_map(folder / name) for name in names] for names in (HALVES, BACK_PROJECTIONS))
    found = assess((halves[0], halves[1]), (back[0], back[1]), mask, pixel_size_a, "the run's mask")
    final = truth_fsc(read_map(folder / "run_class001.mrc"), truth, mask)
    baseline = truth_fsc(0.5 * (back[0] + back[1]), truth, mask)
    nyquist_a = 2 * pixel_size_a

    def value(resolution: Resolution) -> float:
        return min(resolution.value_a, len(truth) * pixel_size_a)

    return {
        "set": folder.parent.name,
        "snr": float(match["snr"]),
        "particles": int(record["n_particles"]),
        "seed": int(match["seed"]),
        "true_map_a": resolution_a(final, pixel_size_a),
        "true_backprojection_a": resolution_a(baseline, pixel_size_a),
        "printed_a": value(found.resolution),
        "better_a": found.interval.better_a,
        "worse_a": found.interval.worse_a,
        "at_limit": int(found.resolution.at_limit),
        "half_maps_a": value(found.resolutions["half_maps_masked"]),
        "backprojection_a": value(found.resolutions["backprojection_masked"]),
        "nyquist_a": nyquist_a,
        "printed": str(found.resolution),
    }


def judge_all(out: Path, roots: Sequence[Path], table: Path) -> None:
    """Judge every run that still has its maps, and write the table."""
    rows = []
    for folder in sorted(f for root in roots for f in root.glob("*/gemmap_*") if RUN.fullmatch(f.name)):
        if (folder / "run_class001.mrc").exists():
            rows.append(judge(folder, read_map(out / folder.parent.name / "truth.mrc")))
            print(*rows[-1].values(), flush=True)
    if not rows:
        raise SystemExit(
            f"No finished run with its maps in {', '.join(map(str, roots))}: run reconstruct.py --keep-maps."
        )
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def read_rows(table: Path) -> list[Row]:
    """The table, with numbers as numbers."""
    with table.open(newline="") as file:
        return [{k: v if k in ("set", "printed") else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def by_set(rows: Sequence[Row]) -> dict[tuple[str, float, float], list[Row]]:
    """Realisations of the same set, SNR and number of particles."""
    groups: dict[tuple[str, float, float], list[Row]] = {}
    for row in sorted(rows, key=lambda r: (str(r["set"]), r["snr"], r["particles"], r["seed"])):
        groups.setdefault((str(row["set"]), float(row["snr"]), float(row["particles"])), []).append(row)
    return groups


def ratios(rows: Sequence[Row], claim: str) -> np.ndarray:
    """Claimed resolution over the true one of the map it is about."""
    return np.array([float(r[f"{claim}_a"]) / float(r[f"true_{CLAIMS[claim]}_a"]) for r in rows])


def standard_error(values: np.ndarray) -> float:
    """Of the mean; NaN for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def holds(row: Row) -> bool:
    """Whether the interval holds the true resolution, to the digits that are printed."""
    return float(row["better_a"]) - 0.005 <= float(row["true_map_a"]) <= float(row["worse_a"]) + 0.005


def report(rows: Sequence[Row]) -> str:
    """The table of sets in Markdown, and the figures over all of them."""
    lines = [
        "| set | SNR | particles | true Å | printed Å | printed / true, mean ± standard error (range) "
        "| interval, mean Å | holds the truth | half-map 0.143 / true, ours | back-projection |",
        "|---" * 10 + "|",
    ]
    groups = by_set(rows)
    for (name, snr, particles), group in groups.items():
        mean = {k: np.mean([float(r[k]) for r in group]) for k in ("true_map_a", "printed_a", "better_a", "worse_a")}
        ratio = ratios(group, "printed")
        lines.append(
            f"| {name} | {snr:g} | {particles:,.0f} | {mean['true_map_a']:.2f} | {mean['printed_a']:.2f} "
            f"| {ratio.mean():.3f} ± {standard_error(ratio):.3f} ({ratio.min():.2f} to {ratio.max():.2f}) "
            f"| {mean['better_a']:.2f} to {mean['worse_a']:.2f} | {sum(map(holds, group))} of {len(group)} "
            f"| {ratios(group, 'half_maps').mean():.2f} | {ratios(group, 'backprojection').mean():.2f} |"
        )
    widths = np.array([float(r["worse_a"]) / float(r["better_a"]) - 1 for r in rows])
    lines += ["", f"{len(rows)} runs, {len(groups)} sets; the interval holds the truth in "
              f"{np.mean([holds(r) for r in rows]):.1%} (true better: "
              f"{np.mean([float(r['true_map_a']) < float(r['better_a']) - 0.005 for r in rows]):.1%}, true worse: "
              f"{np.mean([float(r['true_map_a']) > float(r['worse_a']) + 0.005 for r in rows]):.1%}); its width is "
              f"{np.median(widths):.0%} of the resolution in the median, {np.quantile(widths, 0.9):.0%} in one of ten; "
              f"at the limit of what is known: {sum(int(r['at_limit']) for r in rows)}.", ""]  # fmt: skip
    lines += ["| claim / true | mean of the sets | standard deviation of runs (sets count alike) "
              "| worst run | worst set mean | sets off by > 6 % |", "|---" * 6 + "|"]  # fmt: skip
    for claim, name in NAMES.items():
        of_sets = [ratios(group, claim) for group in groups.values()]
        means = np.array([ratio.mean() for ratio in of_sets])
        scatter = np.sqrt(np.mean([np.mean((ratio - means.mean()) ** 2) for ratio in of_sets]))
        lines.append(
            f"| {name} | {means.mean():.3f} | {scatter:.3f} | {_worst(np.concatenate(of_sets)):.2f} "
            f"| {_worst(means):.2f} | {np.sum(np.abs(means - 1) > 0.06)} of {len(means)} |"
        )
    return "\n".join(lines)


def _worst(values: np.ndarray) -> float:
    return float(values[np.argmax(np.abs(np.log(values)))])


def plot(rows: Sequence[Row], path: Path) -> None:
    """Printed against true resolution with intervals, and what all three claims are off by, set by set."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(str(r["set"]) for r in rows))
    colour = dict(zip(names, COLOURS, strict=False))
    figure = Figure(figsize=(12, 6.4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    low, high = 2.6, 15.0
    line = np.array([low, high])
    left.fill_between(line, line * 0.94, line * 1.06, color="0.9", lw=0)
    left.plot(line, line, color="0.5", lw=1)
    for r in rows:
        x, y = float(r["true_map_a"]), float(r["printed_a"])
        error = [[max(y - float(r["better_a"]), 0.0)], [max(min(float(r["worse_a"]), 60.0) - y, 0.0)]]
        marker = "o" if float(r["snr"]) > 0.01 else "s"
        size = 4.5 + 1.5 * np.log10(float(r["particles"]) / 500)
        left.errorbar(x, y, yerr=error, fmt=marker, ms=size, color=colour[str(r["set"])], lw=0.7, alpha=0.75)
    left.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    ticks = [3, 4, 5, 6, 8, 10, 12, 15]
    for axis in (left.xaxis, left.yaxis):
        axis.set_ticks(ticks, [str(t) for t in ticks])
        axis.set_ticks([], minor=True)
    left.set(xlabel="true resolution: FSC with the truth 0.5 (Å)", ylabel="printed resolution with 95 % interval (Å)")
    handles = [Line2D([], [], color=colour[n], marker="o", lw=0, label=n) for n in names]
    handles += [
        Line2D([], [], color="0.3", marker=m, lw=0, label=t) for m, t in (("o", "SNR 0.02"), ("s", "SNR 0.005"))
    ]
    left.legend(handles=handles, loc="upper left", frameon=False, fontsize=9)
    left.set_title("every run; grey: within 6 %", fontsize=10)
    _plot_claims(right, by_set(rows), colour)
    figure.savefig(path)


def _plot_claims(axes, groups: Mapping[tuple[str, float, float], list[Row]], colour: Mapping[str, str]) -> None:  # type: ignore[no-untyped-def]
    """Means over realisations of claim / true, one line a set."""
    markers = {"printed": ("o", 1.0), "half_maps": ("<", 0.55), "backprojection": ("x", 0.55)}
    axes.axvspan(-6, 6, color="0.9", lw=0)
    axes.axvline(0, color="0.5", lw=1)
    for y, ((name, _, _), group) in enumerate(groups.items()):
        for claim, (marker, alpha) in markers.items():
            off = 100 * (ratios(group, claim) - 1)
            own = colour[name] if claim == "printed" else "0.35"
            axes.plot(off.mean(), y, marker, color=own, alpha=alpha, ms=6, label=NAMES[claim] if y == 0 else None)
            if claim == "printed":
                axes.hlines(y, off.min(), off.max(), color=own, lw=1)
                error = standard_error(off)
                axes.hlines(y, off.mean() - error, off.mean() + error, color=own, lw=3, alpha=0.6)
    labels = [f"{name}, {snr:g}, {particles:,.0f}" for name, snr, particles in groups]
    axes.set_yticks(range(len(groups)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="claimed / true resolution - 1 (%); left: too optimistic")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, fontsize=8)
    axes.set_title("means of the sets; bars of what is printed: standard error, range", fontsize=10)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder made by make_sets.py")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="folders with further runs")
    parser.add_argument("--table", type=Path, help="one row a run; default OUT/calibration.csv")
    parser.add_argument("--plot", type=Path, help="default OUT/calibration.png")
    parser.add_argument("--keep-table", action="store_true", help="judge no run again: read the table that is there")
    arguments = parser.parse_args()
    table = arguments.table or arguments.out / "calibration.csv"
    if not arguments.keep_table:
        judge_all(arguments.out, [arguments.out, *arguments.runs], table)
    rows = read_rows(table)
    plot(rows, arguments.plot or arguments.out / "calibration.png")
    print(report(rows))


if __name__ == "__main__":
    main()
