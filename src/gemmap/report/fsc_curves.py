"""Which of the curves in fsc.csv are worth drawing, under which names."""

from collections.abc import Mapping

from gemmap._types import Curve
from gemmap.report.figures import FscCurve

#: Column, name and whether it is dashed: of a run, and where back-projections are known.
_RUN = {
    "cross_fsc_map": ("final map, cross-FSC", False),
    "half_maps_corrected": ("half-maps, soft mask (corrected)", True),
    "half_maps_unmasked": ("half-maps, no mask", False),
    "backprojection_corrected": ("back-projection, soft mask (corrected)", True),
    "backprojection_spherical": ("back-projection, sphere", False),
    "backprojection_unmasked": ("back-projection, no mask", False),
    "half_maps_phase_randomised": ("half-maps, phases randomised", True),
}
#: Of half-maps alone.
_HALF_MAPS = {
    "corrected": ("half-maps, mask (corrected)", False),
    "unmasked": ("half-maps, no mask", False),
    "spherical": ("half-maps, sphere", False),
    "masked": ("half-maps, mask", True),
    "phase_randomised": ("half-maps, phases random", True),
    "half_bit": ("half bit", True),
}


def curves_to_draw(curves: Mapping[str, Curve]) -> list[FscCurve]:
    """Return the main curves of those that `write_fsc_csv` was given or a file of it holds, the first the stated one.

    Names are those of :meth:`gemmap.validate.postprocess.Postprocess.curves`; what is not there is left out.
    """
    named = _RUN if "cross_fsc_map" in curves else _HALF_MAPS
    return [FscCurve(text, curves[name], dashed) for name, (text, dashed) in named.items() if name in curves]
