"""The one table of particles: units and conventions are fixed here, whatever file it came from."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from gemmap._types import Int, PerParticle, Rotations, Shifts
from gemmap.errors import InputError
from gemmap.particles.optics_group import OpticsGroup
from gemmap.physics.ctf import CtfParameters

#: No particle image has pixels beyond these; a program that meant another unit may say so.
_SMALLEST_PIXEL_A, _LARGEST_PIXEL_A = 0.01, 1000.0


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
    micrograph_of
        (n,), index into ``micrographs``, or -1 where the file does not say.
    micrographs
        Names as in the file.
    class_of
        (n,), class of each particle, numbered as in the file; None where the file has none.
    map_pixel_size_a
        Å per voxel of maps made from these particles, where optics groups differ; None: that of all groups.
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
    micrograph_of: Int[np.ndarray, " n"] | None = None
    micrographs: tuple[str, ...] = ()
    class_of: Int[np.ndarray, " n"] | None = None
    map_pixel_size_a: float | None = None

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
        for group in self.optics:
            if not _SMALLEST_PIXEL_A <= group.pixel_size_a <= _LARGEST_PIXEL_A:
                raise InputError(
                    f"The pixel size is {group.pixel_size_a:g} Å; expected {_SMALLEST_PIXEL_A:g} to "
                    f"{_LARGEST_PIXEL_A:g} Å: correct the file, or give it with --pixel-size."
                )
        if n and (self.optics_group.min() < 0 or self.optics_group.max() >= len(self.optics)):
            raise InputError(f"A particle names an optics group outside the {len(self.optics)} given.")
        if n and (self.stack_of.min() < 0 or self.stack_of.max() >= len(self.stacks)):
            raise InputError(f"A particle names an image stack outside the {len(self.stacks)} given.")
        if self.micrograph_of is not None and n and self.micrograph_of.max() >= len(self.micrographs):
            raise InputError(f"A particle names a micrograph outside the {len(self.micrographs)} given.")

    def __len__(self) -> int:
        return len(self.rotations)

    def select(self, rows: np.ndarray) -> Self:
        """Return the table of the given rows (indices or boolean mask), in that order."""
        new = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, **new, ctf=None if self.ctf is None else self.ctf.select(rows))

    @property
    def original_image(self) -> Int[np.ndarray, " n"]:
        """A number for every particle, the same for rows that share an image (copies made by symmetry expansion)."""
        n_images = int(self.index_in_stack.max()) + 1 if len(self) else 1
        return np.unique(self.stack_of * n_images + self.index_in_stack, return_inverse=True)[1].reshape(-1)

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel of maps made from these particles: ``map_pixel_size_a``, or that of all optics groups.

        Raises
        ------
        InputError
            If it is not given and the groups differ by more than 0.01 %.
        """
        if self.map_pixel_size_a is not None:
            return self.map_pixel_size_a
        sizes = sorted({g.pixel_size_a for g in self.optics})
        if not sizes or sizes[-1] - sizes[0] > 1e-4 * sizes[-1]:
            raise InputError(
                f"Optics groups have different pixel sizes ({', '.join(f'{s:g}' for s in sizes)} Å); "
                "give particles of one pixel size, or override it with --pixel-size."
            )
        return sizes[0]
