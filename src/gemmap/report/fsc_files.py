"""FSC curves in the files of other programs: RELION's postprocess STAR and EMDB's XML."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

from gemmap._types import Curve
from gemmap.io.atomic import atomic_path
from gemmap.validate.postprocess import Postprocess

if TYPE_CHECKING:
    from gemmi import cif

#: What RELION writes for shell 0 and for amplitudes of nothing.
_NO_RESOLUTION_A, _NO_LOG = 999.0, -99.0


def write_fsc_xml(path: Path, curve: Curve, box_px: int, pixel_size_a: float, title: str) -> None:
    """Write a curve as EMDB's deposition reads it: 1/Å against correlation.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    lines = [f'<fsc title={quoteattr(title)} xaxis="Resolution (A-1)" yaxis="Correlation Coefficient">']
    for shell, value in enumerate(curve):
        lines.append(
            f"  <coordinate>\n    <x>{shell / (box_px * pixel_size_a):.6f}</x>\n    <y>{value:.6f}</y>\n  </coordinate>"
        )
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*lines, "</fsc>", ""]), encoding="utf-8")


def write_postprocess_star(path: Path, result: Postprocess, box_px: int, pixel_size_a: float) -> None:
    """Write tables ``general``, ``fsc`` and ``guinier`` with relion_postprocess's labels.

    The final resolution there is the half-maps', as the curves are. Curves that RELION has no label for are in a table
    ``gemmap`` of their own: within a sphere and, where they are known, the cross-FSC and that of the back-projections.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from gemmi import cif

    document = cif.Document()
    curves, sharpened, n_shells = result.half_maps.fsc, result.sharpened, box_px // 2 + 1
    _add_general(document.add_new_block("general"), result, box_px, pixel_size_a)
    frequencies = [shell / (box_px * pixel_size_a) if shell else 1.0 / _NO_RESOLUTION_A for shell in range(n_shells)]
    columns = {
        "SpectralIndex": [str(shell) for shell in range(n_shells)],
        "Resolution": _numbers(frequencies),
        "AngstromResolution": _numbers([1.0 / frequency for frequency in frequencies]),
        "FourierShellCorrelationCorrected": _numbers(curves.corrected),
        "FourierShellCorrelationUnmaskedMaps": _numbers(curves.unmasked),
        "FourierShellCorrelationMaskedMaps": _numbers(curves.masked),
        "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": _numbers(curves.phase_randomised),
    }
    _add_loop(document.add_new_block("fsc"), "_rln", columns)
    if sharpened is not None and sharpened.guinier is not None:
        fit = sharpened.guinier
        guinier = {
            "ResolutionSquared": _numbers(fit.inverse_d2),
            "LogAmplitudesOriginal": _numbers(np.maximum(fit.log_amplitudes, _NO_LOG)),
            "LogAmplitudesWeighted": _numbers(np.maximum(fit.log_weighted, _NO_LOG)),
        }
        _add_loop(document.add_new_block("guinier"), "_rln", guinier)
    others = {"FscSphericalMask": result.half_maps.spherical, "HalfBit": result.half_maps.half_bit}
    if result.assessment is not None:
        others["CrossFscFinalMap"] = result.assessment.cross.full
        others["FscBackProjectionsCorrected"] = result.assessment.backprojections.corrected
    named = {name: _numbers(curve) for name, curve in others.items()}
    _add_loop(document.add_new_block("gemmap"), "_gemmap", {"SpectralIndex": columns["SpectralIndex"], **named})
    with atomic_path(path) as temporary:
        temporary.write_text(document.as_string(), encoding="utf-8")


def _add_general(block: "cif.Block", result: Postprocess, box_px: int, pixel_size_a: float) -> None:
    """Fill a block at once: one that another is added after must not be touched again, because it may have moved."""
    of_half_maps, sharpened = result.half_maps.resolutions["masked"], result.sharpened
    randomised_from = result.half_maps.fsc.randomised_from
    pairs = {"FinalResolution": of_half_maps.value_a}
    if randomised_from is not None:
        pairs["RandomiseFrom"] = box_px * pixel_size_a / randomised_from
    if sharpened is not None:
        pairs["BfactorUsedForSharpening"] = sharpened.bfactor_a2
        if sharpened.guinier is not None:
            fit = sharpened.guinier
            pairs["FittedSlopeGuinierPlot"] = fit.slope
            pairs["FittedInterceptGuinierPlot"] = fit.intercept
            pairs["CorrelationFitGuinierPlot"] = fit.correlation**2
    for name, value in pairs.items():
        block.set_pair(f"_rln{name}", f"{value:.6f}")


def _numbers(values: "Curve | list[float]") -> list[str]:
    return [f"{float(value):.6f}" for value in values]


def _add_loop(block: "cif.Block", prefix: str, columns: Mapping[str, list[str]]) -> None:
    loop = block.init_loop(prefix, list(columns))
    for row in zip(*columns.values(), strict=True):
        loop.add_row(list(row))


def write_local_resolution_script(
    path: Path, map_name: str, resolutions_name: str, low_a: float, high_a: float
) -> None:
    """Write a ChimeraX command file that colours a map by its local resolution.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = (
        f'open "{map_name}"\nopen "{resolutions_name}"\nvolume #2 hide\n'
        f"color sample #1 map #2 palette rainbow range {low_a:.2f},{high_a:.2f}\n"
        f"key rainbow :{low_a:.1f} :{high_a:.1f}\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
