"""Aberrations and anisotropic magnification in cryoSPARC's fields, and the convention by which they are modelled.

CryoSPARC documents neither sign nor factor. The convention here is that of an open program (specter) that compared its
own images with cryoSPARC's simulator, and agrees with pyem's conversion of beam tilt; docs/conventions.md has it and
says what is not known. With lambda the wavelength and t the angle from +x towards +y, as for the defocus,

- an image's transform is multiplied by exp(i phase),
  phase = -2 pi (shift . k) - 2 pi lambda^2 k^3 (tilt_x cos t + tilt_y sin t)
  - (2 pi / 3) lambda^2 k^3 (trefoil_x cos 3t + trefoil_y sin 3t);
- gamma of the CTF has 2 pi lambda^3 k^4 (tetra_1 cos 2t + tetra_2 sin 2t) + (pi / 2) lambda^3 k^4 (tetra_3 cos 4t
  + tetra_4 sin 4t) added;
- the magnification matrix is M = I + anisomag, rows first, with RELION's meaning.
"""

import math
from dataclasses import dataclass

import numpy as np

from gemmap._types import Float
from gemmap.errors import FormatError, InputError
from gemmap.io.choices import CsAberrations
from gemmap.io.cs_fields import CsFields
from gemmap.physics.aberration_terms import even_terms, odd_terms
from gemmap.physics.zernike import even_from_quartic, odd_from_cubic
from gemmap.units import electron_wavelength_a

_WIDTHS = {"ctf/shift_A": 2, "ctf/tilt_A": 2, "ctf/trefoil_A": 2, "ctf/tetra_A": 4, "ctf/anisomag": 4}
_IDENTITY = np.array([1.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class CsAberrationValues:
    """Aberrations of n particles as cryoSPARC writes them: lengths in Å, the matrix without the identity."""

    shift: Float[np.ndarray, "n 2"]
    tilt: Float[np.ndarray, "n 2"]
    trefoil: Float[np.ndarray, "n 2"]
    tetra: Float[np.ndarray, "n 4"]
    anisomag: Float[np.ndarray, "n 4"]

    @property
    def columns(self) -> list[np.ndarray]:
        """Every number as a column, for grouping; not the shift, which is the particle's."""
        return [column for values in (self.tilt, self.trefoil, self.tetra, self.anisomag) for column in values.T]

    def odd_zernike(self, row: int, voltage_kv: float) -> tuple[float, ...]:
        """Antisymmetric coefficients of one particle; empty for none."""
        values = (*self.tilt[row], *self.trefoil[row])
        if not any(values):
            return ()
        tilt = -2.0 * math.pi * electron_wavelength_a(voltage_kv) ** 2
        factors = (tilt, tilt, tilt / 3.0, tilt / 3.0)
        return odd_from_cubic(*(float(f * v) for f, v in zip(factors, values, strict=True)))

    def even_zernike(self, row: int, voltage_kv: float) -> tuple[float, ...]:
        """Symmetric coefficients of one particle; empty for none."""
        if not self.tetra[row].any():
            return ()
        cubed = electron_wavelength_a(voltage_kv) ** 3
        factors = np.array([2.0, 2.0, 0.5, 0.5]) * math.pi * cubed
        return even_from_quartic([float(value) for value in factors * self.tetra[row]])

    def magnification(self, row: int) -> tuple[float, float, float, float]:
        """M of one particle."""
        m00, m01, m10, m11 = (float(value) for value in self.anisomag[row] + _IDENTITY)
        return m00, m01, m10, m11


def read_aberrations(fields: CsFields, choice: CsAberrations, notes: list[str]) -> CsAberrationValues:
    """Read the fields of this module; zeros where there are none, or where they are ignored.

    Raises
    ------
    InputError
        If a field has a value other than 0 and the choice is to refuse it.
    FormatError
        If a field has not the width that cryoSPARC gives it, or a value that is not a number.
    """
    values = {name: _read(fields, name, width) for name, width in _WIDTHS.items()}
    found = [name for name, value in values.items() if value.any()]
    if found and choice == "refuse":
        raise InputError(
            f"{fields.source} has aberrations or anisotropic magnification ({', '.join(found)}), whose sign and factor "
            "cryoSPARC does not document: give --cs-aberrations model to use them by the convention in the manual "
            "(conventions, cryoSPARC), or --cs-aberrations ignore to leave them out."
        )
    if found and choice == "ignore":
        notes.append(f"Left out as asked: {', '.join(found)}.")
        values = {name: np.zeros_like(value) for name, value in values.items()}
    elif found:
        notes.append(f"Modelled as asked, by a convention that cryoSPARC does not document: {', '.join(found)}.")
    if not (np.linalg.det(values["ctf/anisomag"].reshape(-1, 2, 2) + np.eye(2)) > 0.5).all():
        raise FormatError(f"{fields.source}: ctf/anisomag is not a small change of the identity for every particle.")
    return CsAberrationValues(*values.values())


def _read(fields: CsFields, name: str, width: int) -> Float[np.ndarray, "n w"]:
    if name not in fields:
        return np.zeros((fields.n, width))
    values = fields.floats(name)
    if values.shape != (fields.n, width) or not np.isfinite(values).all():
        raise FormatError(f"{fields.source}: {name} has shape {values.shape}; expected {width} numbers for a particle.")
    return values


def cs_values(
    odd: tuple[float, ...], even: tuple[float, ...], magnification: tuple[float, float, float, float], voltage_kv: float
) -> dict[str, Float[np.ndarray, " w"]]:
    """Fields of one optics group by the convention of this module.

    Linear antisymmetric terms and symmetric terms other than ``tetra`` are not in these fields; shifts and CTF
    parameters take them (``physics.aberration_terms``).
    """
    wavelength = electron_wavelength_a(voltage_kv)
    terms = odd_terms(odd)
    tilt = -2.0 * math.pi * wavelength**2
    return {
        "ctf/tilt_A": np.array(terms.tilt) / tilt,
        "ctf/trefoil_A": np.array(terms.trefoil) / (tilt / 3.0),
        "ctf/tetra_A": np.array(even_terms(even).tetra) / (np.array([2.0, 2.0, 0.5, 0.5]) * math.pi * wavelength**3),
        "ctf/anisomag": np.array(magnification) - _IDENTITY,
    }
