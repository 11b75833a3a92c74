"""How the images engine fits: start, epochs, batches, rates, and growth."""

import math
from dataclasses import dataclass
from typing import Literal

from gemmap.errors import InputError

Loss = Literal["whitened", "mse"]
Start = Literal["aggregate", "random"]
Rates = tuple[float, float, float, float]

#: First learning rates (centres in voxels, log scales, quaternions, log masses) and epochs, by the start: one that is
#: nearly right, or Gaussians at random.
RATES: dict[Start, Rates] = {"aggregate": (0.015, 0.005, 0.005, 0.005), "random": (0.06, 0.02, 0.02, 0.05)}
EPOCHS: dict[Start, int] = {"aggregate": 3, "random": 10}
#: From a random start, rates stay high and the number of Gaussians grows until this part of the epochs is done; it
#: grows this many times an epoch.
SEARCH, GROWTHS_PER_EPOCH = 0.6, 4
#: Part of the Gaussians that is divided each time; and how many of those allowed a random start has.
GROWTH, RANDOM_PART = 0.05, 0.5
#: The loss is recorded and watched this many times an epoch.
WINDOWS_PER_EPOCH = 4


@dataclass(frozen=True)
class Schedule:
    """Options of the images engine.

    Attributes
    ----------
    epochs
        Visits to every particle; None takes those of the start.
    batch_size
        Images per step.
    loss
        ``whitened`` weighs every frequency by the noise there, ``mse`` all alike: the plain squared error.
    start
        ``aggregate``: the voxels fitted to all particles at once; ``random``: Gaussians anywhere in the particle's
        sphere, as in the paper.
    rate
        Factor on all learning rates.
    """

    epochs: int | None = None
    batch_size: int = 32
    loss: Loss = "whitened"
    start: Start = "aggregate"
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise InputError(f"Number of epochs is {self.epochs}; expected at least 1.")
        if self.batch_size < 1:
            raise InputError(f"Batch size is {self.batch_size}; expected at least 1 image.")
        if not 0 < self.rate < math.inf:
            raise InputError(f"Rate is {self.rate:g}; expected a factor above 0, 1 for the usual learning rates.")

    def require_batch(self, n_particles: int) -> None:
        """Raise InputError if there are fewer particles than a batch holds."""
        if self.batch_size > n_particles:
            raise InputError(
                f"A batch of {self.batch_size} images was asked for, but there are {n_particles} particles in a fit; "
                "give a smaller --batch-size."
            )

    def batches(self, n_particles: int) -> int:
        """Batches per epoch."""
        return math.ceil(n_particles / self.batch_size)

    @property
    def all_epochs(self) -> int:
        """Visits to every particle."""
        return EPOCHS[self.start] if self.epochs is None else self.epochs

    def steps(self, n_particles: int) -> int:
        """Steps in all."""
        return self.all_epochs * self.batches(n_particles)

    def rates(self, epochs_done: float) -> Rates:
        """Learning rates.

        They fall as 1/time in the end, which averages the noise of the batches out (Robbins & Monro 1951).
        """
        if self.start == "aggregate":
            factor = 1.0 / (1.0 + epochs_done)
        else:
            late = max(0.0, epochs_done / self.all_epochs - SEARCH) / (1.0 - SEARCH)
            factor = 1.0 / (1.0 + 9.0 * late)
        centres, log_scales, quaternions, log_masses = (self.rate * factor * r for r in RATES[self.start])
        return centres, log_scales, quaternions, log_masses

    def ends_window(self, number: int, n_particles: int) -> bool:
        """Whether the loss is recorded after this step: some times an epoch, and at the end."""
        batches = self.batches(n_particles)
        return number % max(1, batches // WINDOWS_PER_EPOCH) == 0 or number == self.steps(n_particles)

    def densifies_after(self, number: int, n_particles: int) -> bool:
        """Whether the number of Gaussians changes after this step."""
        batches = self.batches(n_particles)
        searching = self.start == "random" and number <= SEARCH * self.steps(n_particles)
        return searching and number % max(1, batches // GROWTHS_PER_EPOCH) == 0
