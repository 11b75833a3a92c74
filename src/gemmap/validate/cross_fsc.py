"""The honest resolution: a fit compared with the back-projection of the *other* half.

The noise of half 2's back-projection BP2 is independent of everything that was fitted to half 1, and BP2 is unbiased.
With T the truth, <G1, BP2> = <G1, T> and <BP1, BP2> = <T, T> in expectation, shell by shell, so

    r = FSC(G1, BP2) / sqrt(FSC(BP1, BP2))

estimates FSC(G1, T) whatever prior, start or regulariser the two fits share; the half-map FSC(G1, G2) does not. The
mean of two such halves, or one fit to all particles, then has FSC(G, T) = r sqrt(2 / (1 + FSC(G1, G2))).
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.validate.fsc import check_same_box, masked_transform, shell_cross, shell_power

#: Shell s is averaged with s / SMOOTHING shells on both sides; and the agreement of the back-projections below which
#: the ratio is noise.
SMOOTHING = 6
LEAST_AGREEMENT = 0.01


@dataclass(frozen=True, eq=False)
class CrossFsc:
    """Estimated FSC of our maps with the unknown truth, shells 0 .. N//2: of one half map, and of the final map.

    ``reliable`` is False from the first shell in which the two back-projections agree so little that the estimate is
    noise; the curves are 0 from there on.
    """

    half: Curve
    full: Curve
    reliable: np.ndarray


def cross_fsc(half1: Volume, half2: Volume, backprojection1: Volume, backprojection2: Volume, mask: Volume) -> CrossFsc:
    """Estimate FSC(map, truth) within a soft mask, from both pairs (G1, BP2) and (G2, BP1).

    Powers and cross terms are averaged over neighbouring shells before dividing, since the estimate of the signal
    power, <BP1, BP2>, is a small difference where the data end.
    """
    check_same_box(half1, half2, mask)
    check_same_box(backprojection1, backprojection2, mask)
    g1, g2, b1, b2 = (masked_transform(v, mask) for v in (half1, half2, backprojection1, backprojection2))
    signal = _smooth(shell_cross(b1, b2))
    noisy = np.sqrt(_smooth(shell_power(b1)) * _smooth(shell_power(b2)))
    cross = _smooth(0.5 * (shell_cross(g1, b2) + shell_cross(g2, b1)))
    fitted = np.sqrt(_smooth(shell_power(g1)) * _smooth(shell_power(g2)))
    agreement = np.divide(signal, noisy, out=np.zeros_like(signal), where=noisy > 0)
    below = agreement < LEAST_AGREEMENT
    below[0] = False
    reliable = np.cumsum(below) == 0
    scale = np.sqrt(np.maximum(signal, 0.0) * fitted)
    half = np.divide(cross, scale, out=np.zeros_like(cross), where=reliable & (scale > 0))
    between = np.divide(_smooth(shell_cross(g1, g2)), fitted, out=np.zeros_like(cross), where=fitted > 0)
    half = np.clip(half, -1.0, 1.0)
    full = np.clip(half * np.sqrt(2.0 / (1.0 + np.clip(between, 0.0, 1.0))), -1.0, 1.0)
    return CrossFsc(half, full, reliable)


def _smooth(curve: Curve) -> Curve:
    """Mean over neighbouring shells: as many as change resolution by the same factor everywhere."""
    n = len(curve)
    reach = np.minimum(np.arange(n) // SMOOTHING, n - 1 - np.arange(n))
    running = np.concatenate([[0.0], np.cumsum(curve)])
    low, high = np.arange(n) - reach, np.minimum(np.arange(n) + reach, n - 1)
    return np.asarray((running[high + 1] - running[low]) / (high + 1 - low))
