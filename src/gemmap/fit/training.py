"""Where a training is: all that it takes to go on from there, and whether it still goes downhill."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.fit.adam import Adam
from gemmap.fit.parameters import Parameters

#: The loss has grown beyond doubt when its mean over some images is so many standard errors above that of the start.
DOUBTLESS_ERRORS = 5.0


@dataclass(frozen=True)
class MeanLoss:
    """Mean loss of some images in nats, and its standard error from their scatter."""

    mean: float
    error: float

    @classmethod
    def of(cls, losses: Float[Tensor, " n"]) -> "MeanLoss":
        """The mean of these losses; of a single one the error is unknown, infinite."""
        many = losses.double()
        return cls(float(many.mean()), float(many.std()) / math.sqrt(len(many)) if len(many) > 1 else math.inf)

    @property
    def is_finite(self) -> bool:
        """Whether the mean is a number."""
        return math.isfinite(self.mean)

    def is_above(self, other: "MeanLoss") -> bool:
        """Whether it is higher than another, beyond doubt."""
        return self.mean > other.mean + DOUBTLESS_ERRORS * math.hypot(self.error, other.error)


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
    def at_rest(cls, parameters: Parameters, loss: MeanLoss = MeanLoss(math.nan, math.nan)) -> "State":
        """Before the first batch."""
        return cls(0, parameters, Adam.at_rest(parameters), torch.zeros_like(parameters.log_masses), loss, loss)
