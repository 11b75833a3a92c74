"""Optics groups of RELION files: aberrations, magnification, and what was done to the images about their CTF."""

import math

import numpy as np

from gemmap._types import Int, PerParticle
from gemmap.errors import FormatError, InputError
from gemmap.io.columns import number_names, number_rows
from gemmap.io.relion_table import RelionTable
from gemmap.particles.optics_group import CtfApplied, OpticsGroup
from gemmap.physics.ctf import CtfParameters
from gemmap.physics.zernike import add_coefficients, odd_from_beam_tilt

BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
ODD_ZERNIKE, EVEN_ZERNIKE = "rlnOddZernike", "rlnEvenZernike"
MAGNIFICATION = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
#: Columns that say what the images went through, and what that is.
CTF_APPLIED: dict[str, CtfApplied] = {
    "rlnCtfDataAreCtfPremultiplied": "multiplied",
    "rlnCtfDataArePhaseFlipped": "phase-flip",
    "rlnCtfDataAreCtfCorrected": "corrected",
}
_NUMBERS = (*BEAM_TILT, *MAGNIFICATION, *CTF_APPLIED, "rlnImageSize")
_IDENTITY = (1.0, 0.0, 0.0, 1.0)


def optics_groups(
    joined: RelionTable, pixel_sizes_a: PerParticle, ctf: CtfParameters | None, notes: list[str]
) -> tuple[tuple[OpticsGroup, ...], Int[np.ndarray, " n"]]:
    """Groups in use, in the order of the optics table, and the group of each particle.

    Particles of one row of the optics table are a group if the columns of this module and their pixel sizes agree;
    without an optics table, voltage and amplitude contrast must agree too. Cs is left out (RELION's converter has it
    in): some programs refine it per particle, which would leave one particle per group.

    Parameters
    ----------
    ctf
        None for images said to carry no CTF: aberrations are then left out, with a note.
    """
    keys: list[np.ndarray] = [joined.optics_row, pixel_sizes_a]
    if joined.optics is None and ctf is not None:
        keys += [ctf.voltage_kv, ctf.amplitude_contrast]
    keys += [joined.floats(label) for label in _NUMBERS if label in joined.particles]
    keys += [number_names(joined.strings(z))[1] for z in (ODD_ZERNIKE, EVEN_ZERNIKE) if z in joined.particles]
    first, group = number_rows(keys)
    columns = _GroupColumns(joined, first, group)
    groups = tuple(
        OpticsGroup(
            name=columns.name(number),
            pixel_size_a=float(pixel_sizes_a[row]),
            box_px=columns.box_px(number),
            odd_zernike=() if ctf is None else columns.odd_zernike(number, ctf),
            even_zernike=() if ctf is None else columns.zernike(number, EVEN_ZERNIKE),
            magnification=columns.magnification(number),
            ctf_applied=columns.ctf_applied(number),
        )
        for number, row in enumerate(first)
    )
    if ctf is None and columns.has_aberrations:
        notes.append("Aberrations are part of the CTF, which the images are said not to carry: they are left out.")
    return groups, group


class _GroupColumns:
    """Values of the groups, each read at the group's first particle."""

    def __init__(self, joined: RelionTable, first: Int[np.ndarray, " g"], group: Int[np.ndarray, " n"]) -> None:
        self._joined = joined
        self._first, self._group = first, group
        self._numbers = {label: joined.floats(label)[first] for label in _NUMBERS if label in joined}
        labels = (ODD_ZERNIKE, EVEN_ZERNIKE, "rlnOpticsGroupName")
        self._texts = {label: joined.strings_of(label, first) for label in labels if label in joined}

    def name(self, number: int) -> str:
        return self._texts.get("rlnOpticsGroupName", {number: f"opticsGroup{number + 1}"})[number]

    def box_px(self, number: int) -> int | None:
        box = self._number("rlnImageSize", number, 0.0)
        if not (math.isfinite(box) and box >= 0 and box == round(box)):
            raise FormatError(f"{self._joined.source}: rlnImageSize is {box:g}; expected a whole number of pixels.")
        return int(box) or None

    @property
    def has_aberrations(self) -> bool:
        """Whether any group has a beam tilt or a Zernike coefficient other than 0."""
        groups = range(len(self._first))
        tilted = any(self._number(label, number, 0.0) for label in BEAM_TILT for number in groups)
        return tilted or any(self.zernike(number, label) for label in (ODD_ZERNIKE, EVEN_ZERNIKE) for number in groups)

    def odd_zernike(self, number: int, ctf: CtfParameters) -> tuple[float, ...]:
        """Odd coefficients with the beam tilt added to them, as RELION does."""
        odd = self.zernike(number, ODD_ZERNIKE)
        tilt_x, tilt_y = (self._number(label, number, 0.0) for label in BEAM_TILT)
        if not (tilt_x or tilt_y):
            return odd
        rows = self._group == number
        cs_mm, voltage_kv = float(ctf.cs_mm[rows].mean()), float(ctf.voltage_kv[rows].mean())
        tilt = odd_from_beam_tilt(tilt_x, tilt_y, self._of_optics("rlnSphericalAberration", rows, cs_mm), voltage_kv)
        return add_coefficients(odd, tilt)

    def zernike(self, number: int, label: str) -> tuple[float, ...]:
        if label not in self._texts:
            return ()
        text = self._texts[label][number]
        try:
            values = tuple(float(entry) for entry in text.strip("[] ").split(",") if entry.strip())
        except ValueError:
            values = (math.nan,)
        if not all(math.isfinite(value) for value in values):
            raise FormatError(
                f"{self._joined.source}: {label} is {text!r}; expected numbers in brackets, such as [0.1,-2,0,0,0,0]."
            )
        return values if any(values) else ()

    def magnification(self, number: int) -> tuple[float, float, float, float]:
        m00, m01, m10, m11 = (
            self._number(label, number, value) for label, value in zip(MAGNIFICATION, _IDENTITY, strict=True)
        )
        if not 0.5 < m00 * m11 - m01 * m10 < 2.0:
            raise FormatError(
                f"{self._joined.source}: the magnification matrix (rlnMagMat00 to 11) is "
                f"[{m00:g}, {m01:g}; {m10:g}, {m11:g}]; expected one close to the identity."
            )
        return m00, m01, m10, m11

    def ctf_applied(self, number: int) -> CtfApplied:
        said = [label for label in CTF_APPLIED if self._number(label, number, 0.0)]
        if len(said) > 1:
            raise FormatError(
                f"{self._joined.source} says both {said[0]} and {said[1]} of the same images; expected one of them."
            )
        return CTF_APPLIED[said[0]] if said else "none"

    def _number(self, label: str, number: int, default: float) -> float:
        if label not in self._numbers:
            return default
        value = float(self._numbers[label][number])
        if not math.isfinite(value):
            raise FormatError(f"{self._joined.source}: {label} is {value}; expected a number.")
        return value

    def _of_optics(self, label: str, rows: np.ndarray, otherwise: float) -> float:
        """Return the value of the optics table, which RELION takes for aberrations, where it has one."""
        optics = self._joined.optics
        if optics is None or label not in optics:
            return otherwise
        return float(optics.floats(label)[self._joined.optics_row[np.flatnonzero(rows)[0]]])


def require_ctf(groups: tuple[OpticsGroup, ...], ctf: CtfParameters | None, source: object) -> None:
    """Raise InputError if images are said to carry no CTF and also to be multiplied by it or phase-flipped."""
    kinds = {group.ctf_applied for group in groups} & {"multiplied", "phase-flip"}
    if ctf is None and kinds:
        raise InputError(
            f"{source} says that the CTF went into its images ({', '.join(sorted(kinds))}), and they are said to carry "
            "none; leave out --no-ctf."
        )
