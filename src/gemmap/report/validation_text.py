"""A validation in words, for the screen, and in numbers, for the record."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from gemmap.validate.pair import PairFacts
from gemmap.validate.postprocess import Postprocess
from gemmap.validate.resolution import Resolution

#: Said of everything that the half-maps of a run say about themselves.
CAUTION = (
    "The half-maps are fits that share a prior, so what they say about themselves is better than the truth; the "
    "back-projections share none."
)


def validation_lines(result: Postprocess) -> list[tuple[str, str]]:
    """Return what a user reads at the end, as labels and texts."""
    own, baseline = result.half_maps, result.backprojections
    half_maps = own.resolutions["masked"]
    rows = [("Resolution", str(result.resolution))]
    if baseline is not None:
        rows.append(("  half-maps", str(half_maps)))
    rows.append(("  95 % interval", f"{own.interval} (half-map FSC, parametric bootstrap over shells)"))
    rows += [("  beside it", str(value)) for name, value in own.resolutions.items() if name != "masked"]
    if baseline is not None:
        rows.append(("  back-projection", str(baseline.resolutions["masked"])))
    if result.sharpened is not None:
        rows.append(("B-factor", f"{result.sharpened.bfactor_a2:.0f} Å^2"))
    return [*rows, *detail_lines(result), *(("Warning", text) for text in result.warnings())]


def detail_lines(result: Postprocess) -> list[tuple[str, str]]:
    """Return local resolution and direction of the half-maps, and beside them of the back-projections."""
    pairs = [("half-maps", result.half_maps)]
    if result.backprojections is not None:
        pairs.append(("back-projections", result.backprojections))
    local = [f"{name} {text}" for name, facts in pairs if (text := _local_text(result, facts))]
    direction = [f"{name} cFAR {f.direction.cfar:.2f}, sphericity {f.direction.sphericity:.3f}" for name, f in pairs]
    how = "FSC 0.143" if result.assessment is None else "FSC of the run's threshold; back-projections 0.143"
    rows = [("Local resolution", f"{'; '.join(local)} (medians and quartiles in the mask; {how})")] if local else []
    if result.fsc3d is not None:
        direction.append(f"3-D FSC at 0.5 of the half-maps: sphericity {result.fsc3d.sphericity:.3f}")
    return [*rows, ("Direction", f"{'; '.join(direction)} (cones of 20 degrees, FSC 0.143, {result.mask_name})")]


def _local_text(result: Postprocess, facts: PairFacts) -> str:
    inside = facts.local_inside(result.mask)
    if inside is None:
        return ""
    low, middle, high = np.percentile(inside, (25, 50, 75))
    return f"{middle:.2f} Å ({low:.2f}, {high:.2f})"


def validation_record(result: Postprocess, fitted: bool) -> dict[str, Any]:
    """Return all numbers: those of the half-maps, and under ``backprojections`` the same of the back-projections.

    Parameters
    ----------
    fitted
        The half-maps are fits of this program, which agree more than they should; the record says so.
    """
    sharpened = result.sharpened
    weighted_by = "half-map FSC" if result.assessment is None else "cross-FSC"
    guinier = None if sharpened is None or sharpened.guinier is None else sharpened.guinier
    record = _facts(result, result.half_maps)
    if result.assessment is not None:
        record["resolutions"] = {"map": _resolution(result.resolution), **record["resolutions"]}
    return {
        **record,
        "backprojections": None if result.backprojections is None else _facts(result, result.backprojections),
        "caution": CAUTION if fitted else None,
        "mask": {"name": result.mask_name, **asdict(result.mask_report)},
        "bfactor_a2": None if sharpened is None else sharpened.bfactor_a2,
        "sharpening": None
        if sharpened is None
        else {
            "weighted_by": weighted_by,
            "lowpass_a": sharpened.lowpass_a,
            "guinier_shells": None if guinier is None else [guinier.first_shell, guinier.last_shell],
            "guinier_correlation": None if guinier is None else guinier.correlation,
        },
        "sphericity_3dfsc": None if result.fsc3d is None else result.fsc3d.sphericity,
        "warnings": result.warnings(),
    }


def _facts(result: Postprocess, facts: PairFacts) -> dict[str, Any]:
    local = facts.local_inside(result.mask)
    return {
        "resolutions": {name: _resolution(value) for name, value in facts.resolutions.items()},
        "interval_95": _finite({**asdict(facts.interval), "method": "parametric bootstrap over shells"}),
        "randomised_from_shell": facts.fsc.randomised_from,
        "seed": facts.fsc.seed,
        "local_resolution_a": None
        if local is None
        else {"mean": float(local.mean()), "quartiles": [float(q) for q in np.percentile(local, (25, 50, 75))]},
        "cfar": facts.direction.cfar,
        "sphericity": facts.direction.sphericity,
    }


def _resolution(value: Resolution) -> dict[str, Any]:
    return _finite({**asdict(value), "text": str(value)})


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
