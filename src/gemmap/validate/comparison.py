"""A map against a reference, the density of a model or another map: curves, resolutions, correlations, and doubts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.validate.fsc import (
    check_same_box,
    correlation,
    fsc,
    masked_transform,
    shell_cross,
    shell_power,
)
from gemmap.validate.masks import check_mask
from gemmap.validate.misplacement import Pair, misplacements
from gemmap.validate.phase_randomise import RANDOMISE_BELOW_FSC, first_shell_below, randomise_phases
from gemmap.validate.placement import Placement, find_placement
from gemmap.validate.real_space import fitted_bfactor, low_passed, weighted_correlation
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Interval, Resolution, resolution_at
from gemmap.validate.uncertainty import independent_points, resolution_interval

#: Solvent and the shape of the mask rule coarser shells, Å: they are kept out of the fit of B.
_BFACTOR_FROM_A = 15.0
#: FSC that the mask alone may make at the resolution before it is called too tight.
_MASK_FSC_LIMIT = 0.1


@dataclass(frozen=True)
class ComparisonOptions:
    """How a map is compared.

    Attributes
    ----------
    estimator
        Name of the curve in the sentences: "map-model FSC" or "map-map FSC".
    reference
        What the map is compared with, in a sentence: "the model" or a file's name.
    fit_bfactor
        Bring the reference to the map's fall-off with one B-factor before correlating in real space.
    lowpass_a
        Å, to which both are cut for the real-space correlation; None for the resolution at 0.5.
    seed
        Of the random phases and of the intervals.
    """

    estimator: str
    reference: str
    fit_bfactor: bool
    lowpass_a: float | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known about a map and its reference.

    Attributes
    ----------
    pixel_size_a
        Å.
    mask, mask_name
        (N, N, N), and its name in the sentences.
    unmasked, masked
        FSC over shells 0 .. N//2.
    phase_randomised
        FSC in the mask after the map's phases were made random from ``randomised_from`` on: what the mask alone makes.
    randomised_from
        Shell; None if the unmasked FSC never falls below 0.8, then ``phase_randomised`` equals ``masked``.
    resolutions
        At 0.5 and at 0.143, masked and not: "masked_0.5", "masked_0.143", "unmasked_0.5", "unmasked_0.143".
    intervals
        95 % intervals of the two masked ones (parametric bootstrap over shells).
    cc_mask, cc_box
        Real-space correlation, weighted by the mask and in the whole box, of ``filtered``.
    filtered
        Map and reference as they were correlated: cut at ``lowpass_a`` (None: not cut), the reference with
        ``bfactor_a2`` added to its B-factors (None: nothing, where the fit was not asked for or has too few shells).
    placement
        Other positions, hands and contrasts, and how they fit.
    warnings
        Sentences.
    """

    pixel_size_a: float
    mask: Volume
    mask_name: str
    unmasked: Curve
    masked: Curve
    phase_randomised: Curve
    randomised_from: int | None
    resolutions: Mapping[str, Resolution]
    intervals: Mapping[str, Interval]
    cc_mask: float
    cc_box: float
    filtered: tuple[Volume, Volume]
    lowpass_a: float | None
    bfactor_a2: float | None
    placement: Placement
    warnings: tuple[str, ...] = field(default=())

    @property
    def box_px(self) -> int:
        """Side of the box."""
        return len(self.mask)

    @property
    def resolution(self) -> Resolution:
        """At 0.5 in the mask: the reference is free of the map's noise."""
        return self.resolutions["masked_0.5"]

    def curves(self) -> dict[str, Curve]:
        """All curves by name."""
        return {"unmasked": self.unmasked, "masked": self.masked, "phase_randomised": self.phase_randomised}


def compare(
    volume: Volume,
    reference: Volume,
    mask: Volume,
    pixel_size_a: float,
    mask_name: str,
    options: ComparisonOptions,
    workers: int = 1,
) -> Comparison:
    """Compare a map with a reference on the same grid.

    Parameters
    ----------
    volume, reference
        (N, N, N).
    mask
        (N, N, N), 0 to 1.
    pixel_size_a
        Å.
    mask_name
        For the sentences, such as "mask around the model".
    options
        See there.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If maps and mask are not finite cubes of one size, a map is constant, or the mask is empty or not within 0 to 1.
    """
    check_same_box(volume, reference)
    check_mask(mask, len(volume))
    for name, values in (("The map", volume), ("The reference", reference)):
        if not np.ptp(values) > 0.0:
            raise InputError(f"{name} is {values.flat[0]:g} everywhere; expected a density: check the file.")
    box_px = len(volume)
    first, second = (masked_transform(values, mask, workers) for values in (volume, reference))
    cross, power = shell_cross(first, second), shell_power(second)
    masked = correlation(cross, shell_power(first), power)
    curves = {"masked": masked, "unmasked": fsc(volume, reference, None, workers)}
    resolutions = {
        f"{name}_{threshold:g}": resolution_at(
            curve, threshold, box_px, pixel_size_a, options.estimator, mask_name if name == "masked" else "no mask"
        )
        for name, curve in curves.items()
        for threshold in (TRUTH_THRESHOLD, HALF_MAP_THRESHOLD)
    }
    points = independent_points(mask, box_px)
    intervals = {
        f"masked_{threshold:g}": resolution_interval(masked, points, threshold, box_px, pixel_size_a, options.seed)
        for threshold in (TRUTH_THRESHOLD, HALF_MAP_THRESHOLD)
    }
    best = resolutions["masked_0.5"]
    lowpass_a = options.lowpass_a if options.lowpass_a is not None else (best.value_a if best.is_resolved else None)
    bfactor_a2 = _bfactor(cross, power, best, box_px, pixel_size_a) if options.fit_bfactor else None
    filtered = (
        low_passed(volume, pixel_size_a, lowpass_a, 0.0, workers),
        low_passed(reference, pixel_size_a, lowpass_a, bfactor_a2 or 0.0, workers),
    )
    random, randomised_from = _randomised(volume, second, curves["unmasked"], mask, options.seed, workers)
    phase_randomised = masked if random is None else random
    placement = find_placement(volume, reference, pixel_size_a, workers)
    pair = Pair(volume, reference, mask, pixel_size_a, options.reference, workers)
    return Comparison(
        pixel_size_a,
        mask,
        mask_name,
        curves["unmasked"],
        masked,
        phase_randomised,
        randomised_from,
        resolutions,
        intervals,
        weighted_correlation(*filtered, mask),
        weighted_correlation(*filtered),
        filtered,
        lowpass_a,
        bfactor_a2,
        placement,
        (
            *misplacements(pair, masked, placement),
            *_mask_warning(phase_randomised, randomised_from, best),
        ),
    )


def _bfactor(cross: Curve, power: Curve, best: Resolution, box_px: int, pixel_size_a: float) -> float | None:
    """B of the map's amplitudes, as far as they agree with the reference, over the reference's; None if unclear."""
    gain = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0.0)
    shells = np.arange(len(gain))
    used = (shells <= best.shell) & (shells >= box_px * pixel_size_a / _BFACTOR_FROM_A)
    return fitted_bfactor(gain, used, independent_points(None, box_px), box_px * pixel_size_a)


def _randomised(
    volume: Volume, second: np.ndarray, unmasked: Curve, mask: Volume, seed: int, workers: int
) -> tuple[Curve | None, int | None]:
    start = first_shell_below(unmasked, RANDOMISE_BELOW_FSC)
    if start is None:
        return None, None
    stream = np.random.default_rng(seed)
    scrambled = randomise_phases(masked_transform(volume, None, workers), start, stream, workers)
    first = masked_transform(scrambled, mask, workers)
    return correlation(shell_cross(first, second), shell_power(first), shell_power(second)), start


def _mask_warning(phase_randomised: Curve, randomised_from: int | None, best: Resolution) -> list[str]:
    shell = round(best.shell)
    if randomised_from is None or shell < randomised_from + 2 or phase_randomised[shell] <= _MASK_FSC_LIMIT:
        return []
    return [
        f"The mask alone makes an FSC of {phase_randomised[shell]:.2f} at the resolution; use a softer or larger mask."
    ]
