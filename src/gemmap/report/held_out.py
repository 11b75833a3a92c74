"""What particles that were never fitted say about a map: curves for a table, one sentence, plain numbers."""

from typing import Any

from gemmap._types import Curve
from gemmap.fit.agreement import HeldOutAgreement

HELD_OUT_NAME = "held_out.csv"


def held_out_curves(agreement: HeldOutAgreement) -> dict[str, Curve]:
    """Return correlation and slope of particles seen and not seen, and the errors of the latter, by name."""
    out = {}
    for kind, of in (("held_out", agreement.held_out), ("fitted", agreement.fitted)):
        for name, one in of.items():
            out[f"{name}_{kind}_correlation"] = one.correlation
            out[f"{name}_{kind}_slope"] = one.slope
    any_map = agreement.held_out["map"]
    return {**out, "correlation_error": any_map.correlation_error, "map_slope_error": any_map.slope_error}


def held_out_text(agreement: HeldOutAgreement, last_shell: int) -> str:
    """Return what the trial fits of a run found, in a sentence; shells up to the last count."""
    values = {name: _with_error(agreement, name, last_shell) for name in ("map", "backprojection")}
    return (
        f"{agreement.held_out['map'].n_particles:,} particles that trial fits did not see agree {values['map']} times "
        f"as well with their maps as those they saw (back-projection {values['backprojection']}; 1 is no overfitting)"
    )


def held_out_record(agreement: HeldOutAgreement, last_shell: int) -> dict[str, Any]:
    """Return the same as plain values, the sentence first."""
    return {
        "text": held_out_text(agreement, last_shell),
        "n_held_out": agreement.held_out["map"].n_particles,
        "n_fitted": agreement.fitted["map"].n_particles,
        "last_shell": last_shell,
        "kept": {name: agreement.kept(name, last_shell) for name in agreement.held_out},
        "kept_error": {name: agreement.kept_error(name, last_shell) for name in agreement.held_out},
    }


def _with_error(agreement: HeldOutAgreement, name: str, last_shell: int) -> str:
    return f"{agreement.kept(name, last_shell):.2f} +- {agreement.kept_error(name, last_shell):.2f}"
