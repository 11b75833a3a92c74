"""The honest resolution: a fit compared with the back-projection of the *other* half.

The noise of half 2's back-projection BP2 is independent of everything that was fitted to half 1, and BP2 is unbiased.
With T the truth, <G1, BP2> = <G1, T> and <BP1, BP2> = <T, T> in expectation, shell by shell, so

    r = FSC(G1, BP2) / sqrt(FSC(BP1, BP2))

estimates FSC(G1, T) whatever prior, start or regulariser the two fits share; the half-map FSC(G1, G2) does not. The
mean of two such halves, or one fit to all particles, then has FSC(G, T) = r sqrt(2 / (1 + FSC(G1, G2))).

Shell by shell r is noisy, since <BP1, BP2> is a small difference where the data end. FSC(G1, G2) is not, and what it
claims too much, r^2 / FSC(G1, G2), changes slowly with resolution. So that factor alone is taken from the
back-projections, over a wide range of shells, and the detail of the curve from the half-maps (a control variate;
docs/decisions.md has the figures).
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.validate.fsc import check_same_box, masked_transform, shell_cross, shell_power

#: Reach, in shells on both sides of shell s as a fraction of s, over which are averaged: the half-map FSC, the
#: agreement of the back-projections, and the factor between them.
HALF_MAP_REACH, AGREEMENT_REACH, FACTOR_REACH = 1 / 12, 1 / 6, 1 / 5
#: The same for the finished curves: where one is a plateau at 0.5, the first shell that noise carries below it would
#: always be too early.
CURVE_REACH = 1 / 10
#: Agreement of the back-projections below which nothing is known.
LEAST_AGREEMENT = 0.005


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
    """Estimate FSC(map, truth) within a soft mask, from both pairs (G1, BP2) and (G2, BP1)."""
    check_same_box(half1, half2, mask)
    check_same_box(backprojection1, backprojection2, mask)
    g1, g2, b1, b2 = (masked_transform(v, mask) for v in (half1, half2, backprojection1, backprojection2))
    fitted = np.sqrt(shell_power(g1) * shell_power(g2))
    noisy = np.sqrt(shell_power(b1) * shell_power(b2))
    # Correlations count by the number of coefficients they are made of; of the finished curves every shell alike.
    size = np.maximum(np.arange(len(fitted)), 1.0) ** 2
    between = np.clip(_mean(_ratio(shell_cross(g1, g2), fitted), HALF_MAP_REACH, size), 0.0, 1.0)
    agreement = _mean(_ratio(shell_cross(b1, b2), noisy), AGREEMENT_REACH, size)
    cross = _ratio(0.5 * (shell_cross(g1, b2) + shell_cross(g2, b1)), np.sqrt(fitted * noisy))
    # Were FSC(G1, G2) honest, cross would be this; least squares give the factor between them.
    claimed = np.sqrt(between * np.maximum(agreement, 0.0))
    factor = _ratio(_mean(cross * claimed, FACTOR_REACH, size), _mean(claimed**2, FACTOR_REACH, size))
    below = agreement < LEAST_AGREEMENT
    below[0] = False
    reliable = np.cumsum(below) == 0
    half = np.where(reliable, np.clip(factor * np.sqrt(between), -1.0, 1.0), 0.0)
    full = np.clip(half * np.sqrt(2.0 / (1.0 + between)), -1.0, 1.0)
    half, full = (np.where(reliable, _mean(curve, CURVE_REACH, np.ones_like(size)), 0.0) for curve in (half, full))
    return CrossFsc(half, full, reliable)


def _ratio(numerator: Curve, denominator: Curve) -> Curve:
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))


def _mean(curve: Curve, reach: float, weight: Curve) -> Curve:
    """Weighted mean over the shells (1 - reach) s to (1 + reach) s, fewer where the curve ends."""
    n = np.arange(len(curve))
    half_width = np.minimum((n * reach).astype(int), len(curve) - 1 - n)
    totals = [np.concatenate([[0.0], np.cumsum(c)]) for c in (curve * weight, weight)]
    summed, counted = (total[n + half_width + 1] - total[n - half_width] for total in totals)
    return np.asarray(summed / counted)
