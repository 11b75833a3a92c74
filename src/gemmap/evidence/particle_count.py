"""Resolution against the number of particles (ResLog, Stagg et al. 2014; B-factor plot, Rosenthal & Henderson 2003)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gemmap._types import Float, Int, Volume
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.half_maps import fit_half_of
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.progress import Progress
from gemmap.fit.source import ImageSource
from gemmap.fit.split import Split
from gemmap.particles.halves import by_appearance
from gemmap.validate.cross_fsc import cross_fsc
from gemmap.validate.phase_randomise import half_map_fsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Resolution, resolution_at

#: Parts of the particles, from few to all.
FRACTIONS = (16, 8, 4, 2, 1)
#: Fewer images in a half are no reconstruction.
LEAST_PER_HALF = 64
#: Curves and how they are read: ``map`` is the cross-FSC.
NAMES = ("map", "half_maps", "backprojection")


@dataclass(frozen=True, eq=False)
class _Maps:
    """What is kept of the fit of a half."""

    map: Volume
    backprojection: Volume


@dataclass(frozen=True)
class Line:
    """1/d^2 = slope ln N + intercept; ``bfactor_a2`` = 2 / slope, Å^2, and its standard error; None without one."""

    slope: float
    intercept: float
    bfactor_a2: float
    error_a2: float | None

    def resolution_a(self, n: float) -> float:
        """Resolution that the line foretells for n particles, Å; infinite where it gives none."""
        square = self.slope * np.log(n) + self.intercept
        return float(1.0 / np.sqrt(square)) if square > 0 else float("inf")


@dataclass(frozen=True, eq=False)
class ParticleCount:
    """Resolutions of growing parts of the particles.

    Attributes
    ----------
    counts
        Particles of both halves, ascending.
    resolutions
        By name (``map``: cross-FSC 0.5; ``half_maps`` and ``backprojection``: half-map FSC 0.143, masked and
        corrected), one for each count.
    lines
        Straight lines through the points that are resolved and not at Nyquist; a name with fewer than two is left out.
    """

    counts: tuple[int, ...]
    resolutions: Mapping[str, tuple[Resolution, ...]]
    lines: Mapping[str, Line]

    def line(self) -> str:
        """The finding in a sentence."""
        values = ", ".join(f"{n:,}: {r.value_text}" for n, r in zip(self.counts, self.resolutions["map"], strict=True))
        fitted = self.lines.get("map")
        if fitted is None:
            return f"{values}; no line: fewer than two points below Nyquist"
        error = "" if fitted.error_a2 is None else f" +- {fitted.error_a2:.0f}"
        twice = fitted.resolution_a(2.0 * self.counts[-1])
        return f"{values}; B-factor {fitted.bfactor_a2:.0f}{error} Å^2, twice the particles would give {twice:.2f} Å"


def count_particles(case: Case, progress: Progress) -> ParticleCount:
    """Reconstruct both halves from a sixteenth, eighth, quarter and half of their images, spread over the whole set.

    Sums of particles add: those of a part are those of the part before it and of the particles it has more, so that
    half of the particles are read, once. Copies of an image are in the same part. The whole is the run itself. Each
    half's extent and noise, measured on all of its particles, and the run's mask serve all parts: the curve is then
    about what particles add to the map, not about how well fewer of them show where it ends.
    """
    table, state = case.table, RunState(Forgetful(), progress)
    image = np.zeros(len(table), np.int64)
    for half in (1, 2):
        rows = np.flatnonzero(table.half == half)
        image[rows] = by_appearance(table.original_image[rows])
    parts = {fraction: np.flatnonzero(image % fraction == 0) for fraction in FRACTIONS}
    parts = {fraction: rows for fraction, rows in parts.items() if _smallest_half(case, rows) >= LEAST_PER_HALF}
    source = ImageSource.measure(table, case.stack, case.config, Labelled(progress, "fewer particles"), state)
    fewer = {fraction: rows for fraction, rows in parts.items() if fraction > 1}
    pairs = list(zip(*(_fit_parts(case, source, fewer, half, progress) for half in (1, 2)), strict=True))
    found = [_resolutions(case, (one.map, two.map), (one.backprojection, two.backprojection)) for one, two in pairs]
    if 1 in parts:
        found.append(_resolutions(case, case.half_maps, case.backprojections))
    counts = tuple(len(rows) for rows in parts.values())
    resolutions = {name: tuple(of[name] for of in found) for name in NAMES}
    lines = {name: fit_line(counts, values) for name, values in resolutions.items()}
    return ParticleCount(counts, resolutions, {name: one for name, one in lines.items() if one is not None})


def _smallest_half(case: Case, rows: Int[np.ndarray, " n"]) -> int:
    """Images of the half that has fewer of them among some particles."""
    images = case.table.original_image[rows]
    return min(len(np.unique(images[case.table.half[rows] == half])) for half in (1, 2))


def _fit_parts(
    case: Case, source: ImageSource, parts: Mapping[int, Int[np.ndarray, " n"]], half: int, progress: Progress
) -> list[_Maps]:
    """Maps of one half from growing parts of the particles, by 1/part, each of which holds the one before."""
    maps: list[_Maps] = []
    split: Split | None = None
    inserted = np.zeros(0, np.int64)
    for fraction, rows in parts.items():
        label = Labelled(progress, f"1/{fraction} of the particles")
        own = rows[case.table.half[rows] == half]
        state = RunState(Forgetful(), label)
        part = replace(source, rows={half: own}, progress=label, state=state)
        more = replace(part, rows={half: np.setdiff1d(own, inserted)}).split(half)
        split, inserted = more if split is None else split + more, own
        fit = fit_half_of(part, half, split, case.config, label, state, case.region)
        maps.append(_Maps(fit.map, fit.backprojection))
    return maps


def fit_line(counts: Sequence[int], resolutions: Sequence[Resolution]) -> Line | None:
    """Least squares of 1/d^2 on ln N; None with fewer than two points, or where the resolution does not grow."""
    used = [i for i, r in enumerate(resolutions) if r.is_resolved and not r.at_nyquist]
    if len(used) < 2:
        return None
    x: Float[np.ndarray, " n"] = np.log([counts[i] for i in used])
    y: Float[np.ndarray, " n"] = np.array([1.0 / resolutions[i].value_a ** 2 for i in used])
    slope, intercept = (float(value) for value in np.polyfit(x, y, 1))
    if slope <= 0:
        return None
    error = None
    if len(used) > 2:
        residual = y - slope * x - intercept
        of_slope = np.sqrt((residual**2).sum() / (len(used) - 2) / ((x - x.mean()) ** 2).sum())
        error = float(2.0 / slope**2 * of_slope)
    return Line(slope, intercept, 2.0 / slope, error)


def _resolutions(
    case: Case, maps: tuple[Volume, Volume], backprojections: tuple[Volume, Volume]
) -> dict[str, Resolution]:
    n, size_a, mask = case.box_px, case.pixel_size_a, case.mask

    def read(curve: np.ndarray, threshold: float, estimator: str) -> Resolution:
        return resolution_at(curve, threshold, n, size_a, estimator, case.mask_name, interpolate=True)

    corrected = {
        name: half_map_fsc(*pair, mask, case.seed, case.workers).corrected
        for name, pair in (("half_maps", maps), ("backprojection", backprojections))
    }
    return {
        "map": read(cross_fsc(*maps, *backprojections, mask).full, TRUTH_THRESHOLD, "cross-FSC"),
        **{name: read(curve, HALF_MAP_THRESHOLD, "half-map FSC") for name, curve in corrected.items()},
    }
