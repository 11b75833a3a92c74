"""Particles that were never fitted: does the map fit them as well as those it was fitted to?

For a map V with transform F and the sums N and W of some particles (docs/derivations.md), sum Re(conj(N) F) is the
inner product of their whitened images with the projections of V, and sum W |F|^2 the power of those projections. With
n_s Fourier values in shell s of an image, whose noise is 1 once whitened, and n particles,

    correlation(s) = sum Re(conj(N) F) / sqrt(n n_s sum W |F|^2)        standard error 1 / sqrt(n n_s)
    slope(s)       = sum Re(conj(N) F) / sum W |F|^2                    standard error 1 / sqrt(sum W |F|^2)

All sums and n_s are over full planes. Friedel mates are one value: noise gives 2 sum Re(conj(y) m) over half a plane
the variance 4 sum |m|^2 / 2, which is sum |m|^2 over all of it. Particles are inserted once, in the view that they are
seen in, whatever the symmetry of the map: copies would count their noise as often.

The slope is the factor by which the shell should be multiplied to fit these particles best: 1 for a map with the right
power; what was fitted to noise lowers it on particles that were not seen, not on those that were.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Int, Volume
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.backprojection import to_fourier_space
from gemmap.fit.extent import particle_circles
from gemmap.fit.half_maps import fit_source_halves
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.one_pass import CHUNK_BYTES
from gemmap.fit.progress import Progress, stage
from gemmap.fit.records import FitResult
from gemmap.fit.residual import grid_shells
from gemmap.fit.source import ImageSource
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.geometry.grids import frequencies
from gemmap.particles.background import NormalisedStack, WindowedStack
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.halves import by_appearance
from gemmap.particles.stack import ImageStack

#: Part of each half that is held out.
FRACTION = 0.05
_MAPS = ("map", "voxels", "backprojection")
#: The trend of shells is said over those up to this shell of the box's half.
_FIRST_SHELL = 3


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
    """

    product: Curve
    power: Curve
    n_values: Curve

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

    def joined(self, other: "Agreement") -> "Agreement":
        """Return that of two maps with their particles together."""
        return Agreement(self.product + other.product, self.power + other.power, self.n_values + other.n_values)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Agreement of half-maps with particles of their own half that they were, and were not, fitted to.

    Attributes
    ----------
    n_held_out
        Particles held out, of both halves.
    held_out, fitted
        By name (``map``, ``voxels``, ``backprojection``), both halves together; ``fitted`` is of as many particles.
    last_shell
        Resolution of the run, as a shell: verdicts are about the shells up to it.
    """

    n_held_out: int
    held_out: Mapping[str, Agreement]
    fitted: Mapping[str, Agreement]
    last_shell: int

    def kept(self, name: str) -> float:
        """Agreement with particles not seen over that with those seen, up to the last shell: 1 without overfitting."""
        unseen, seen = (of[name].product[self._shells].sum() for of in (self.held_out, self.fitted))
        return float(unseen / seen) if seen > 0 else 0.0

    def kept_error(self, name: str) -> float:
        """Standard error of `kept` by the noise of the images, seen and not."""
        unseen, seen = (of[name].power[self._shells].sum() for of in (self.held_out, self.fitted))
        product = self.fitted[name].product[self._shells].sum()
        return float(np.sqrt(unseen + self.kept(name) ** 2 * seen) / product) if product > 0 else float("inf")

    @property
    def _shells(self) -> slice:
        return slice(_FIRST_SHELL, max(self.last_shell, _FIRST_SHELL) + 1)

    def line(self) -> str:
        """The finding in a sentence."""
        return (
            f"{self.n_held_out:,} particles never fitted agree {self.kept('map'):.2f} +- {self.kept_error('map'):.2f} "
            "times as well with the map as fitted ones, up to its resolution (back-projection "
            f"{self.kept('backprojection'):.2f}, voxels {self.kept('voxels'):.2f}; 1 is no overfitting)"
        )


def hold_out(case: Case, progress: Progress, last_shell: int, fraction: float = FRACTION) -> HeldOut | None:
    """Fit both halves without some of their particles, and compare the maps with these.

    Parameters
    ----------
    case
        The run.
    progress
        Told what happens.
    last_shell
        Resolution of the run, as a shell.
    fraction
        Of the images of each half to hold out, rounded down and spread over the set; copies of an image stay together.

    Returns
    -------
    HeldOut or None
        None if the rest or what is held out would be too few.
    """
    images = case.table.original_image
    held, rest, sample = {}, {}, {}
    for half in (1, 2):
        rows = np.flatnonzero(case.table.half == half)
        number = by_appearance(images[rows])
        unseen, seen, alike = deal(int(number.max(initial=-1)) + 1, fraction)
        if not len(unseen) or len(seen) < LEAST_PARTICLES:
            return None
        held[half], rest[half], sample[half] = (rows[np.isin(number, chosen)] for chosen in (unseen, seen, alike))
    label = Labelled(progress, "held-out particles")
    table = case.only(np.concatenate([rest[1], rest[2]]))
    state = RunState(Forgetful(), label)
    source = ImageSource.measure(table, case.stack, case.config, label, state)
    fits = fit_source_halves(source, case.config, label, state, case.region)
    agreements = [
        {half: _agreements(fits[half - 1], _sums(case, source, rows[half], half, label)) for half in (1, 2)}
        for rows in (held, sample)
    ]
    both = [{name: of[1][name].joined(of[2][name]) for name in _MAPS} for of in agreements]
    return HeldOut(sum(len(rows) for rows in held.values()), both[0], both[1], last_shell)


def deal(n: int, fraction: float) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " r"], Int[np.ndarray, " h"]]:
    """Numbers below n to hold out, spread evenly; the rest; and as many of the rest, spread evenly."""
    # Against 0.1 * 10 = 0.9999..: a part of an image is not held out.
    whole = np.floor(np.arange(n + 1) * fraction + 1e-9)
    out = np.diff(whole) > 0
    held, rest = np.flatnonzero(out), np.flatnonzero(~out)
    return held, rest, rest[np.linspace(0, len(rest) - 1, len(held)).round().astype(np.int64)]


def agreement(volume: Volume, sums: Aggregate) -> Agreement:
    """Compare a map with the sums of some particles, by the formulas above."""
    shell, n = grid_shells(sums), sums.box_px // 2 + 1
    transform = to_fourier_space(volume, sums.grid_px)
    # The half of the grid stands for all of it, but for the plane x = 0.
    both = np.full(transform.shape, 2.0)
    both[:, :, 0] = 1.0
    product = both * (sums.numerator.conj() * transform).real
    power = both * sums.weight * (transform.real.astype(np.float64) ** 2 + transform.imag.astype(np.float64) ** 2)
    totals = [np.bincount(shell, values.ravel(), minlength=n)[:n] for values in (product, power)]
    return Agreement(totals[0], totals[1], sums.n_particles * _values_per_shell(sums.box_px, sums.grid_px))


def _agreements(fit: FitResult, sums: Aggregate) -> dict[str, Agreement]:
    return {name: agreement(getattr(fit, name), sums) for name in _MAPS}


def _sums(case: Case, source: ImageSource, rows: Int[np.ndarray, " n"], half: int, progress: Progress) -> Aggregate:
    """Insert particles as those of their half were: with its noise and the extent that it found."""
    table = case.table
    circles = particle_circles(table, {half: rows}, source.extents)
    stack: ImageStack = case.stack
    if case.config.normalise:
        stack = NormalisedStack(stack, circles)
    if case.config.window:
        stack = WindowedStack(stack, circles)
    accumulator = Accumulator(case.box_px, case.pixel_size_a)
    chunk = images_per_chunk(case.box_px, case.config.chunk_bytes or CHUNK_BYTES)
    with stage(progress, f"comparing particles of half {half}", len(rows), "particles"):
        for part, images in read_ahead(stack, rows, chunk, source.dead):
            accumulator.add(images, table.select(part), source.weights[half], table.optics_group[part])
            progress.advance(len(part))
    return accumulator.finish()


def _values_per_shell(box_px: int, grid_px: int) -> Curve:
    """Number of an image's Fourier values that are inserted, in shells 0 .. D//2, mates counted."""
    k = frequencies(box_px)
    radius = np.hypot(k[:, None], k[None, :])
    inserted = radius <= 0.5 * box_px - box_px / grid_px
    shell = np.floor(radius[inserted] + 0.5).astype(np.int64)
    return np.asarray(np.bincount(shell, minlength=box_px)[: box_px // 2 + 1], np.float64)


def _ratio(numerator: Curve, denominator: Curve) -> Curve:
    return np.asarray(np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0))
