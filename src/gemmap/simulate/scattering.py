r"""Electron scattering of atoms as a few shared form factors.

An atom scatters as f(k) = sum_g a_g exp(-(b_g + B) k^2 / 4), k in 1/Å, with the five Gaussians of the International
Tables for Crystallography, vol. C, table 4.3.2.2 (gemmi's ``c4322``). In a molecule nearly every atom has a B-factor
of its own, yet the f(k) of all atoms span, within the box's resolution and to some 1e-4, a space of four to eight
functions. A pivoted QR picks that many atoms whose f(k) are the basis, so that the basis stays a closed form; every
atom gets its coefficients.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from gemmap._types import Float
from gemmap.simulate.structure import Atoms

#: Largest error of an atom's form factor, relative to the strongest atom's at the same frequency.
TOLERANCE = 3e-4


@dataclass(frozen=True, eq=False)
class GaussianPoints:
    """Points that scatter with shared form factors: the density is sum_i sum_r weights[i, r] f_r(x - positions[i]).

    Attributes
    ----------
    positions_a
        (n, 3), xyz in Å from the map's origin.
    weights
        (n, r).
    amplitudes, widths_a2
        (r, g), with f_r(k) = sum_g amplitudes[r, g] exp(-widths_a2[r, g] k^2 / 4), k in 1/Å.
    """

    positions_a: Float[np.ndarray, "n 3"]
    weights: Float[np.ndarray, "n r"]
    amplitudes: Float[np.ndarray, "r g"]
    widths_a2: Float[np.ndarray, "r g"]

    def form_factors(self, k2: Float[np.ndarray, "..."]) -> Float[np.ndarray, "r ..."]:
        """f_r at squared frequencies in 1/Å^2."""
        return np.stack(
            [
                sum((a * np.exp(-0.25 * b * k2) for a, b in zip(amps, widths, strict=True)), np.zeros_like(k2))
                for amps, widths in zip(self.amplitudes, self.widths_a2, strict=True)
            ]
        )

    @property
    def mass(self) -> float:
        """Integral of the density."""
        return float(self.weights.sum(axis=0) @ self.amplitudes.sum(axis=1))


def scattering_coefficients(atoms: Atoms) -> tuple[Float[np.ndarray, "n 5"], Float[np.ndarray, "n 5"]]:
    """Amplitudes a_g in Å and widths b_g + B in Å^2 of every atom, occupancy not included."""
    import gemmi

    elements, which = np.unique(atoms.atomic_number, return_inverse=True)
    coefficients = [gemmi.Element(int(z)).c4322 for z in elements]
    a = np.array([c.a for c in coefficients], np.float64)[which]
    b = np.array([c.b for c in coefficients], np.float64)[which]
    return a, b + atoms.bfactor_a2[:, None]


def atom_points(atoms: Atoms, pixel_size_a: float, blur_a2: float = 0.0) -> GaussianPoints:
    """Atoms as points with shared form factors, exact to ``TOLERANCE`` up to the corner of the Fourier box.

    Parameters
    ----------
    atoms
        The molecule.
    pixel_size_a
        Sets the highest frequency, sqrt(3) / (2 pixel).
    blur_a2
        Added to every B-factor.
    """
    a, b = scattering_coefficients(atoms)
    # Atoms of one element and B-factor share a column: round B far below what the tolerance sees.
    kinds = np.stack([atoms.atomic_number, np.rint(atoms.bfactor_a2 * 100.0)], axis=1)
    _, first, kind_of = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    k2 = np.linspace(0.0, np.sqrt(0.75) / pixel_size_a, 96) ** 2
    curves = sum(a[first, g] * np.exp(-0.25 * k2[:, None] * b[first, g]) for g in range(a.shape[1]))
    curves = curves / curves.max(axis=1, keepdims=True)
    basis, coefficients = _skeleton(curves)
    weights = (coefficients.T)[kind_of.ravel()] * atoms.occupancy[:, None]
    return GaussianPoints(atoms.positions_a, weights, a[first[basis]], b[first[basis]] + blur_a2)


def _skeleton(curves: Float[np.ndarray, "k c"]) -> tuple[np.ndarray, Float[np.ndarray, "r c"]]:
    """Fewest columns that give all columns within ``TOLERANCE``: their indices, and every column's coefficients."""
    r, order = scipy.linalg.qr(curves, mode="r", pivoting=True)
    coefficients = np.zeros((0, 0))
    for rank in range(1, min(curves.shape) + 1):
        coefficients = np.empty((rank, curves.shape[1]))
        coefficients[:, order] = scipy.linalg.solve_triangular(r[:rank, :rank], r[:rank])
        if np.abs(curves[:, order[:rank]] @ coefficients - curves).max() <= TOLERANCE:
            break
    return order[: len(coefficients)], coefficients
