"""What the Gaussians could not represent, added back where the data show that it is signal.

The map is V + IFFT((N - W F) / (W + 1/tau^2)) / apod with F the transform of apod V: the posterior mean when V is the
prior mean and tau^2 the prior variance of its error in each shell. tau^2 is measured on held-out particles: the power
of their residual to a fit that has not seen them, less the power of noise, which the difference of two independent
sets gives.
"""

import numpy as np

from gemmap._types import Complex, Curve, Float, Volume
from gemmap.fit.aggregate import Aggregate
from gemmap.fit.backprojection import to_fourier_space, to_real_space
from gemmap.geometry.grids import frequencies

#: The excess of a shell counts as far as it exceeds this many standard deviations of the noise's own power.
SIGNIFICANCE = 1.5
#: Shells over which numerator and denominator of tau^2 are averaged on both sides.
SMOOTHING_SHELLS = 3


def error_variance(trial: Volume, seen: Aggregate, held_out: Aggregate) -> Curve:
    """Variance tau^2 of apod (truth - trial) per Fourier coefficient, shells 0 .. D//2, measured on held-out particles.

    ``trial`` (grey values) was fitted to ``seen`` alone. Negative estimates are 0.
    """
    shell = _shells(held_out)
    weight = held_out.weight
    residual = held_out.numerator - weight * to_fourier_space(trial, held_out.grid_px)
    # Noise of N_b from the combination of both sets in which the signal cancels exactly. Where views are sparse it
    # comes out some percent too low, since the combination favours points that many slices share.
    total = np.maximum(seen.weight + weight, np.float32(1e-30))
    contrast = (held_out.numerator * seen.weight - seen.numerator * weight) / total
    measured = _sum(np.abs(contrast) ** 2, shell) / np.maximum(_sum(weight * seen.weight / total, shell), 1e-30)
    noise = measured * _sum(weight, shell)
    # Neighbouring points of the oversampled grid are not independent: count those of the grid of the box.
    points = np.bincount(shell) * (held_out.box_px / held_out.grid_px) ** 3
    excess = _sum(np.abs(residual) ** 2, shell) - noise * (1.0 + SIGNIFICANCE / np.sqrt(np.maximum(points, 1.0)))
    window = np.ones(2 * SMOOTHING_SHELLS + 1)
    excess = np.convolve(excess, window, mode="same")
    power = np.convolve(_sum(weight.astype(np.float64) ** 2, shell), window, mode="same")
    return np.asarray(np.clip(excess / np.maximum(power, 1e-30), 0.0, None)[: held_out.box_px // 2 + 1])


def add_residual(volume: Volume, aggregate: Aggregate, variance: Curve, envelope: Float[np.ndarray, "d d d"]) -> Volume:
    """Return ``volume`` plus its damped residual inside ``envelope`` (0..1).

    The error lives where the particle is, the noise everywhere in the box: ``variance``, an average over the box, is
    that much larger inside the envelope.
    """
    shell = _shells(aggregate)
    tau2 = np.zeros(int(shell.max()) + 1)
    tau2[: len(variance)] = variance / max(float(np.mean(envelope.astype(np.float64) ** 2)), 1e-6)
    tau2[-1] = 0.0
    tau2 = tau2.astype(np.float32)[shell].reshape(aggregate.weight.shape)
    residual = aggregate.numerator - aggregate.weight * to_fourier_space(volume, aggregate.grid_px)
    damped: Complex[np.ndarray, "m m h"] = residual * (tau2 / (aggregate.weight * tau2 + np.float32(1.0)))
    return np.asarray(volume + to_real_space(damped, aggregate.box_px) * envelope, np.float32)


def _shells(aggregate: Aggregate) -> np.ndarray:
    """Flat shell numbers of the oversampled grid, in shells of the box; everything beyond D//2 in one last shell."""
    m, ratio = aggregate.grid_px, aggregate.box_px / aggregate.grid_px
    k = frequencies(m) * ratio
    x = np.arange(m // 2 + 1) * ratio
    radius = np.sqrt((k**2)[:, None, None] + (k**2)[None, :, None] + (x**2)[None, None, :]).astype(np.float32)
    return np.asarray(np.minimum(np.floor(radius + 0.5), aggregate.box_px // 2 + 1), np.int32).ravel()


def _sum(values: np.ndarray, shell: np.ndarray) -> Curve:
    return np.asarray(np.bincount(shell, values.ravel()))
