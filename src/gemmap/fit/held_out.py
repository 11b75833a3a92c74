"""The score that stops a fit: how well it predicts particles of the *same half* that it has not seen.

Trial fits see three quarters of a half; the last quarter is held out. A trial is correlated, shell by shell, with the
back-projection of the held-out particles. Correlation ignores the scale of each shell, which the squared error does not
(docs/decisions.md), and the shells are weighted so that the sum follows the mean FSC with the truth: dividing by
sqrt(FSC) of the back-projections of both sets turns a correlation with a noisy map into one with the truth; shells in
which those do not agree count little.

The held-out particles are few and noisy, and so is the score. What their noise does to the difference of two scores is
known, since it acts only on what the two maps do not share: a setting is preferred to a safer one only if its score is
better by more than that.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.geometry.grids import shell_index

#: An FSC of this much between seen and held-out particles halves the weight of a shell.
HALF_WEIGHT_FSC = 0.01


@dataclass(frozen=True, eq=False)
class Scored:
    """A map's score, with its windowed transform, by which it is compared with other maps."""

    value: float
    transform: Tensor


class HeldOutScore:
    """Shell-wise, scale-free score of maps against the back-projection of held-out particles (cubes on one device)."""

    def __init__(
        self,
        seen: Float[Tensor, "d d d"],
        held_out: Float[Tensor, "d d d"],
        window: Float[Tensor, "d d d"],
        order: int = 1,
    ) -> None:
        size = held_out.shape[0]
        self._window = window
        self._shell = torch.from_numpy(shell_index(size, 3).ravel()).clamp_max(size // 2 + 1).to(held_out.device)
        self._count = size // 2 + 1
        everything = torch.ones((size, size, size // 2 + 1), dtype=torch.complex64, device=held_out.device)
        #: Independent Fourier coefficients of a shell, real and imaginary parts counted; of symmetric maps, ``order``
        #: coefficients are the same.
        self._independent = self._total(everything, everything) * (window.double() ** 2).mean() / order
        self._target = torch.fft.rfftn(held_out * window)
        self._target_power = self._total(self._target, self._target)
        agreement = self._correlation(torch.fft.rfftn(seen * window))
        smooth = torch.nn.functional.avg_pool1d(agreement[None, None], 5, stride=1, padding=2, count_include_pad=False)
        smooth = smooth[0, 0].clamp_min(1e-4)
        self.weights = smooth / (smooth + HALF_WEIGHT_FSC) / smooth.sqrt()
        self.weights[0] = 0.0

    @property
    def device(self) -> torch.device:
        """Where maps are compared."""
        return self._window.device

    def __call__(self, volume: Float[Tensor, "d d d"]) -> float:
        """Weighted mean correlation; larger is better, the scale of each shell does not matter."""
        return self.measure(volume).value

    def measure(self, volume: Float[Tensor, "d d d"]) -> Scored:
        """Return the score of a map with what :meth:`error` needs."""
        transform = torch.fft.rfftn(volume * self._window)
        return Scored(self._mean(self.weights * self._correlation(transform)), transform)

    def error(self, a: Scored, b: Scored) -> float:
        """Standard deviation of the difference of two scores if the held-out particles were nothing but noise.

        Shell by shell the maps, brought to unit power, differ by 2 - 2 FSC(a, b); a random map projects onto that
        difference with this variance over the number of independent coefficients.
        """
        powers = self._total(a.transform, a.transform) * self._total(b.transform, b.transform)
        shared = self._total(a.transform, b.transform) / powers.clamp_min(1e-30).sqrt()
        variance = self.weights**2 * (2.0 - 2.0 * shared).clamp_min(0.0) / self._independent.clamp_min(1.0)
        return math.sqrt(float(variance[1:].sum())) / (self._count - 1)

    def better(self, new: Scored, old: Scored) -> bool:
        """Whether ``new`` scores better than ``old`` by more than the error of the difference."""
        return new.value > old.value + self.error(new, old)

    def _mean(self, curve: Tensor) -> float:
        return float(curve.sum() / (self._count - 1))

    def _correlation(self, transform: Tensor) -> Tensor:
        power = self._total(transform, transform)
        curve: Tensor = self._total(transform, self._target) / (power * self._target_power).clamp_min(1e-30).sqrt()
        return curve

    def _total(self, a: Tensor, b: Tensor) -> Tensor:
        product = (a.real * b.real + a.imag * b.imag).double()
        # The half-complex array holds one of each pair of Friedel mates, except on the plane x = 0.
        product[..., 1:] *= 2.0
        total = torch.zeros(self._count + 1, dtype=torch.float64, device=a.device)
        return total.index_add_(0, self._shell, product.ravel())[: self._count]
