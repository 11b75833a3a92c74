"""The sum of a half-complex volume over rotations that take the grid to itself: no point falls between others."""

import numpy as np
import torch

from gemmap._types import Float, Int, Rotations
from gemmap.kernels import registry


def symmetrised(
    volume: Float[np.ndarray, "m m h2 3"], rotations: Rotations, backend: str = "auto"
) -> Float[np.ndarray, "m m h2 3"]:
    """Return the sum over rotations R of the volume's values at R k.

    It is what inserting every slice under each R would give, at the cost of one insertion
    (:func:`gemmap.kernels.slices.insert`), to rounding.

    Parameters
    ----------
    volume
        float32 or float64, components (Re, Im, weight), complete (:func:`gemmap.kernels.slices.complete_plane`); of
        inserted slices, which leave it empty from the radius M/2 + 1 on.
    rotations
        (n, 3, 3) of entries -1, 0 and 1.
    backend
        ``auto``, ``numba`` (float32) or ``reference``.

    Raises
    ------
    ValueError
        If a shape does not fit, or a rotation does not take the grid to itself.
    BackendError
        If the backend asked for cannot run here.
    """
    whole = whole_rotations(volume.shape, rotations)
    out = np.empty_like(volume)
    dtype = torch.float32 if volume.dtype == np.float32 else torch.float64
    name = registry.choose("symmetrise", torch.device("cpu"), dtype, backend)
    arguments = (volume, whole, out)
    if name != "numba":
        # The tensors share the arrays' memory.
        registry.load("symmetrise", name)(*map(torch.from_numpy, arguments))
    else:
        registry.load("symmetrise", name)(*arguments)
    return out


def whole_rotations(shape_of_volume: tuple[int, ...], rotations: Rotations) -> Int[np.ndarray, "n 3 3"]:
    """Return the rotations as whole numbers; :func:`symmetrised` names the errors."""
    m = shape_of_volume[0]
    if shape_of_volume != (m, m, m // 2 + 1, 3) or m % 2:
        raise ValueError(f"symmetrised: the volume has shape {shape_of_volume}; expected (m, m, m/2 + 1, 3), m even")
    whole: np.ndarray = np.rint(rotations).astype(np.int64)
    if whole.shape[1:] != (3, 3) or (whole != rotations).any() or (np.abs(whole).sum(axis=(1, 2)) != 3).any():
        raise ValueError("symmetrised: a rotation does not take the grid to itself; expected entries -1, 0 and 1")
    return whole
