"""What the Gaussians could not represent, added back where the data show that it is signal.

The map is V + IFFT((N - W F) / (W + 1/tau^2)) / apod with F the transform of apod V: the posterior mean when V is the
prior mean and tau^2 the prior variance of its error in each shell. tau^2 is measured on particles that V has not seen:
two sets of them have independent noise, so the product of their residuals N_1 - W_1 F and N_2 - W_2 F is, on average,
W_1 W_2 times the power of the error alone, whatever the noise is.
"""

import numpy as np
from torch import Tensor

from gemmap._types import Curve, Float, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import to_real_space, transform_of
from gemmap.fit.grid_planes import over_planes
from gemmap.geometry.grids import frequencies
from gemmap.geometry.symmetry import point_group

#: Standard deviations of its noise by which the measured variance is lowered: what is not seen is not added.
SIGNIFICANCE = 1.0
#: Shells on both sides over which tau^2 is averaged.
SMOOTHING_SHELLS = 1


def error_variance(trial: Volume, first: Aggregate, second: Aggregate) -> Curve:
    """Variance tau^2 of apod (truth - trial) per Fourier coefficient, shells 0 .. D//2, by two sets of particles.

    ``trial`` (grey values) was fitted to neither of the sets. Estimates below 0 are 0.
    """
    from gemmap.kernels.cpu_planes import sum_residuals

    m, box = first.grid_px, first.box_px
    transform = transform_of(trial, m)
    numerators, weights = (first.numerator, second.numerator), (first.weight, second.weight)

    def add(some: slice) -> Float[np.ndarray, "3 s"]:
        sums = np.zeros((3, box // 2 + 2))
        sum_residuals(transform(some).numpy(), numerators, weights, some.start, box / m, sums)
        return sums

    # Noise makes real and imaginary part of the product equally large, and neighbours independent in sign.
    excess, noise, power = (_smooth(curve) for curve in np.sum(over_planes(add, m), axis=0))
    # Under a group, one particle's noise is in as many coefficients as it serves views.
    views = len(point_group(first.symmetry))
    found = (excess - SIGNIFICANCE * np.sqrt(views * noise)) / np.maximum(power, 1e-30)
    return np.asarray(np.clip(found, 0.0, None)[: box // 2 + 1])


def _smooth(curve: Curve) -> Curve:
    return np.convolve(curve, np.ones(2 * SMOOTHING_SHELLS + 1), mode="same")


def add_residual(volume: Volume, aggregate: Aggregate, variance: Curve, window: Float[np.ndarray, "d d d"]) -> Volume:
    """Return ``volume`` plus its damped residual inside ``window`` (0..1).

    The error lives in the window, the noise everywhere in the box: ``variance``, an average over the box, is that much
    larger inside the window.
    """
    from gemmap.kernels.cpu_planes import damp_residual

    m, box = aggregate.grid_px, aggregate.box_px
    transform = transform_of(volume, m)
    # None beyond the last shell.
    tau2 = np.zeros(box // 2 + 2, np.float32)
    tau2[: len(variance)] = variance / max(float(np.mean(window.astype(np.float64) ** 2)), 1e-6)

    def damped(some: slice) -> Tensor:
        planes = transform(some)
        damp_residual(planes.numpy(), aggregate.numerator, aggregate.weight, tau2, some.start, box / m)
        return planes

    return np.asarray(volume + to_real_space(damped, m, box) * window, np.float32)


def grid_shells(aggregate: Aggregate) -> np.ndarray:
    """Flat shell numbers of the oversampled grid, in shells of the box; everything beyond D//2 in one last shell."""
    m, ratio = aggregate.grid_px, aggregate.box_px / aggregate.grid_px
    k = frequencies(m) * ratio
    x = np.arange(m // 2 + 1) * ratio
    radius = np.sqrt((k**2)[:, None, None] + (k**2)[None, :, None] + (x**2)[None, None, :]).astype(np.float32)
    return np.asarray(np.minimum(np.floor(radius + 0.5), aggregate.box_px // 2 + 1), np.int32).ravel()
