"""Point groups of particles: names, axes and rotations.

A map has the symmetry of a group when V(R x) = V(x) for each of its rotations R. A particle with pose A
(``p_img = A p_vol``) then looks the same from A R, for every R: the images of one particle serve all these views.

Axes are RELION's: n-fold axes of Cn and Dn on z, a 2-fold axis of Dn on x; T with a 3-fold axis on z; O with 4-fold
axes on x, y and z; I1 to I4 below, of which I is I2. CryoSPARC's names mean the same, except that it puts the 2-fold
axis of Dn on y, which is another group where n is odd: ``D3y``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy.spatial.transform import Rotation

from gemmap._types import Float, Rotations
from gemmap.errors import InputError

#: Largest n of Cn and Dn, RELION's.
LARGEST_FOLD = 99
#: Largest difference of two matrices that are the same rotation; rotations of a group differ by 0.04 and more.
_SAME = 1e-6
_GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0
#: Fold and direction.
_Axis: TypeAlias = tuple[int, tuple[float, float, float]]
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
#: Axes that generate a group, by its name.
_GENERATORS: dict[str, tuple[_Axis, ...]] = {
    "T": ((3, _Z), (2, (0.0, math.sqrt(2.0), 1.0))),
    "O": ((4, _Z), (3, (1.0, 1.0, 1.0))),
    "I1": ((2, _Z), (5, (0.0, 1.0, _GOLDEN))),
    "I2": ((2, _Z), (5, (1.0, 0.0, _GOLDEN))),
    "I3": ((5, _Z), (5, (2.0, 0.0, -1.0))),
    "I4": ((5, _Z), (5, (2.0, 0.0, 1.0))),
}
_WITH_MIRRORS = re.compile(r"C[IS]|S\d+|[CD]\d+[VHD]|T[DH]|[OI]\d?H")
_EXPECTED = "expected C1, C2, .., D2, D3, .., T, O, I, or I1 to I4"


@dataclass(frozen=True, eq=False)
class PointGroup:
    """Rotations under which a particle is the same.

    Attributes
    ----------
    name
        As RELION writes it.
    rotations
        (n, 3, 3), the identity first; products and inverses of rotations of the group are in it.
    """

    name: str
    rotations: Rotations

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def is_trivial(self) -> bool:
        """Whether the identity is all there is."""
        return len(self) == 1

    @property
    def cryosparc_differs(self) -> bool:
        """Whether cryoSPARC means other axes by this name: its dihedral groups have a 2-fold axis on y."""
        return re.fullmatch(r"D\d*[13579]", self.name) is not None

    @cached_property
    def on_grid(self) -> Rotations:
        """The subgroup whose rotations take every point of a cubic grid to a point of that grid."""
        ones = np.abs(self.rotations) > 1.0 - _SAME
        return np.asarray(self.rotations[ones.sum(axis=(1, 2)) == 3])

    @cached_property
    def representatives(self) -> Rotations:
        """One rotation C of every coset: each rotation of the group is C H for one C here and one H of ``on_grid``."""
        left, found = self.rotations, []
        while len(left):
            found.append(left[0])
            left = np.array([r for r in left if not _is_in(r, left[0] @ self.on_grid)])
        return np.array(found)


def point_group(name: str) -> PointGroup:
    """Return the group of a name, in capitals or not: ``C7``, ``D2``, ``D3y``, ``T``, ``O``, ``I`` or ``I1`` .. ``I4``.

    Raises
    ------
    InputError
        If the name is none of these; groups with mirrors and helices are named as such.
    """
    short = name.strip().upper()
    cyclic = re.fullmatch(r"([CD])(\d{1,2})(Y?)", short)
    if cyclic is not None and int(cyclic[2]) >= 1 and not (cyclic[1] == "C" and cyclic[3]):
        fold = int(cyclic[2])
        axes = [(fold, _Z), (2, _Y if cyclic[3] else _X)][: "CD".index(cyclic[1]) + 1]
        return PointGroup(f"{cyclic[1]}{fold}{cyclic[3].lower()}", _closed(axes))
    if short in _GENERATORS or short == "I":
        return PointGroup(short, _closed(_GENERATORS["I2" if short == "I" else short]))
    if _WITH_MIRRORS.fullmatch(short):
        raise InputError(
            f"The symmetry {name} has mirrors or an inversion, which turn a molecule into its mirror image; give the "
            f"group of its rotations: {_EXPECTED}."
        )
    if short.startswith("H"):
        raise InputError(f"The symmetry {name} is that of a helix, which GEM does not reconstruct; {_EXPECTED}.")
    if short == "I5":
        raise InputError(f"The symmetry {name} has a name in RELION, but no axes; {_EXPECTED}.")
    raise InputError(f"The symmetry is {name!r}; {_EXPECTED} (axes as RELION's).")


#: The group of a particle without symmetry.
NO_SYMMETRY = PointGroup("C1", np.eye(3)[None])


def related_views(rotations: Float[np.ndarray, "b i 3"], operator: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Poses A R of the same particles: the views that an operator R of the group makes equal to A."""
    return np.asarray(rotations @ operator)


def _closed(axes: Sequence[_Axis]) -> Rotations:
    """All products of the rotations about some axes."""
    generators = [_about(fold, direction) for fold, direction in axes]
    found = [np.eye(3)]
    for rotation in found:  # grows while it is walked through
        for generator in generators:
            product = _tidy(rotation @ generator)
            if not _is_in(product, np.array(found)):
                found.append(product)
    return np.array(found)


def _about(fold: int, direction: tuple[float, float, float]) -> Float[np.ndarray, "3 3"]:
    axis = np.array(direction) / np.linalg.norm(direction)
    return np.asarray(Rotation.from_rotvec(2.0 * np.pi / fold * axis).as_matrix())


def _tidy(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Orthonormal again after a product, with exact zeros and ones: grid points are then taken to grid points."""
    u, _, vt = np.linalg.svd(rotation)
    exact = np.rint(u @ vt)
    return np.asarray(np.where(np.abs(u @ vt - exact) < _SAME, exact, u @ vt))


def _is_in(rotation: Float[np.ndarray, "3 3"], group: Rotations) -> bool:
    return bool((np.abs(group - rotation).max(axis=(1, 2)) < _SAME).any())
