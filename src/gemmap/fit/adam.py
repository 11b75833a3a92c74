"""Adam on the parameters of Gaussians, with moments that follow when Gaussians are added or taken away.

Kingma & Ba 2015 (arXiv 1412.6980), except for the term added to the denominator, which is relative to the mean of the
tensor: Gaussians in noise-free corners must not move at full rate, and no result may depend on a unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gemmap.fit.parameters import Parameters, clone

#: Usual learning rates: centres in voxels, log scales, quaternions, log masses.
RATES = (0.06, 0.02, 0.02, 0.02)
BETAS = (0.9, 0.99)
#: Added to the denominator, relative to its mean. The larger, the more steps are in proportion to derivatives, and the
#: less moves what only noise pulls. Derivatives of batches are noise all over: a small one does for them.
RELATIVE_EPSILON, OF_BATCHES = 1.0, 0.3


@dataclass
class Adam:
    """Moments of the four tensors of :class:`Parameters`, and the number of steps done."""

    first: list[Tensor]
    second: list[Tensor]
    steps: int = 0
    relative_epsilon: float = RELATIVE_EPSILON

    @classmethod
    def at_rest(cls, parameters: Parameters, relative_epsilon: float = RELATIVE_EPSILON) -> "Adam":
        """Moments before the first step."""
        first, second = ([torch.zeros_like(t) for t in parameters.tensors()] for _ in range(2))
        return cls(first, second, 0, relative_epsilon)

    def copy(self) -> "Adam":
        """Return moments that share no memory."""
        return Adam(
            [m.clone() for m in self.first], [v.clone() for v in self.second], self.steps, self.relative_epsilon
        )

    def step(self, parameters: Parameters, slopes: list[Tensor], rates: Sequence[float] = RATES) -> Parameters:
        """Return the parameters one step further downhill; ``rates`` are about what each may change by."""
        self.steps += 1
        moved = clone(parameters)
        for value, slope, m, v, rate in zip(moved.tensors(), slopes, self.first, self.second, rates, strict=True):
            m.mul_(BETAS[0]).add_(slope, alpha=1.0 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(slope, slope, value=1.0 - BETAS[1])
            scale = (v / (1.0 - BETAS[1] ** self.steps)).sqrt()
            scale = scale + self.relative_epsilon * scale.mean() + 1e-12
            value.addcdiv_(m, scale, value=-rate / (1.0 - BETAS[0] ** self.steps))
        return moved

    def follow(self, source: Int[Tensor, " n"], is_new: Bool[Tensor, " n"]) -> None:
        """Make Gaussian i carry on with the moments of Gaussian ``source[i]``, or from rest where ``is_new``."""
        keep = (~is_new).to(self.first[0].dtype)
        for moments in (self.first, self.second):
            for place, old in enumerate(moments):
                moments[place] = old[source] * keep.reshape(-1, *([1] * (old.ndim - 1)))
