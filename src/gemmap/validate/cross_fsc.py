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
from functools import lru_cache

import numpy as np

from gemmap._types import Bool, Curve, Float, Volume
from gemmap.validate.cross_sums import BACK1, BACK2, BACKS, CROSS, FIT1, FIT2, FITS, CrossSums
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD

#: Reach, in shells on both sides of shell s as a fraction of s, over which are averaged: the half-map FSC, the
#: agreement of the back-projections, and the factor between them.
HALF_MAP_REACH, AGREEMENT_REACH, FACTOR_REACH = 1 / 12, 1 / 6, 1 / 5
#: The same for the finished curves: where one is a plateau at 0.5, the first shell that noise carries below it would
#: always be too early.
CURVE_REACH = 1 / 10
#: Agreement of the back-projections below which nothing is known: in standard errors of the agreement if there were
#: none, and at least. From 2 standard errors on the estimate is too high by 2.5 % at most (docs/decisions.md).
SIGNIFICANCE, LEAST_AGREEMENT = 2.0, 0.005


@dataclass(frozen=True, eq=False)
class CrossFsc:
    """Estimated FSC of our maps with the unknown truth, shells 0 .. N//2, or curves of many draws, (draws, shells).

    Attributes
    ----------
    half, full
        Of one half map, and of the final map; 0 where not reliable.
    reliable
        False from the first shell in which the two back-projections agree so little that the estimate is noise.
    claimed
        What the half-maps alone say of the final map, sqrt(2 FSC / (1 + FSC)): not less than the truth on average.
    """

    half: Curve
    full: Curve
    reliable: Bool[np.ndarray, " shells"]
    claimed: Curve

    @property
    def half_map_threshold(self) -> Curve:
        """Half-map FSC at which the map of all particles correlates 0.5 with the truth, by shell.

        0.143 where the half-maps claim no more than is true, and more where they do: with full = f claimed it is
        1 / (8 f^2 - 1). Where f is not known, that of the last shell in which it is.
        """
        last = np.flatnonzero(self.reliable)[-1]
        known = np.where(self.reliable, np.arange(len(self.full)), last)
        factor = np.divide(self.full, self.claimed, out=np.ones_like(self.full), where=self.claimed > 0)[known]
        excess = 2.0 * (factor / TRUTH_THRESHOLD) ** 2 - 1.0
        threshold: Curve = np.clip(1.0 / np.maximum(excess, 1.0), HALF_MAP_THRESHOLD, 1.0)
        return threshold


def cross_fsc(half1: Volume, half2: Volume, backprojection1: Volume, backprojection2: Volume, mask: Volume) -> CrossFsc:
    """Estimate FSC(map, truth) within a soft mask, from both pairs (G1, BP2) and (G2, BP1)."""
    sums = CrossSums.measure(half1, half2, backprojection1, backprojection2, mask)
    return estimate(sums.total, sums.points)


def estimate(
    totals: Float[np.ndarray, "*draws 7 shells"], points: Curve, reliable: Bool[np.ndarray, " shells"] | None = None
) -> CrossFsc:
    """Estimate FSC(map, truth) from sums over shells.

    Parameters
    ----------
    totals
        Of the products of :mod:`gemmap.validate.cross_sums`; of one set of directions or of many.
    points
        Independent complex values in each shell.
    reliable
        Decided before; by default from ``totals``.
    """
    n = totals.shape[-1]
    over_half_maps, over_agreement, over_factor = (
        _average(n, reach, 2) for reach in (HALF_MAP_REACH, AGREEMENT_REACH, FACTOR_REACH)
    )
    fitted = np.sqrt(totals[..., FIT1, :] * totals[..., FIT2, :])
    noisy = np.sqrt(totals[..., BACK1, :] * totals[..., BACK2, :])
    between = np.clip(_ratio(totals[..., FITS, :], fitted) @ over_half_maps, 0.0, 1.0)
    agreement = _ratio(totals[..., BACKS, :], noisy) @ over_agreement
    cross = _ratio(totals[..., CROSS, :], np.sqrt(fitted * noisy))
    # Were FSC(G1, G2) honest, cross would be this; least squares give the factor between them.
    honest = np.sqrt(between * np.maximum(agreement, 0.0))
    factor = _ratio((cross * honest) @ over_factor, honest**2 @ over_factor)
    if reliable is None:
        error = np.sqrt((0.5 / points) @ over_agreement**2)
        below = agreement < np.maximum(SIGNIFICANCE * error * (1.0 - agreement**2), LEAST_AGREEMENT)
        below[..., 0] = False
        reliable = np.cumsum(below, axis=-1) == 0
    half = np.clip(factor * np.sqrt(between), -1.0, 1.0)
    full = np.clip(half * np.sqrt(2.0 / (1.0 + between)), -1.0, 1.0)
    over_curve = _average(n, CURVE_REACH, 0)
    half, full = (np.where(reliable, curve @ over_curve, 0.0) for curve in (half, full))
    return CrossFsc(half, full, reliable, np.sqrt(2.0 * between / (1.0 + between)))


def _ratio(numerator: Float[np.ndarray, "..."], denominator: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))


@lru_cache(maxsize=8)
def _average(n: int, reach: float, power: int) -> Float[np.ndarray, "shells shells"]:
    """Matrix that averages curves over the shells (1 - reach) s to (1 + reach) s, fewer where the curve ends.

    Correlations count by the number of coefficients they are made of (``power`` 2), finished curves alike (0).
    """
    shell = np.arange(n)
    half_width = np.minimum((shell * reach).astype(int), n - 1 - shell)
    inside = np.abs(shell[:, None] - shell) <= half_width
    weight = inside * (np.maximum(shell, 1.0) ** power)[:, None]
    matrix: Float[np.ndarray, "shells shells"] = weight / weight.sum(axis=0)
    matrix.setflags(write=False)
    return matrix
