"""What the tests on particles found, as tables, one figure and a record."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gemmap._types import Curve
from gemmap.evidence.held_out import HeldOut
from gemmap.evidence.noise_substitution import NoiseSubstitution
from gemmap.evidence.particle_count import NAMES, ParticleCount
from gemmap.evidence.pure_noise import PureNoise
from gemmap.io.atomic import atomic_path
from gemmap.report.held_out import held_out_curves
from gemmap.report.record import to_plain
from gemmap.report.tables import write_fsc_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Finding: TypeAlias = NoiseSubstitution | HeldOut | PureNoise | ParticleCount

#: Files of the tests, by test.
FILES: Mapping[str, str] = {
    "noise-substitution": "evidence_noise_substitution.csv",
    "held-out": "evidence_held_out.csv",
    "pure-noise": "evidence_pure_noise.csv",
    "particle-count": "evidence_particle_count.csv",
}
FIGURE_NAME, RECORD_NAME = "evidence.png", "evidence.json"
#: Okabe and Ito's colours, which differ for everybody.
_BLUE, _ORANGE, _GREEN, _BLACK = "#0072b2", "#d55e00", "#009e73", "#222222"
_LABELS = {"map": "map (cross-FSC)", "half_maps": "half-maps", "backprojection": "back-projection"}


def write_table(path: Path, finding: Finding, box_px: int, pixel_size_a: float) -> None:
    """Write the curves or points of a test.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if isinstance(finding, ParticleCount):
        _write_counts(path, finding)
    else:
        write_fsc_csv(path, _curves(finding), box_px, pixel_size_a)


def record_of(finding: Finding) -> dict[str, Any]:
    """Return what a test found as plain values, its sentence first."""
    numbers: dict[str, Any]
    if isinstance(finding, NoiseSubstitution):
        numbers = {
            "from_shell": finding.from_shell,
            "largest_masked": finding.largest,
            "resolutions": {name: {"text": str(r), **asdict(r)} for name, r in finding.resolutions.items()},
        }
    elif isinstance(finding, HeldOut):
        numbers = {
            "n_held_out": finding.n_held_out,
            "last_shell": finding.last_shell,
            "kept": {name: finding.kept(name) for name in finding.agreement.held_out},
            "kept_error": {name: finding.kept_error(name) for name in finding.agreement.held_out},
        }
    elif isinstance(finding, PureNoise):
        numbers = {
            "largest": {name: finding.largest(name) for name in finding.curves},
            "shells_beyond_chance": {name: finding.beyond_chance(name) for name in finding.curves},
        }
    else:
        numbers = {
            "counts": finding.counts,
            "resolutions_a": {name: [r.value_a for r in values] for name, values in finding.resolutions.items()},
            "lines": {name: asdict(line) for name, line in finding.lines.items()},
        }
    return {"text": finding.line(), **_finite(to_plain(numbers))}


def write_record(path: Path, records: Mapping[str, Any]) -> None:
    """Write the records of tests by their names.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        text = json.dumps(records, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_evidence_figure(path: Path, findings: Mapping[str, Finding], box_px: int, pixel_size_a: float) -> None:
    """Draw one panel for each test.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(findings), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(findings), squeeze=False)[0]
    for axis, finding in zip(axes, findings.values(), strict=True):
        _draw(axis, finding, box_px, pixel_size_a)
        axis.grid(True, color="#dddddd", linewidth=0.6)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _curves(finding: NoiseSubstitution | HeldOut | PureNoise) -> dict[str, Curve]:
    if isinstance(finding, NoiseSubstitution):
        kinds = {"given": finding.given, "substituted": finding.substituted, "true": finding.true}
        return {f"{name}_{kind}": curve for kind, curves in kinds.items() for name, curve in curves.items()}
    if isinstance(finding, PureNoise):
        return {**finding.curves, **{f"{name}_chance": curve for name, curve in finding.chance.items()}}
    return held_out_curves(finding.agreement)


def _write_counts(path: Path, finding: ParticleCount) -> None:
    rows = [
        [str(count), *(f"{finding.resolutions[name][i].value_a:.4f}" for name in NAMES)]
        for i, count in enumerate(finding.counts)
    ]
    header = ["particles", *(f"{name}_resolution_a" for name in NAMES)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _draw(axis: "Axes", finding: Finding, box_px: int, pixel_size_a: float) -> None:
    if isinstance(finding, ParticleCount):
        _draw_counts(axis, finding)
        return
    shells = np.arange(box_px // 2 + 1) / (box_px * pixel_size_a)
    axis.set_xlabel("spatial frequency (1/Å)")
    axis.axhline(0.0, color="#888888", linewidth=0.8)
    if isinstance(finding, NoiseSubstitution):
        axis.set_title("Noise substitution: half-maps in the mask")
        axis.set_ylabel("FSC")
        axis.plot(shells, finding.given["half_maps_masked"], color=_BLUE, label="as given")
        axis.plot(shells, finding.substituted["half_maps_masked"], color=_ORANGE, label="noise substituted")
        axis.plot(shells, finding.true["half_maps_masked"], color=_GREEN, linestyle="--", label="true")
        axis.plot(
            shells, finding.substituted["backprojection_masked"], color=_BLACK, linestyle=":",
            label="back-projection, noise substituted",
        )  # fmt: skip
        axis.axvline(shells[finding.from_shell], color="#888888", linewidth=0.8)
    elif isinstance(finding, PureNoise):
        axis.set_title("Pure noise: half-maps of no particle")
        axis.set_ylabel("FSC")
        axis.fill_between(
            shells,
            -finding.chance["half_maps_masked"],
            finding.chance["half_maps_masked"],
            color="#eeeeee",
            label="chance, in the mask",
        )
        axis.plot(shells, finding.curves["half_maps_masked"], color=_BLUE, label="in the mask")
        axis.plot(shells, finding.curves["half_maps_unmasked"], color=_ORANGE, label="no mask")
        axis.plot(shells, finding.curves["backprojection_masked"], color=_BLACK, linestyle=":", label="back-projection")
        axis.set_ylim(-1.02, 1.02)
    else:
        axis.set_title("Particles never fitted, and fitted ones")
        axis.set_ylabel("correlation with images")
        # The pass ends one step of the grid inside Nyquist: the last two shells are not whole.
        inner, of_run = slice(1, -2), finding.agreement
        for name, colour in (("map", _BLUE), ("backprojection", _ORANGE)):
            label = _LABELS[name].partition(" (")[0]
            seen, unseen = (of[name].correlation[inner] for of in (of_run.fitted, of_run.held_out))
            axis.plot(shells[inner], seen, color=colour, linestyle=":", label=f"{label}, fitted")
            axis.plot(shells[inner], unseen, color=colour, label=f"{label}, held out")
        error = of_run.held_out["map"].correlation_error[inner]
        middle = of_run.held_out["map"].correlation[inner]
        axis.fill_between(shells[inner], middle - 2 * error, middle + 2 * error, color=_BLUE, alpha=0.15, linewidth=0)
    axis.legend(frameon=False, fontsize=8)


def _draw_counts(axis: "Axes", finding: ParticleCount) -> None:
    axis.set_title("Resolution against particles")
    axis.set_xlabel("particles")
    axis.set_ylabel("1 / resolution² (1/Å²)")
    axis.set_xscale("log")
    counts = np.array(finding.counts, np.float64)
    axis.set_xticks(counts, [f"{count:,}" for count in finding.counts])
    axis.minorticks_off()
    for name, colour in zip(NAMES, (_BLUE, _GREEN, _ORANGE), strict=True):
        squares = [1.0 / r.value_a**2 for r in finding.resolutions[name]]
        axis.plot(counts, squares, "o", color=colour, label=_LABELS[name])
        if name in finding.lines:
            line = finding.lines[name]
            reach = np.array([counts[0], 2.0 * counts[-1]])
            axis.plot(reach, line.slope * np.log(reach) + line.intercept, color=colour, linewidth=1)
    axis.legend(frameon=False, fontsize=8)
