"""Whether two maps can be the half-maps of one particle: both hold something, not the same, of one contrast."""

import math

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.validate.fsc import check_same_box

#: Narrower boxes have no shells to speak of.
LEAST_BOX_PX = 8
#: Maps that are alike but for scale and offset correlate as 1 to rounding; noise of their own makes that impossible.
_COPY_CORRELATION = 1.0 - 1e-6
#: Copies filtered by radius have an FSC of nearly 1 in every shell.
_COPY_FSC = 0.9995
#: Half-maps of one contrast never correlate like this; those of noise alone come to a tenth at most.
_OPPOSITE_CORRELATION = -0.2
#: The same for noisy maps, of which the first shells still show the particle: their mean FSC, and how many there are.
_OPPOSITE_FSC, _FIRST_SHELLS = -0.3, 8


def check_pair(half1: Volume, half2: Volume) -> None:
    """Refuse maps that are no two half-maps.

    Raises
    ------
    InputError
        If they are not finite cubes of one size of 8 voxels or more, if one is constant, if one is a copy of the other
        but for scale and offset, or if their contrasts are opposite.
    """
    check_same_box(half1, half2)
    if len(half1) < LEAST_BOX_PX:
        raise InputError(f"The maps are {len(half1)} px wide; expected {LEAST_BOX_PX} or more, with shells to compare.")
    if np.array_equal(half1, half2) and half1.min() < half1.max():
        raise InputError("The half-maps are identical, so their FSC is 1 everywhere: give the maps of two half-sets.")
    for number, half in ((1, half1), (2, half2)):
        if not half.min() < half.max():
            raise InputError(
                f"Half-map {number} is {float(half.flat[0]):g} everywhere; expected a map with density: check its run."
            )
    found = _correlation(half1, half2)
    if found > _COPY_CORRELATION:
        raise InputError(
            "The half-maps differ in scale or offset only, so they are the same data and their FSC is 1 everywhere: "
            "give the maps of two half-sets."
        )
    if found < _OPPOSITE_CORRELATION:
        raise _opposite(f"correlation {found:.2f}")


def check_curve(unmasked: Curve) -> None:
    """Refuse what only the FSC (of shells 0 .. N//2, without a mask) shows of two maps.

    Raises
    ------
    InputError
        If one is a filtered copy of the other, or if their contrasts are opposite.
    """
    shells = unmasked[1:]
    held = shells[shells != 0.0]  # shells without power have 0
    if len(held) and held.min() > _COPY_FSC:
        raise InputError(
            f"The FSC of the half-maps is {held.min():.5f} or more in every shell, so they are the same data, scaled "
            "or filtered: give the maps of two half-sets."
        )
    first = shells[:_FIRST_SHELLS]
    if first.mean() < _OPPOSITE_FSC:
        raise _opposite(f"mean FSC {first.mean():.2f} in shells 1 to {len(first)}")


def _opposite(measure: str) -> InputError:
    return InputError(f"The half-maps have opposite contrast ({measure}): multiply one of them by -1.")


def _correlation(half1: Volume, half2: Volume) -> float:
    """Pearson's correlation; sums in float64, plane by plane, of values scaled to 1."""
    largest1, largest2 = (max(abs(float(half.min())), abs(float(half.max()))) for half in (half1, half2))
    mean1, mean2 = (float(half.mean(dtype=np.float64)) for half in (half1, half2))
    cross = power1 = power2 = 0.0
    for plane1, plane2 in zip(half1, half2, strict=True):
        a, b = (plane1.astype(np.float64) - mean1) / largest1, (plane2.astype(np.float64) - mean2) / largest2
        cross, power1, power2 = cross + (a * b).sum(), power1 + (a * a).sum(), power2 + (b * b).sum()
    return float(cross / math.sqrt(power1 * power2))
