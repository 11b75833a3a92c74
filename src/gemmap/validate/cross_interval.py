"""How sure the cross-FSC resolution is: a bootstrap over directions, and what no draw shows.

Noise of the back-projections is independent between distant points of a shell. The sums over cells of direction are
therefore weighted at random (Rubin's Bayesian bootstrap: weights drawn from the exponential distribution), the same for
all shells, since a mask makes neighbours in radius alike too, and the whole estimate is repeated. That gives a band
around the curve. The interval holds every resolution at which the band contains the threshold: on a plateau at 0.5,
all of it.

D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981) 130.
"""

import numpy as np

from gemmap._types import Curve, Float
from gemmap.validate.cross_fsc import CrossFsc, estimate
from gemmap.validate.cross_sums import CrossSums
from gemmap.validate.resolution import TRUTH_THRESHOLD, Interval, resolution_at

_N_DRAWS = 500
_CONFIDENCE, _STANDARD_ERRORS = 0.95, 1.96
#: Standard deviation of what the draws do not show: detail of the true curve that averaging over shells takes away, and
#: what a fit to all particles is better than the mean of both halves. 0.025 to 0.03 in simulations (docs/decisions.md).
DETAIL = 0.03


def band(sums: CrossSums, found: CrossFsc, seed: int = 0) -> tuple[Curve, Curve]:
    """Return the lower and upper curve between which FSC(final map, truth) lies with 95 % in a shell.

    Beyond the reliable shells nothing is known but that the half-maps do not claim too little: 0, and their claim.
    """
    # Of mean 1 and variance 1 for a map without symmetry, which is the exponential distribution; cells that hold the
    # same are drawn as if each were as many times as uncertain.
    weights = np.random.default_rng(seed).gamma(1.0 / sums.order, sums.order, (_N_DRAWS, len(sums.by_cell)))
    drawn = estimate(np.tensordot(weights, sums.by_cell, 1), sums.points, found.reliable)
    lower, upper = _around(found.full, drawn.full)
    _, most = _around(found.claimed, drawn.claimed)
    return np.where(found.reliable, lower, 0.0), np.where(found.reliable, upper, most)


def cross_interval(sums: CrossSums, found: CrossFsc, pixel_size_a: float, seed: int = 0) -> Interval:
    """95 % interval of the resolution at which FSC(final map, truth) falls below 0.5.

    Parameters
    ----------
    sums
        Of the maps.
    found
        Their estimate.
    pixel_size_a
        Å.
    seed
        Of the draws.
    """
    lower, upper = band(sums, found, seed)
    # The upper curve goes on beyond the reliable shells.
    worse_a, better_a = (
        resolution_at(curve, TRUTH_THRESHOLD, sums.box_px, pixel_size_a, "", "", True, known).value_a
        for curve, known in ((lower, found.reliable), (upper, None))
    )
    return Interval(better_a, worse_a)


def _around(curve: Curve, drawn: Float[np.ndarray, "draws shells"]) -> tuple[Curve, Curve]:
    """Quantiles of the draws about a curve, moved apart by what the draws do not show."""
    tail = 0.5 * (1.0 - _CONFIDENCE)
    low, high = np.quantile(drawn, (tail, 1.0 - tail), axis=0)
    detail = _STANDARD_ERRORS * DETAIL
    below, above = (np.hypot(np.maximum(gap, 0.0), detail) for gap in (curve - low, high - curve))
    return curve - below, curve + above
