"""The particles of one half, divided: most for trial fits, the rest held out to judge them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from gemmap._types import Int
from gemmap.fit.aggregate import Aggregate
from gemmap.particles.halves import by_appearance

#: Of every eight particles six are seen by trial fits, and one goes to each of the two held-out sets.
_PLACES = (0, 0, 0, 1, 0, 0, 0, 2)
#: One seen, two held out.
N_SETS = 3
#: Fewer particles with images of their own in a half leave one of the sets empty.
LEAST_PARTICLES = len(_PLACES)


@dataclass(frozen=True, eq=False)
class Split:
    """Aggregates of disjoint particles of one half.

    ``seen`` is what trial fits are made from. The held-out particles are kept as two sets, whose noise is independent:
    the product of their residuals to a trial measures its error without knowing the noise.
    """

    seen: Aggregate
    held_out: tuple[Aggregate, Aggregate]

    @classmethod
    def of(cls, sets: Sequence[Aggregate]) -> Self:
        """Return the split of the seen and the two held-out sets, in this order."""
        seen, first, second = sets
        return cls(seen, (first, second))

    def sets(self) -> tuple[Aggregate, Aggregate, Aggregate]:
        """Return the seen and the two held-out sets."""
        return self.seen, *self.held_out

    def __add__(self, other: Self) -> Self:
        """Add, set by set, the particles of another part of the same half."""
        return type(self).of([a + b for a, b in zip(self.sets(), other.sets(), strict=True)])

    def all_held_out(self) -> Aggregate:
        """Both held-out sets together."""
        return self.held_out[0] + self.held_out[1]

    def total(self) -> Aggregate:
        """All particles of the half."""
        return self.seen + self.held_out[0] + self.held_out[1]


def places(images: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Where the particles of a half go: 0 seen, 1 and 2 the held-out sets.

    ``images`` numbers the image of every particle (:attr:`gemmap.particles.table.ParticleTable.original_image`), in the
    order of the table: copies that share an image, and so its noise, go to the same set.
    """
    return np.asarray(np.array(_PLACES)[by_appearance(images) % len(_PLACES)])
