"""Which image of which stack each particle is: the part of a particle file that every format has."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np

from gemmap._types import Int, PerParticle

#: What a file that names images is: a RELION or cryoSPARC particle file, a list of stacks, or a stack itself.
FileKind: TypeAlias = Literal["star", "cs", "txt", "mrc"]


@dataclass(frozen=True, eq=False)
class ImageList:
    """Image addresses of n particles.

    Attributes
    ----------
    stacks
        Paths as written in the file.
    stack_of
        (n,), index into ``stacks``.
    index_in_stack
        (n,), 0-based image number in that stack.
    sign
        (n,), +1, or -1 where the file says that particles are dark on disk.
    half
        (n,), 1 or 2, or 0 where the file gives no half-set.
    """

    stacks: tuple[str, ...]
    stack_of: Int[np.ndarray, " n"]
    index_in_stack: Int[np.ndarray, " n"]
    sign: PerParticle
    half: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.stack_of)

    def select(self, rows: np.ndarray) -> Self:
        """Return the images of the given rows, in that order."""
        return type(self)(self.stacks, self.stack_of[rows], self.index_in_stack[rows], self.sign[rows], self.half[rows])
