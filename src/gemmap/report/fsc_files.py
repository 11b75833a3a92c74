"""FSC curves in the files of other programs: RELION's postprocess STAR and EMDB's XML."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

from gemmap._types import Curve
from gemmap.io.atomic import atomic_path
from gemmap.validate.postprocess import Postprocess

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

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from gemmi import cif

    document = cif.Document()
    general = document.add_new_block("general")
    general.set_pair("_rlnFinalResolution", f"{result.resolution.value_a:.6f}")
    if result.fsc.randomised_from is not None:
        general.set_pair("_rlnRandomiseFrom", f"{box_px * pixel_size_a / result.fsc.randomised_from:.6f}")
    sharpened = result.sharpened
    if sharpened is not None:
        general.set_pair("_rlnBfactorUsedForSharpening", f"{sharpened.bfactor_a2:.6f}")
    fit = None if sharpened is None else sharpened.guinier
    if fit is not None:
        general.set_pair("_rlnFittedSlopeGuinierPlot", f"{fit.slope:.6f}")
        general.set_pair("_rlnFittedInterceptGuinierPlot", f"{fit.intercept:.6f}")
        general.set_pair("_rlnCorrelationFitGuinierPlot", f"{fit.correlation**2:.6f}")
    # A new block may move those before it: from here on ``general`` points to memory that is no longer its own.
    loop = document.add_new_block("fsc").init_loop(
        "_rln",
        [
            "SpectralIndex",
            "Resolution",
            "AngstromResolution",
            "FourierShellCorrelationCorrected",
            "FourierShellCorrelationUnmaskedMaps",
            "FourierShellCorrelationMaskedMaps",
            "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
        ],
    )
    curves = result.fsc
    for shell in range(box_px // 2 + 1):
        resolution_a = box_px * pixel_size_a / shell if shell else _NO_RESOLUTION_A
        values = (1.0 / resolution_a, resolution_a, curves.corrected[shell], curves.unmasked[shell])
        rest = (curves.masked[shell], curves.phase_randomised[shell])
        loop.add_row([str(shell), *(f"{value:.6f}" for value in (*values, *rest))])
    if fit is not None:
        loop = document.add_new_block("guinier").init_loop(
            "_rln", ["ResolutionSquared", "LogAmplitudesOriginal", "LogAmplitudesWeighted"]
        )
        for row in zip(fit.inverse_d2, fit.log_amplitudes, fit.log_weighted, strict=True):
            loop.add_row([f"{max(float(value), _NO_LOG):.6f}" for value in row])
    with atomic_path(path) as temporary:
        temporary.write_text(document.as_string(), encoding="utf-8")


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
