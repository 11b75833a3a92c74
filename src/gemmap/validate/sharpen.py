"""Sharpening of a map by its correlation with the truth: Guinier plot, B-factor, weighting, low-pass filter.

The recipe is relion_postprocess's (Rosenthal & Henderson 2003), with its shells and its fit. The correlation comes from
a half-map FSC, as there, or from the cross-FSC, which is that correlation.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from gemmap._types import Complex, Curve, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import frequencies
from gemmap.validate.fsc import fourier_shells
from gemmap.validate.masks import FILTER_EDGE_SHELLS, raised_cosine_edge

#: FSC at which weighting ends: beyond the first shell below it the map is set to zero.
_LEAST_FSC = 1e-4
#: Coarsest resolution of the straight line, Å: coarser shells follow the shape of the particle.
GUINIER_FROM_A = 10.0
_LEAST_SHELLS = 3


@dataclass(frozen=True, eq=False)
class Guinier:
    """Fall-off of a map's amplitudes: ln of their mean per shell against 1/d^2, and a straight line through it.

    Attributes
    ----------
    inverse_d2
        1/d^2 of every shell, 1/Å^2.
    log_amplitudes, log_weighted
        ln of the mean amplitude of each shell, of the map as it is and weighted by its FSC; -inf where nothing is.
    first_shell, last_shell
        Ends of the fit, both in it.
    slope, intercept, correlation
        Of the straight line through ``log_weighted``.
    """

    inverse_d2: Curve
    log_amplitudes: Curve
    log_weighted: Curve
    first_shell: int
    last_shell: int
    slope: float
    intercept: float
    correlation: float

    @property
    def bfactor_a2(self) -> float:
        """B in exp(-B / 4 k^2) that makes the fitted line level: negative for maps that fall off."""
        return 4.0 * self.slope


@dataclass(frozen=True, eq=False)
class Sharpened:
    """A sharpened map and what was done to it.

    Attributes
    ----------
    map
        (N, N, N).
    guinier
        None where the B-factor was given, or could not be fitted.
    bfactor_a2
        B in exp(-B / 4 k^2), negative for a map that was sharpened.
    lowpass_a
        Resolution at which it was cut.
    problem
        Why no B-factor was fitted, so that 0 was used; empty otherwise.
    """

    map: Volume
    guinier: Guinier | None
    bfactor_a2: float
    lowpass_a: float
    problem: str = ""


def fsc_weight(curve: Curve) -> Curve:
    """Weight of every shell, sqrt(2 FSC / (1 + FSC)) up to the first shell of no correlation, 0 from there on.

    It is the estimated correlation of the map of all particles with the truth. Shell 0 has weight 1.
    """
    weights = np.zeros(len(curve))
    end = np.flatnonzero(curve[1:] < _LEAST_FSC)
    seen = slice(1, len(curve) if len(end) == 0 else int(end[0]) + 1)
    weights[0] = 1.0
    weights[seen] = np.sqrt(2.0 * curve[seen] / (1.0 + curve[seen]))
    return weights


def cross_weight(correlation: Curve) -> Curve:
    """Weight of every shell where the correlation of the map with the truth is known: that, up to where it ends.

    Shell 0 has weight 1.
    """
    weights = np.clip(correlation, 0.0, 1.0)
    end = np.flatnonzero(weights[1:] < _LEAST_FSC)
    if len(end):
        weights[int(end[0]) + 1 :] = 0.0
    weights[0] = 1.0
    return np.asarray(weights)


def sharpen(
    volume: Volume,
    pixel_size_a: float,
    weights: Curve,
    resolution_a: float,
    bfactor_a2: float | None = None,
    lowest_a: float = GUINIER_FROM_A,
    highest_a: float = 0.0,
    workers: int = 1,
) -> Sharpened:
    """Weight a map by its correlation with the truth, level its amplitudes, and cut it at its resolution.

    Where no B-factor can be fitted the map is weighted and cut alone, and ``problem`` says why.

    Parameters
    ----------
    volume
        (N, N, N), the map of all particles.
    pixel_size_a
        Å.
    weights
        One for each of the shells 0 .. N//2: :func:`fsc_weight` of the half-map FSC, corrected for the mask, or
        :func:`cross_weight` of the cross-FSC.
    resolution_a
        Å; a cosine edge of two shells about it ends the map.
    bfactor_a2
        B in exp(-B / 4 k^2), negative to sharpen; None fits it.
    lowest_a, highest_a
        Coarsest and finest resolution of the fit.
    workers
        Threads of the Fourier transforms.
    """
    n = len(volume)
    transform = np.asarray(scipy.fft.rfftn(volume, workers=workers))
    fitted, problem = None, ""
    if bfactor_a2 is None:
        try:
            fitted = guinier(transform, weights, pixel_size_a, lowest_a, highest_a)
        except InputError as error:
            problem = str(error)
        bfactor_a2 = 0.0 if fitted is None else fitted.bfactor_a2
    cutoff = n * pixel_size_a / resolution_a
    by_shell = np.zeros(int(fourier_shells(n).numbers.max()) + 1)
    by_shell[: len(weights)] = weights
    plane = (frequencies(n) ** 2)[:, None] + np.arange(n // 2 + 1) ** 2
    for kz, shell, values in zip(frequencies(n), fourier_shells(n).numbers, transform, strict=True):
        k = np.sqrt(plane + kz**2)
        edge = raised_cosine_edge(k - (cutoff - FILTER_EDGE_SHELLS / 2.0), FILTER_EDGE_SHELLS)
        # Shells are rounded radii, but nothing beyond the sphere of radius N/2 is kept.
        kept = by_shell[shell] * (k <= n // 2)
        values *= kept * edge * np.exp(-0.25 * bfactor_a2 * (k / (n * pixel_size_a)) ** 2)
    sharpened = scipy.fft.irfftn(transform, s=volume.shape, axes=(0, 1, 2), workers=workers)
    return Sharpened(np.asarray(sharpened, np.float32), fitted, bfactor_a2, resolution_a, problem)


def guinier(
    transform: Complex[np.ndarray, "n n h"],
    weights: Curve,
    pixel_size_a: float,
    lowest_a: float = GUINIER_FROM_A,
    highest_a: float = 0.0,
) -> Guinier:
    """Fit the fall-off of a map, weighted, from ``lowest_a`` to ``highest_a`` or the last shell that has a weight.

    Parameters
    ----------
    transform
        Half-complex transform (N, N, N//2 + 1) of the map, plain sums over voxels.
    weights
        One for each of the shells 0 .. N//2 (:func:`fsc_weight`, :func:`cross_weight`).
    pixel_size_a
        Å.
    lowest_a, highest_a
        Coarsest and finest resolution in the fit.

    Raises
    ------
    InputError
        If fewer than three shells are left for the fit.
    """
    n = len(transform)
    numbers = fourier_shells(n).numbers
    length = len(weights)
    # Points as they lie in memory, as RELION counts them: those with kx = 0 beside their mates, all others alone.
    counts, sums = np.zeros(length), np.zeros(length)
    for shell, plane in zip(numbers, transform, strict=True):
        inside = shell < length
        counts += np.bincount(shell[inside], minlength=length)
        sums += np.bincount(shell[inside], np.abs(plane[inside]), length)
    # RELION's transforms are divided by the number of voxels.
    mean = sums / counts / n**3
    with np.errstate(divide="ignore"):
        log_amplitudes, log_weighted = np.log(mean), np.log(mean * weights)
    inverse_d2 = (np.arange(length) / (n * pixel_size_a)) ** 2
    # Rounding must not cost the shell of the resolution itself.
    in_range = (inverse_d2 * lowest_a**2 >= 1.0) & (inverse_d2 * highest_a**2 <= 1.0 + 1e-9)
    chosen = np.flatnonzero(in_range & np.isfinite(log_weighted))
    if len(chosen) < _LEAST_SHELLS:
        raise InputError(
            f"A B-factor cannot be fitted: {len(chosen)} shells lie between {lowest_a:g} Å and the end of the signal; "
            f"expected {_LEAST_SHELLS} or more: give a B-factor, or fit from a coarser resolution."
        )
    x, y = inverse_d2[chosen], log_weighted[chosen]
    slope, intercept = np.polyfit(x, y, 1)
    return Guinier(
        inverse_d2=inverse_d2,
        log_amplitudes=log_amplitudes,
        log_weighted=log_weighted,
        first_shell=int(chosen[0]),
        last_shell=int(chosen[-1]),
        slope=float(slope),
        intercept=float(intercept),
        correlation=float(np.corrcoef(x, y)[0, 1]),
    )
