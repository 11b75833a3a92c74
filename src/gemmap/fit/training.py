"""Where a training is: all that it takes to go on from there, and whether it still goes downhill."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.fit.adam import OF_BATCHES, Adam
from gemmap.fit.parameters import Parameters

#: The loss has grown beyond doubt when its mean is so many standard errors above that of the start.
DOUBTLESS_ERRORS = 5.0


@dataclass(frozen=True)
class MeanLoss:
    """Mean loss of some images in nats, the standard deviation of one image's, and how many images it was."""

    mean: float
    spread: float
    n_images: int

    @classmethod
    def of(cls, losses: Float[Tensor, " n"]) -> "MeanLoss":
        """The mean of these losses; a single one is said to be uncertain by all of itself."""
        many = losses.double()
        spread = many.std() if len(many) > 1 else many.abs().max()
        return cls(float(many.mean()), float(spread), len(many))

    @property
    def is_finite(self) -> bool:
        """Whether the mean is a number."""
        return math.isfinite(self.mean)

    def is_above(self, start: "MeanLoss") -> bool:
        """Whether it is higher than that of the start, beyond doubt.

        Images scatter as they do at the start: when steps diverge their losses scatter as wildly as they grow.
        """
        error = start.spread * math.sqrt(1.0 / self.n_images + 1.0 / start.n_images)
        return self.mean > start.mean + DOUBTLESS_ERRORS * error


#: Before any image was seen.
UNKNOWN = MeanLoss(math.nan, math.nan, 0)


@dataclass(frozen=True, eq=False)
class State:
    """After ``number`` batches: Gaussians, moments, and how strongly each centre was pulled since the last growth.

    ``first`` is the loss of the start, ``loss`` that of the batches since the state before.
    """

    number: int
    parameters: Parameters
    adam: Adam
    pull: Float[Tensor, " n"]
    first: MeanLoss
    loss: MeanLoss

    @classmethod
    def at_rest(cls, parameters: Parameters, loss: MeanLoss = UNKNOWN) -> "State":
        """Before the first batch."""
        return cls(
            0, parameters, Adam.at_rest(parameters, OF_BATCHES), torch.zeros_like(parameters.log_masses), loss, loss
        )
