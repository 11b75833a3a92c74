"""When the images engine takes which step: epochs, batches, rates, and growth."""

import math
from dataclasses import dataclass

from gemmap.errors import InputError

#: Rates fall exponentially to this part of the first ones.
LAST_FACTOR = 0.1
#: The number of Gaussians changes this many times an epoch, until this part of the steps is done.
GROWTHS_PER_EPOCH, GROWTH_UNTIL = 4, 0.6


@dataclass(frozen=True)
class Schedule:
    """Options of the images engine.

    Attributes
    ----------
    epochs
        Visits to every particle.
    batch_size
        Images per step.
    whitened
        Weigh every frequency by the noise, or (False) all alike: the plain squared error.
    growth
        Part of the Gaussians that is divided each time, 0 for a constant number.
    """

    epochs: int = 3
    batch_size: int = 32
    whitened: bool = True
    growth: float = 0.05

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"Number of epochs is {self.epochs}; expected at least 1.")
        if self.batch_size < 1:
            raise InputError(f"Batch size is {self.batch_size}; expected at least 1 image.")
        if not 0.0 <= self.growth <= 1.0:
            raise InputError(f"Growth is {self.growth:g}; expected a fraction from 0 to 1.")

    def batches(self, n_particles: int) -> int:
        """Batches per epoch."""
        return math.ceil(n_particles / self.batch_size)

    def steps(self, n_particles: int) -> int:
        """Steps in all."""
        return self.epochs * self.batches(n_particles)

    def factor(self, done: float) -> float:
        """Factor on the rates when this part of the steps is done."""
        return math.exp(done * math.log(LAST_FACTOR))

    def densifies_after(self, number: int, total: int) -> bool:
        """Whether the number of Gaussians changes after this step of ``total``."""
        every = max(1, total // (self.epochs * GROWTHS_PER_EPOCH))
        return self.growth > 0 and number % every == 0 and number <= GROWTH_UNTIL * total
