"""One number from a curve over shells, with all that is needed to read it."""

import math
from dataclasses import dataclass

import numpy as np

from gemmap._types import Bool, Curve
from gemmap.errors import InputError

#: Half-map FSC at which the map from all particles correlates 0.5 with the truth (Rosenthal & Henderson 2003).
HALF_MAP_THRESHOLD = 0.143
#: FSC between a map and something free of its noise (a model, the truth, an estimate of the correlation with it).
TRUTH_THRESHOLD = 0.5


@dataclass(frozen=True)
class Interval:
    """Resolutions between which the true one lies with 95 %, Å; ``worse_a`` may be infinite."""

    better_a: float
    worse_a: float

    def __str__(self) -> str:
        if not np.isfinite(self.better_a):
            return "not resolved"
        if not np.isfinite(self.worse_a):
            return f"{self.better_a:.2f} Å to not resolved"
        return f"{self.better_a:.2f} to {self.worse_a:.2f} Å"


@dataclass(frozen=True)
class Resolution:
    """A resolution and where it comes from.

    Attributes
    ----------
    value_a
        Å; infinite if the first shell is already below the threshold.
    threshold
        Correlation at which it is read.
    estimator
        Kind of curve, such as "half-map FSC".
    mask
        Mask of the curve, such as "soft mask" or "no mask".
    at_nyquist
        True if the curve never falls below the threshold: the pixel size limits, and the true value may be better.
    shell
        Shell of ``value_a`` (a fraction if interpolated), 0 if not resolved.
    at_limit
        True if the curve is known no further and was not below the threshold before: the true value may be better.
    interval
        95 % interval, if there is one.
    """

    value_a: float
    threshold: float
    estimator: str
    mask: str
    at_nyquist: bool
    shell: float
    at_limit: bool = False
    interval: Interval | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether at least the first shell is above the threshold."""
        return math.isfinite(self.value_a)

    @property
    def value_text(self) -> str:
        """The value alone, such as ``4.12 Å``, ``at Nyquist (2.80 Å)`` or ``not resolved``."""
        if not self.is_resolved:
            return "not resolved"
        if self.at_limit:
            return f"at the limit of what is known ({self.value_a:.2f} Å)"
        return f"at Nyquist ({self.value_a:.2f} Å)" if self.at_nyquist else f"{self.value_a:.2f} Å"

    def __str__(self) -> str:
        if not self.is_resolved:
            return f"not resolved: {self.estimator} is below {self.threshold:g} from the first shell on ({self.mask})"
        interval = "" if self.interval is None else f"95 %: {self.interval}; "
        return f"{self.value_text} ({interval}{self.estimator} {self.threshold:g}, {self.mask})"


def resolution_at(
    curve: Curve,
    threshold: float,
    box_px: int,
    pixel_size_a: float,
    estimator: str,
    mask: str,
    interpolate: bool = False,
    reliable: Bool[np.ndarray, " shells"] | None = None,
) -> Resolution:
    """Read the resolution off a curve over shells by RELION's rule.

    The last shell before the first value below the threshold counts, from shell 1 on; shell s is at
    ``box_px * pixel_size_a / s`` Å.

    Parameters
    ----------
    curve
        (box_px//2 + 1,), correlations of shells 0, 1, ... box_px//2.
    threshold
        Usually :data:`HALF_MAP_THRESHOLD` or :data:`TRUTH_THRESHOLD`.
    estimator, mask
        Words for the record and the printed sentence.
    interpolate
        Place the crossing between the two shells by a straight line instead.
    reliable
        Shells in which the curve is known, up to the first that is not; all by default. A curve that is above the
        threshold in the last of them is read there, and the result says so.

    Raises
    ------
    InputError
        If the curve does not have one finite value per shell, or the box has no shell but 0.
    """
    curve = np.asarray(curve, np.float64)
    if box_px < 2 or curve.shape != (box_px // 2 + 1,) or not np.isfinite(curve).all():
        raise InputError(
            f"{estimator}: a curve of shape {curve.shape} gives no resolution for a box of {box_px} pixels; expected "
            f"finite values, one for each of the shells 0 to {box_px // 2}."
        )
    below = np.flatnonzero(curve[1:] < threshold) + 1
    at_nyquist = len(below) == 0
    shell = float(len(curve) - 1 if at_nyquist else below[0] - 1)
    at_limit = reliable is not None and shell > 0 and not at_nyquist and not reliable[below[0]]
    if interpolate and not at_nyquist and not at_limit and shell > 0:
        above_value, below_value = curve[below[0] - 1], curve[below[0]]
        shell += float((above_value - threshold) / (above_value - below_value))
    value_a = box_px * pixel_size_a / shell if shell > 0 else math.inf
    return Resolution(value_a, threshold, estimator, mask, at_nyquist, shell, bool(at_limit))
