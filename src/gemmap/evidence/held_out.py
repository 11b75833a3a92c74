"""Particles that were never fitted: does the map fit them as well as those it was fitted to?

Agreement with a map is measured as :mod:`gemmap.fit.agreement` says. Particles are inserted once, in the view that they
are seen in, whatever the symmetry of the map.
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Int
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.agreement import HeldOutAgreement, agreements
from gemmap.fit.extent import particle_circles
from gemmap.fit.half_maps import fit_source_halves
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.one_pass import CHUNK_BYTES
from gemmap.fit.progress import Progress, stage
from gemmap.fit.source import ImageSource
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.particles.background import NormalisedStack, WindowedStack
from gemmap.particles.batches import images_per_chunk, read_ahead
from gemmap.particles.halves import by_appearance
from gemmap.particles.stack import ImageStack

#: Part of each half that is held out.
FRACTION = 0.05
_MAPS = ("map", "voxels", "backprojection")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Agreement of half-maps with particles of their own half that they were, and were not, fitted to.

    Attributes
    ----------
    n_held_out
        Particles held out, of both halves.
    agreement
        Of ``map``, ``voxels`` and ``backprojection``, both halves together, with as many particles seen and not seen.
    last_shell
        Resolution of the run, as a shell: verdicts are about the shells up to it.
    """

    n_held_out: int
    agreement: HeldOutAgreement
    last_shell: int

    def kept(self, name: str) -> float:
        """Agreement with particles not seen over that with those seen, up to the last shell: 1 without overfitting."""
        return self.agreement.kept(name, self.last_shell)

    def kept_error(self, name: str) -> float:
        """Standard error of `kept` by the noise of the images, seen and not."""
        return self.agreement.kept_error(name, self.last_shell)

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
    halves = []
    for half in (1, 2):
        maps = {name: getattr(fits[half - 1], name) for name in _MAPS}
        sums = (_sums(case, source, rows[half], half, label) for rows in (held, sample))
        halves.append(HeldOutAgreement(*agreements(maps, *sums)))
    return HeldOut(sum(len(rows) for rows in held.values()), halves[0] + halves[1], last_shell)


def deal(n: int, fraction: float) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " r"], Int[np.ndarray, " h"]]:
    """Numbers below n to hold out, spread evenly; the rest; and as many of the rest, spread evenly."""
    # Against 0.1 * 10 = 0.9999..: a part of an image is not held out.
    whole = np.floor(np.arange(n + 1) * fraction + 1e-9)
    out = np.diff(whole) > 0
    held, rest = np.flatnonzero(out), np.flatnonzero(~out)
    return held, rest, rest[np.linspace(0, len(rest) - 1, len(held)).round().astype(np.int64)]


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
