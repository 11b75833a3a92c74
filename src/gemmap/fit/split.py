"""The particles of one half, divided: most for trial fits, the rest held out to judge them."""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Int
from gemmap.fit.aggregate import Aggregate

#: Of every eight particles six are seen by trial fits, and one goes to each of the two held-out sets.
_PLACES = (0, 0, 0, 1, 0, 0, 0, 2)
#: Fewer particles in a half leave one of the sets empty.
LEAST_PARTICLES = len(_PLACES)


@dataclass(frozen=True, eq=False)
class Split:
    """Aggregates of disjoint particles of one half.

    ``seen`` is what trial fits are made from. The held-out particles are kept as two sets, whose noise is independent:
    the product of their residuals to a trial measures its error without knowing the noise.
    """

    seen: Aggregate
    held_out: tuple[Aggregate, Aggregate]

    def all_held_out(self) -> Aggregate:
        """Both held-out sets together."""
        return self.held_out[0] + self.held_out[1]

    def total(self) -> Aggregate:
        """All particles of the half."""
        return self.seen + self.held_out[0] + self.held_out[1]


def places(n: int) -> Int[np.ndarray, " n"]:
    """Where the particles of a half go, in the order of the table: 0 seen, 1 and 2 the held-out sets."""
    return np.resize(np.array(_PLACES), n)
