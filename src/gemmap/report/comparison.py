"""What a user gets from a comparison: lines on the screen, and a folder of curves, maps and tables."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gemmap._types import Float, Volume
from gemmap.io.atomic import atomic_path
from gemmap.io.map_frame import MapFrame
from gemmap.io.mrc import write_map
from gemmap.report.figures import FscCurve, write_fsc_figure
from gemmap.report.fsc_files import write_fsc_xml
from gemmap.report.record import describe_software
from gemmap.report.residue_figure import write_residue_figure
from gemmap.report.tables import write_fsc_csv
from gemmap.simulate.model import Model
from gemmap.validate.comparison import Comparison

#: Files of a comparison's folder.
COMPARISON_FILES: Mapping[str, str] = {
    "fsc.csv": "FSC curves",
    "fsc.xml": "FSC in the mask, for deposition at the EMDB",
    "fsc.png": "FSC curves, drawn",
    "mask.mrc": "mask of the masked curves",
    "model.mrc": "density of the model as it was compared",
    "residues.csv": "real-space correlation of every residue",
    "residues.png": "the same, drawn chain by chain",
    "compare.json": "all numbers",
}
_MODEL_THRESHOLD = "0.5: a model is free of the map's noise; 0.143 is for two independent half-maps"
_MAP_THRESHOLD = (
    "0.5 if one map is a reference free of the other's noise; 0.143 if they are independent half-maps (gemmap validate "
    "says more about those)"
)
#: Chains named one by one on the screen.
_CHAINS_SHOWN = 6


@dataclass(frozen=True, eq=False)
class ModelReport:
    """Correlations around the atoms of a model.

    Attributes
    ----------
    model
        As it was compared: moved if that was asked for, atoms outside the map left out.
    by_residue
        (residues,) correlations in the order of ``model.residues``; NaN where a residue has no atom in the map.
    by_chain
        Chain to correlation.
    radius_a
        Distance from an atom to which voxels count, Å.
    """

    model: Model
    by_residue: Float[np.ndarray, " r"]
    by_chain: Mapping[str, float]
    radius_a: float


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """A map, what it was compared with, and the outcome.

    Attributes
    ----------
    map_path, other_path
        Files.
    result
        Curves, resolutions, correlations, warnings.
    frame
        Where the map's first voxel lies.
    moved_by_a
        (x, y, z) by which the model or the other map was moved before.
    reference
        (N, N, N), density of the model or the other map, as compared.
    details
        What a model adds; None for a map.
    """

    map_path: Path
    other_path: Path
    result: Comparison
    frame: MapFrame
    moved_by_a: tuple[float, float, float]
    reference: Volume
    details: ModelReport | None


def comparison_lines(report: ComparisonReport) -> list[tuple[str, str]]:
    """Return what a user reads at the end, as labels and texts."""
    result, details = report.result, report.details
    rows = [("Map", f"{report.map_path.name}, {result.box_px} px of {result.pixel_size_a:g} Å")]
    if details is None:
        rows.append(("Compared with", f"{report.other_path.name}, voxel by voxel"))
    else:
        rows += _model_rows(report, details.model)
    if any(report.moved_by_a):
        x, y, z = report.moved_by_a
        rows.append(("Moved by", f"({x:+.2f}, {y:+.2f}, {z:+.2f}) Å in x, y, z, to where it fits best"))
    rows += [
        *_resolution_rows(result, "Resolution", "masked_0.5"),
        *_resolution_rows(result, "  beside it", "masked_0.143"),
        ("  without mask", str(result.resolutions["unmasked_0.5"])),
        ("  which counts", _MODEL_THRESHOLD if details else _MAP_THRESHOLD),
        ("CC", f"{result.cc_mask:.3f} in the mask, {result.cc_box:.3f} in the box ({_filter_text(result, details)})"),
    ]
    if details is not None:
        rows += _correlation_rows(details)
    rows.append(("Also tried", _tried(result)))
    return [*rows, *(("Warning", text) for text in result.warnings)]


def _resolution_rows(result: Comparison, label: str, name: str) -> list[tuple[str, str]]:
    """The resolution, and its interval where it has one."""
    rows = [(label, str(result.resolutions[name]))]
    interval = result.intervals[name]
    if math.isfinite(interval.better_a):
        rows.append(("  95 % interval", f"{interval} (parametric bootstrap over shells)"))
    return rows


def _model_rows(report: ComparisonReport, model: Model) -> list[tuple[str, str]]:
    b = model.atoms.bfactor_a2
    chains = len({model.residues[i].chain for i in np.unique(model.residue_of)})
    text = (
        f"{report.other_path.name}, {len(model.atoms):,} atoms in {chains} chain{'s' if chains > 1 else ''}, "
        f"B-factors {b.min():.0f} to {b.max():.0f} Å^2 (mean {b.mean():.0f})"
    )
    x, y, z = report.frame.origin_a
    rows = [("Model", "; ".join([text, *model.notes]))]
    rows.append(("Position", f"first voxel of the map at ({x:.2f}, {y:.2f}, {z:.2f}) Å: {report.frame.source}"))
    return rows


def _filter_text(result: Comparison, details: ModelReport | None) -> str:
    cut = "neither filtered" if result.lowpass_a is None else f"both cut at {result.lowpass_a:.2f} Å"
    if details is None:
        return cut
    if result.bfactor_a2 is None:
        return f"{cut}, the model with its own B-factors"
    return f"{cut}, {round(result.bfactor_a2):+d} Å^2 added to the model's B-factors to match the map"


def _correlation_rows(details: ModelReport) -> list[tuple[str, str]]:
    rows = []
    known = {name: value for name, value in details.by_chain.items() if math.isfinite(value)}
    ordered = sorted(known, key=known.__getitem__)
    if len(known) <= _CHAINS_SHOWN:
        text = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
    else:
        low, high = ordered[0], ordered[-1]
        text = f"{len(known)} chains, from {known[low]:.3f} ({low}) to {known[high]:.3f} ({high})"
    rows.append(("  by chain", text))
    values = details.by_residue[np.isfinite(details.by_residue)]
    if len(values):
        low, middle, high = np.percentile(values, (25, 50, 75))
        near = f"within {details.radius_a:.1f} Å of its atoms"
        rows.append(("  by residue", f"median {middle:.3f}, quartiles {low:.3f} and {high:.3f} ({near})"))
    return rows


def _tried(result: Comparison) -> str:
    found = result.placement
    return (
        f"mean FSC to {found.resolution_a:.0f} Å: {found.in_place:.2f} in place, {found.moved.score:.2f} moved, "
        f"{found.mirrored.score:.2f} mirrored (best of x, y, z and centre), {found.inverted.score:.2f} with opposite "
        "contrast; not turned"
    )


def write_comparison(folder: Path, report: ComparisonReport) -> None:
    """Write the files of ``COMPARISON_FILES`` that apply into a folder.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    result, size_a, box_px = report.result, report.result.pixel_size_a, report.result.box_px
    write_fsc_csv(folder / "fsc.csv", result.curves(), box_px, size_a)
    title = f"{report.map_path.name} and {report.other_path.name}, {result.mask_name}"
    write_fsc_xml(folder / "fsc.xml", result.masked, box_px, size_a, title)
    drawn = [
        FscCurve(result.mask_name, result.masked),
        FscCurve("no mask", result.unmasked),
        FscCurve("phases random", result.phase_randomised, dashed=True),
    ]
    write_fsc_figure(folder / "fsc.png", drawn, box_px, size_a, result.resolution)
    write_map(folder / "mask.mrc", result.mask, size_a, report.frame.origin_a)
    if report.details is not None:
        write_map(folder / "model.mrc", report.reference, size_a, report.frame.origin_a)
        _write_residues(folder / "residues.csv", report.details)
        names = [residue.chain for residue in report.details.model.residues]
        write_residue_figure(folder / "residues.png", names, report.details.by_residue, result.cc_mask)
    with atomic_path(folder / "compare.json") as temporary:
        temporary.write_text(json.dumps(_record(report), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_residues(path: Path, details: ModelReport) -> None:
    """One row for each residue with an atom in the map."""
    model = details.model
    n = len(model.residues)
    count = np.bincount(model.residue_of, minlength=n)
    b = np.bincount(model.residue_of, model.atoms.bfactor_a2, n) / np.maximum(count, 1)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["chain", "number", "residue", "atoms", "mean_bfactor_a2", "cc"])
        for i in np.flatnonzero(count).tolist():
            residue = model.residues[i]
            frame = (residue.chain, residue.number, residue.name, count[i], f"{b[i]:.2f}")
            writer.writerow([*frame, f"{details.by_residue[i]:.4f}"])


def _record(report: ComparisonReport) -> dict[str, Any]:
    result, details = report.result, report.details
    record = {
        "inputs": [str(report.map_path), str(report.other_path)],
        "box_px": result.box_px,
        "pixel_size_a": result.pixel_size_a,
        "map_origin_a": list(report.frame.origin_a),
        "map_origin_source": report.frame.source,
        "moved_by_a": list(report.moved_by_a),
        "mask": {"name": result.mask_name, "fraction_of_box": float((result.mask > 0.5).mean())},
        "resolutions": {name: asdict(value) for name, value in result.resolutions.items()},
        "intervals_95": {name: asdict(value) for name, value in result.intervals.items()},
        "interval_method": "parametric bootstrap over shells",
        "randomised_from_shell": result.randomised_from,
        "cc_mask": result.cc_mask,
        "cc_box": result.cc_box,
        "cc_lowpass_a": result.lowpass_a,
        "cc_bfactor_a2": result.bfactor_a2,
        "placement": asdict(result.placement),
        "warnings": list(result.warnings),
        "software": describe_software(),
    }
    if details is not None:
        known = details.by_residue[np.isfinite(details.by_residue)]
        record["model"] = {
            "atoms": len(details.model.atoms),
            "notes": list(details.model.notes),
            "cc_by_chain": dict(details.by_chain),
            "cc_residue_median": float(np.median(known)) if len(known) else None,
            "cc_radius_a": details.radius_a,
        }
    cleaned: dict[str, Any] = _finite(record)
    return cleaned


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: both become null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
