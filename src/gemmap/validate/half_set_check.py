"""Whether half-maps were made of the half-sets that they are compared with."""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Volume
from gemmap.validate.fsc import fsc_of_transforms, masked_transform
from gemmap.validate.uncertainty import independent_points

#: Shells count as signal while the two back-projections agree this well; so many at least are looked at.
_SIGNAL_FSC, _LEAST_SHELLS = 0.5, 3


@dataclass(frozen=True)
class HalfSetMatch:
    """How half-maps go with the back-projections of two half-sets.

    Attributes
    ----------
    correlation
        Mean FSC, where the back-projections agree, of each half-map with the *other* half-set; negative if the contrast
        of one of them is inverted.
    shared_noise
        By how many standard errors a half-map correlates more with its own half-set than with the other: large if it
        was made of it, about zero if the maps were made of another split, negative if the two are exchanged.
    """

    correlation: float
    shared_noise: float


def match_half_sets(
    half_maps: tuple[Volume, Volume], backprojections: tuple[Volume, Volume], mask: Volume, workers: int = 1
) -> HalfSetMatch:
    """Compare each half-map with the back-projection of its own half-set and of the other, all in one mask."""
    g1, g2, b1, b2 = (masked_transform(volume, mask, workers) for volume in (*half_maps, *backprojections))
    own = fsc_of_transforms(g1, b1) + fsc_of_transforms(g2, b2)
    other = fsc_of_transforms(g1, b2) + fsc_of_transforms(g2, b1)
    n_shells = len(own)
    below = np.flatnonzero(fsc_of_transforms(b1, b2)[1:] < _SIGNAL_FSC)
    end = min(max(int(below[0]) if len(below) else n_shells, _LEAST_SHELLS) + 1, n_shells)
    # Of n pairs of complex values, a correlation of about 0 has the variance 1 / (2 n): four of them here.
    points = independent_points(mask, len(mask))[1:]
    excess = float((points * (own - other)[1:]).sum() / np.sqrt((2.0 * points).sum()))
    return HalfSetMatch(float(other[1:end].mean() / 2.0), excess)
