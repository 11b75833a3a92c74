"""Verdicts on defocus, microscope and pixel size that need numbers only."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gemmap._types import PerParticle
from gemmap.checks.facts import aberrations
from gemmap.checks.verdict import Verdict, counted, first_of
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import CtfParameters

#: Defoci of this size (Å) are recorded; smaller than the first they are in another unit, if not in focus.
ANOTHER_UNIT_A, SMALLEST_A, LARGEST_A = 100.0, 1_000.0, 60_000.0
#: Distance from the median, in quartile ranges, of a defocus that is an outlier.
OUTLIER_RANGES = 5.0
#: Astigmatism over defocus that a CTF fit seldom means.
LARGE_ASTIGMATISM = 0.25
USUAL_KV, LARGEST_CS_MM, LARGEST_Q0 = (80.0, 400.0), 10.0, 0.3
#: Relative difference of pixel sizes from which they are not the same.
PIXEL_TOLERANCE = 1e-3


def optics_verdicts(table: ParticleTable) -> list[Verdict]:
    """Judge the CTF parameters of a table, and name what is unusual."""
    if table.ctf is None:
        return [Verdict("defocus", "unknown", "Images are said to carry no CTF.")]
    return [defocus(table.ctf), microscope(table.ctf), envelope(table.ctf, table), aberration_note(table)]


def defocus(ctf: CtfParameters) -> Verdict:
    """Unit, sign and outliers of the defocus, and its astigmatism."""
    mean = 0.5 * (ctf.defocus_u_a + ctf.defocus_v_a)
    measured = {"median_a": float(np.median(mean)), "smallest_a": float(mean.min()), "largest_a": float(mean.max())}
    wrong = _wrong_unit(mean) or _wrong_values(mean, np.abs(ctf.defocus_u_a - ctf.defocus_v_a))
    if wrong is not None:
        return replace(wrong, measured=measured)
    return Verdict("defocus", "ok", f"{mean.min():,.0f} to {mean.max():,.0f} Å, underfocus.", measured)


def _wrong_unit(mean: PerParticle) -> Verdict | None:
    middle = float(np.median(np.abs(mean)))
    if 0.0 < middle < ANOTHER_UNIT_A:
        text = (
            f"Half of the defoci are below {ANOTHER_UNIT_A:g} Å (median {middle:.3g}): they seem to be in micrometres; "
            "give them in Å."
        )
        return Verdict("defocus", "error", text)
    if middle < SMALLEST_A:
        text = f"The median defocus is {middle:.4g} Å, unusually small: give it in Å if it is in another unit."
        return Verdict("defocus", "warning", text)
    return None


def _wrong_values(mean: PerParticle, difference: PerParticle) -> Verdict | None:
    middle = float(np.median(mean))
    negative = np.flatnonzero(mean < 0)
    if len(negative):
        text = (
            f"{counted(len(negative), len(mean))} have a negative defocus ({first_of(negative)}): positive is "
            "underfocus, as images are recorded; change the sign unless these are overfocused."
        )
        return Verdict("defocus", "warning", text)
    quartiles = np.percentile(mean, [25, 75])
    far = np.abs(mean - middle) > OUTLIER_RANGES * max(quartiles[1] - quartiles[0], 0.1 * middle)
    odd = np.flatnonzero(far | (mean > LARGEST_A) | (mean < ANOTHER_UNIT_A))
    if len(odd):
        text = (
            f"{counted(len(odd), len(mean))} have a defocus far from the others' ({first_of(odd)}, with "
            f"{mean[odd[0]]:,.0f} Å; the median is {middle:,.0f} Å): look at the CTF fits of their micrographs."
        )
        return Verdict("defocus", "warning", text)
    astigmatic = np.flatnonzero(difference > LARGE_ASTIGMATISM * mean)
    if len(astigmatic):
        text = (
            f"{counted(len(astigmatic), len(mean))} have an astigmatism above {LARGE_ASTIGMATISM:.0%} of the defocus "
            f"({first_of(astigmatic)}): look at the CTF fits of their micrographs."
        )
        return Verdict("defocus", "warning", text)
    return None


def microscope(ctf: CtfParameters) -> Verdict:
    """Voltage, spherical aberration and amplitude contrast, and their units."""
    kv, cs, q0 = (np.unique(values) for values in (ctf.voltage_kv, ctf.cs_mm, ctf.amplitude_contrast))
    said = f"{_listed(kv)} kV, Cs {_listed(cs)} mm, amplitude contrast {_listed(q0)}"
    measured = {"voltage_kv": kv.tolist()[:20], "cs_mm": cs.tolist()[:20], "amplitude_contrast": q0.tolist()[:20]}
    if cs.max() > LARGEST_CS_MM or cs.min() < 0:
        text = f"{said}: a Cs of {cs[np.abs(cs).argmax()]:g} mm is no lens's; give it in mm (2.7, not 2700 or 2.7e7)."
        return Verdict("microscope", "error", text, measured)
    if q0.min() < 0:
        return Verdict("microscope", "error", f"{said}: the amplitude contrast must be positive.", measured)
    doubts = []
    if kv.min() < USUAL_KV[0] or kv.max() > USUAL_KV[1]:
        doubts.append("the voltage is unusual (100, 200 and 300 kV are common)")
    if q0.max() > LARGEST_Q0:
        doubts.append("the amplitude contrast is unusually high (0.07 to 0.1 are common; it is a fraction)")
    if q0.max() == 0:
        doubts.append("an amplitude contrast of 0 is unusual (0.07 to 0.1 are common)")
    if doubts:
        return Verdict("microscope", "warning", f"{said}: {' and '.join(doubts)}; check these columns.", measured)
    return Verdict("microscope", "ok", f"{said}.", measured)


def envelope(ctf: CtfParameters, table: ParticleTable) -> Verdict:
    """Sign of the B-factor, and of the scales."""
    scale = ctf.scale * table.scale
    measured = {"bfactor_a2": [float(ctf.bfactor_a2.min()), float(ctf.bfactor_a2.max())],
                "scale": [float(scale.min()), float(scale.max())]}  # fmt: skip
    negative = np.flatnonzero(ctf.bfactor_a2 < 0)
    if len(negative):
        text = (
            f"{counted(len(negative), len(ctf))} have a negative B-factor ({first_of(negative)}): exp(-B k²/4) then "
            "amplifies high frequencies, as in RELION; tilt-series programs mean damping by it: "
            "give --bfactor-sign damping if so."
        )
        return Verdict("envelope", "warning", text, measured)
    if scale.min() <= 0:
        wrong = np.flatnonzero(scale <= 0)
        text = f"{counted(len(wrong), len(ctf))} have a scale of 0 or less ({first_of(wrong)}): remove them."
        return Verdict("envelope", "warning", text, measured)
    b = ctf.bfactor_a2
    text = f"B-factor {b.min():g} to {b.max():g} Å², scale {scale.min():.3g} to {scale.max():.3g}."
    return Verdict("envelope", "ok", text, measured)


def aberration_note(table: ParticleTable) -> Verdict:
    """Name the aberrations of every optics group."""
    having = {group.name: aberrations(group) for group in table.optics}
    named = [f"{name}: {', '.join(found)}" for name, found in having.items() if found]
    text = "; ".join(named) if named else "None but defocus, astigmatism and Cs"
    return Verdict("aberrations", "ok", f"{text}.", {"by_optics_group": having})


def pixel_sizes(table: ParticleTable, header_sizes_a: Sequence[float]) -> Verdict:
    """Pixel size of the metadata against that in the headers of the stacks."""
    used = sorted({group.pixel_size_a for group in table.optics})
    said = sorted(set(header_sizes_a))
    measured = {"metadata_a": used, "headers_a": said}
    # Many programs write 0 or 1 when they do not know.
    meant = [size for size in said if size not in (0.0, 1.0)]
    texts = [", ".join(f"{size:.4g}" for size in sizes[:5]) for sizes in (used, meant)]
    if not meant:
        return Verdict("pixel size", "ok", f"{texts[0]} Å; the stacks' headers do not say.", measured)
    if any(min(abs(size / other - 1.0) for other in used) > PIXEL_TOLERANCE for size in meant):
        text = (
            f"The metadata say {texts[0]} Å per pixel, headers of the stacks {texts[1]} Å; the metadata are used: give "
            "--pixel-size if they are wrong."
        )
        return Verdict("pixel size", "warning", text, measured)
    return Verdict("pixel size", "ok", f"{texts[0]} Å, as in the headers.", measured)


def _listed(values: np.ndarray) -> str:
    few = ", ".join(f"{value:g}" for value in values[:3])
    return few if len(values) <= 3 else f"{values[0]:g} to {values[-1]:g}"
