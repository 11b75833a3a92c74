"""Half-map FSC inside a mask, corrected for what the mask itself adds (phase randomisation, Chen et al. 2013)."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from gemmap._types import Complex, Curve, Volume
from gemmap.geometry.grids import frequencies
from gemmap.validate.fsc import check_same_box, masked_transform, relion_fsc_of_transforms
from gemmap.validate.masks import check_mask

#: Phases are randomised from the first shell where the unmasked FSC is below this (relion_postprocess's default).
RANDOMISE_BELOW_FSC = 0.8
#: The correction starts this many shells later, because the mask smears the step in the phases over its neighbours.
_CORRECTION_DELAY_SHELLS = 2


@dataclass(frozen=True, eq=False)
class HalfMapFsc:
    """The four curves of relion_postprocess, each over shells 0 .. N//2.

    Attributes
    ----------
    unmasked, masked
        FSC of the raw and of the masked half-maps.
    phase_randomised
        FSC of the masked half-maps after their phases were randomised: what the mask alone makes.
    corrected
        (masked - phase_randomised) / (1 - phase_randomised) from shell ``randomised_from`` + 2 on; before it, masked.
    randomised_from
        First shell with random phases; None if the unmasked FSC never falls below 0.8: then ``phase_randomised`` and
        ``corrected`` equal ``masked``.
    seed
        Seed of the random phases.
    """

    unmasked: Curve
    masked: Curve
    phase_randomised: Curve
    corrected: Curve
    randomised_from: int | None
    seed: int


def half_map_fsc(half1: Volume, half2: Volume, mask: Volume, seed: int = 0, workers: int = 1) -> HalfMapFsc:
    """Compute unmasked, masked, phase-randomised and corrected FSC by the recipe of relion_postprocess.

    Parameters
    ----------
    half1, half2
        (N, N, N) raw (unmasked, unfiltered) half-maps.
    mask
        (N, N, N), values 0 to 1.
    seed
        Of the random phases; the same seed gives the same curves.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size, or the mask is of another size, empty, or not within 0 to 1.
    """
    check_same_box(half1, half2)
    check_mask(mask, len(half1))
    raw = [masked_transform(half, None, workers) for half in (half1, half2)]
    unmasked = relion_fsc_of_transforms(*raw)
    masked = _masked_fsc(half1, half2, mask, workers)
    randomised_from = first_shell_below(unmasked, RANDOMISE_BELOW_FSC)
    if randomised_from is None:
        return HalfMapFsc(unmasked, masked, masked.copy(), masked.copy(), None, seed)
    streams = np.random.default_rng(seed).spawn(2)
    random1, random2 = (randomise_phases(f, randomised_from, rng, workers) for f, rng in zip(raw, streams, strict=True))
    phase_randomised = _masked_fsc(random1, random2, mask, workers)
    corrected = corrected_fsc(masked, phase_randomised, randomised_from)
    return HalfMapFsc(unmasked, masked, phase_randomised, corrected, randomised_from, seed)


def _masked_fsc(map1: Volume, map2: Volume, mask: Volume, workers: int) -> Curve:
    return relion_fsc_of_transforms(*(masked_transform(volume, mask, workers) for volume in (map1, map2)))


def first_shell_below(curve: Curve, threshold: float) -> int | None:
    """Return the first shell, from 1 on, with a value below the threshold; None if there is none."""
    below = np.flatnonzero(curve[1:] < threshold)
    return int(below[0]) + 1 if len(below) else None


def corrected_fsc(masked: Curve, phase_randomised: Curve, randomised_from: int) -> Curve:
    """Take out the correlation made by the mask; 0 where the randomised maps correlate fully and nothing is left."""
    corrected = masked.copy()
    late = slice(randomised_from + _CORRECTION_DELAY_SHELLS, None)
    rest = 1.0 - phase_randomised[late]
    excess = masked[late] - phase_randomised[late]
    corrected[late] = np.divide(excess, rest, out=np.zeros_like(rest), where=rest > 0.0)
    return corrected


def randomise_phases(
    fourier: Complex[np.ndarray, "n n h"], from_shell: int, stream: np.random.Generator, workers: int = 1
) -> Volume:
    """Return the map whose Fourier points with |k| >= ``from_shell`` keep their amplitudes and get random phases.

    The limit is a radius, as in RELION, not a rounded shell: the inner half of shell ``from_shell`` keeps its phases.
    """
    n = len(fourier)
    # The phases of a real white-noise map are uniform, independent and Hermitian, also where a point is its own mate.
    noise = scipy.fft.rfftn(stream.standard_normal((n, n, n), np.float32), workers=workers)
    k = frequencies(n)
    plane = (k**2)[:, None] + np.arange(n // 2 + 1) ** 2
    out = fourier.copy()
    for z, kz in enumerate(k):
        random = plane + kz**2 >= from_shell**2
        of_noise = noise[z][random]
        out[z][random] = np.abs(fourier[z][random]) * (of_noise / np.abs(of_noise))
    return np.asarray(scipy.fft.irfftn(out, s=(n, n, n), axes=(0, 1, 2), workers=workers))
