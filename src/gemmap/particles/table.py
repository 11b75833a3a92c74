"""The one table of particles: units and conventions are fixed here, whatever file it came from."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from gemmap._types import Int, PerParticle, Rotations, Shifts
from gemmap.errors import InputError
from gemmap.physics.ctf import CtfParameters


@dataclass(frozen=True)
class OpticsGroup:
    """Particles recorded under the same conditions; each group has its own noise spectrum."""

    name: str
    pixel_size_a: float
    box_px: int | None = None


@dataclass(frozen=True, eq=False)
class ParticleTable:
    """Poses, CTFs, half-sets and image addresses of n particles.

    Attributes
    ----------
    rotations
        (n, 3, 3), A with ``p_img = A p_vol`` (xyz column vectors; docs/conventions.md).
    shifts_a
        (n, 2), (x, y) in Å; the content of the observed image moves by +s to be centred (RELION's sign).
    ctf
        CTF parameters of every particle, or None for images said to carry no CTF.
    scale
        (n,), multiplies the projection (cryoSPARC's alpha); 1 when the file has none.
    optics_group
        (n,), index into ``optics``, 0-based.
    half
        (n,), 1 or 2, or 0 where the file gives no half-set.
    stack_of
        (n,), index into ``stacks``, 0-based.
    index_in_stack
        (n,), 0-based image number in that stack.
    stacks
        Paths as written in the file (io resolves them against a folder).
    image_sign
        (n,), +1, or -1 where the file says that the particle is dark on disk; multiplies the pixels.
    """

    rotations: Rotations
    shifts_a: Shifts
    ctf: CtfParameters | None
    scale: PerParticle
    optics_group: Int[np.ndarray, " n"]
    optics: tuple[OpticsGroup, ...]
    half: Int[np.ndarray, " n"]
    stack_of: Int[np.ndarray, " n"]
    index_in_stack: Int[np.ndarray, " n"]
    stacks: tuple[str, ...]
    image_sign: PerParticle

    def __post_init__(self) -> None:
        n = len(self.rotations)
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray) and len(value) != n:
                raise InputError(f"Column {f.name} has {len(value)} rows; expected {n}, one per particle.")
        if self.ctf is not None and len(self.ctf) != n:
            raise InputError(f"CTF table has {len(self.ctf)} rows; expected {n}, one per particle.")
        for name in ("rotations", "shifts_a", "scale", "image_sign"):
            finite = np.isfinite(getattr(self, name))
            bad = ~finite.all(axis=tuple(range(1, finite.ndim)))
            if bad.any():
                raise InputError(
                    f"{int(bad.sum())} of {n} particles have a value in {name} that is not a number "
                    f"(the first is particle {int(np.flatnonzero(bad)[0]) + 1}): remove them from the file."
                )
        if n and (self.optics_group.min() < 0 or self.optics_group.max() >= len(self.optics)):
            raise InputError(f"A particle names an optics group outside the {len(self.optics)} given.")
        if n and (self.stack_of.min() < 0 or self.stack_of.max() >= len(self.stacks)):
            raise InputError(f"A particle names an image stack outside the {len(self.stacks)} given.")

    def __len__(self) -> int:
        return len(self.rotations)

    def select(self, rows: np.ndarray) -> Self:
        """Return the table of the given rows (indices or boolean mask), in that order."""
        new = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, **new, ctf=None if self.ctf is None else self.ctf.select(rows))

    @property
    def pixel_size_a(self) -> float:
        """The pixel size shared by all optics groups, in Å.

        Raises
        ------
        InputError
            If the groups differ by more than 0.01 %.
        """
        sizes = sorted({g.pixel_size_a for g in self.optics})
        if not sizes or sizes[-1] - sizes[0] > 1e-4 * sizes[-1]:
            raise InputError(
                f"Optics groups have different pixel sizes ({', '.join(f'{s:g}' for s in sizes)} Å); "
                "give particles of one pixel size, or override it with --pixel-size."
            )
        return sizes[0]
