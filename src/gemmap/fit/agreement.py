"""How a map agrees with particles, shell by shell, from their sums: those it was fitted to, and those it was not.

For a map V with transform F and the sums N and W of some particles (docs/derivations.md), sum Re(conj(N) F) is the
inner product of their whitened images with the projections of V, and sum W |F|^2 the power of those projections. With
n_s Fourier values in shell s of an image, whose noise is 1 once whitened, and n particles,

    correlation(s) = sum Re(conj(N) F) / sqrt(n n_s sum W |F|^2)        standard error 1 / sqrt(n n_s)
    slope(s)       = sum Re(conj(N) F) / sum W |F|^2                    standard error 1 / sqrt(sum W |F|^2)

All sums and n_s are over full planes. Friedel mates are one value: noise gives 2 sum Re(conj(y) m) over half a plane
the variance 4 sum |m|^2 / 2, which is sum |m|^2 over all of it. Where particles were inserted in all views of a point
group, a map of that symmetry has the same inner product and power with each of them: the sums are divided by their
number, since copies of an image share its noise.

The slope is the factor by which the shell should be multiplied to fit these particles best: 1 for a map with the right
power; what was fitted to noise lowers it on particles that were not seen, not on those that were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from gemmap._types import Curve, Float, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import transform_of
from gemmap.fit.grid_planes import PlanesAt, over_planes
from gemmap.geometry.grids import frequencies
from gemmap.geometry.symmetry import point_group

#: The lowest shells hold little that tells, and the extent that both sets of particles share.
FIRST_SHELL = 3


@dataclass(frozen=True, eq=False)
class Agreement:
    """How a map agrees with some particles; curves over shells 0 .. N//2.

    Attributes
    ----------
    product
        sum Re(conj(N) F).
    power
        sum W |F|^2.
    n_values
        Fourier values of all the images that were inserted, mates counted.
    n_particles
        Their number.
    """

    product: Curve
    power: Curve
    n_values: Curve
    n_particles: int

    @property
    def correlation(self) -> Curve:
        """Of the images with the map's projections."""
        return _ratio(self.product, np.sqrt(self.n_values * self.power))

    @property
    def correlation_error(self) -> Curve:
        """Standard error of the correlation, by the images' noise."""
        return _ratio(np.ones_like(self.n_values), np.sqrt(self.n_values))

    @property
    def slope(self) -> Curve:
        """Factor by which the map's shells fit the images best."""
        return _ratio(self.product, self.power)

    @property
    def slope_error(self) -> Curve:
        """Standard error of the slope."""
        return _ratio(np.ones_like(self.power), np.sqrt(self.power))

    def __add__(self, other: Self) -> Self:
        """Add that of another map with particles of its own."""
        return type(self)(
            self.product + other.product,
            self.power + other.power,
            self.n_values + other.n_values,
            self.n_particles + other.n_particles,
        )


@dataclass(frozen=True, eq=False)
class HeldOutAgreement:
    """Agreement of maps, by name, with particles of their own half that they were, and were not, fitted to."""

    held_out: Mapping[str, Agreement]
    fitted: Mapping[str, Agreement]

    def __add__(self, other: Self) -> Self:
        """Add those of the other half."""
        held_out, fitted = (
            {name: one + others[name] for name, one in of.items()}
            for of, others in ((self.held_out, other.held_out), (self.fitted, other.fitted))
        )
        return type(self)(held_out, fitted)

    def kept(self, name: str, last_shell: int) -> float:
        """Mean agreement with a particle not seen over that with one seen, shells 3 .. last: 1 without overfitting."""
        unseen, seen = (self._mean(of[name], last_shell) for of in (self.held_out, self.fitted))
        return unseen / seen if seen > 0 else 0.0

    def kept_error(self, name: str, last_shell: int) -> float:
        """Standard error of `kept` by the noise of the images, seen and not."""
        unseen, seen = self.held_out[name], self.fitted[name]
        shells, agreement = _shells(last_shell), self._mean(self.fitted[name], last_shell)
        if agreement <= 0:
            return float("inf")
        variances = [float(of.power[shells].sum()) / of.n_particles**2 for of in (unseen, seen)]
        return float(np.sqrt(variances[0] + self.kept(name, last_shell) ** 2 * variances[1]) / agreement)

    @staticmethod
    def _mean(agreement: Agreement, last_shell: int) -> float:
        return float(agreement.product[_shells(last_shell)].sum()) / max(agreement.n_particles, 1)


def agreements(volumes: Mapping[str, Volume], *sets: Aggregate) -> tuple[dict[str, Agreement], ...]:
    """Compare maps with the sums of some particles, by the formulas above: one dictionary for each set of sums."""
    found: tuple[dict[str, Agreement], ...] = tuple({} for _ in sets)
    for name, volume in volumes.items():
        transform = transform_of(volume, sets[0].grid_px)
        for of, sums in zip(found, sets, strict=True):
            of[name] = _agreement(transform, sums)
    return found


def _agreement(transform: PlanesAt, sums: Aggregate) -> Agreement:
    from gemmap.kernels.cpu_planes import sum_agreement

    m, box, n = sums.grid_px, sums.box_px, sums.box_px // 2 + 1

    def add(some: slice) -> Float[np.ndarray, "2 s"]:
        totals = np.zeros((2, n + 1))
        sum_agreement(transform(some).numpy(), sums.numerator, sums.weight, some.start, box / m, totals)
        return totals

    product, power = np.sum(over_planes(add, m), axis=0)[:, :n] / len(point_group(sums.symmetry))
    return Agreement(product, power, sums.n_particles * _values_per_shell(box, m), sums.n_particles)


def _shells(last_shell: int) -> slice:
    return slice(FIRST_SHELL, max(last_shell, FIRST_SHELL) + 1)


def _values_per_shell(box_px: int, grid_px: int) -> Curve:
    """Number of an image's Fourier values that are inserted, in shells 0 .. D//2, mates counted."""
    k = frequencies(box_px)
    radius = np.hypot(k[:, None], k[None, :])
    inserted = radius <= 0.5 * box_px - box_px / grid_px
    shell = np.floor(radius[inserted] + 0.5).astype(np.int64)
    return np.asarray(np.bincount(shell, minlength=box_px)[: box_px // 2 + 1], np.float64)


def _ratio(numerator: Curve, denominator: Curve) -> Curve:
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))
