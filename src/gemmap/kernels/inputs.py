"""What the ops on Gaussians share: the default support, the checks of the 11 parameters, and views for numba."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gemmap.errors import NumericsError

#: Radius of the support in standard deviations. Beyond lie 0.7 % of a Gaussian's mass in a map, 0.2 % in an image.
DEFAULT_CUT = 3.5

# Below this squared length a quaternion has no direction worth trusting.
_MIN_LENGTH2 = 1e-20
# Below this sine of the angle between its two axes an image is a line.
_MIN_SINE = 1e-6


def arrays(*tensors: Tensor) -> list[Any]:
    """Numpy views; copies only where a tensor is not contiguous."""
    return [t.detach().contiguous().numpy() for t in tensors]


def require_like(op: str, name: str, tensor: Tensor, centres: Tensor) -> None:
    """Raise ValueError unless a tensor has the dtype and device of the centres."""
    if tensor.dtype != centres.dtype or tensor.device != centres.device:
        raise ValueError(
            f"{op}: {name} is {tensor.dtype} on {tensor.device}; expected {centres.dtype} on {centres.device} as the "
            "centres"
        )


def require_views(op: str, views: np.ndarray) -> None:
    """Check that every view shows a plane of the map: finite, and its first two rows not parallel.

    Raises
    ------
    NumericsError
        Naming the first that does not.
    """
    x, y = np.asarray(views, np.float64)[:, 0], np.asarray(views, np.float64)[:, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        area = np.linalg.norm(np.cross(x, y), axis=1)
        bad = ~(area > _MIN_SINE * np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)) | ~np.isfinite(area)
    if bad.any():
        first = int(np.argmax(bad))
        raise NumericsError(
            f"{op}: {int(bad.sum())} of {len(bad)} views are singular or not finite; the first is number {first}: "
            f"{np.asarray(views[first]).tolist()}; expected a rotation, or one with a magnification near 1."
        )


def check_gaussians(op: str, centres: Tensor, scales: Tensor, quaternions: Tensor, masses: Tensor, cut: float) -> None:
    """Check shapes, dtypes and values of the parameters; ``op`` begins the message.

    Raises
    ------
    ValueError
        If a shape, dtype or device does not fit, or cut is not positive.
    NumericsError
        If a value is not finite, a scale is not positive, or a quaternion is zero.
    """
    n = masses.numel()
    expected = {"centres": (n, 3), "scales": (n, 3), "quaternions": (n, 4), "masses": (n,)}
    for (name, shape), tensor in zip(expected.items(), (centres, scales, quaternions, masses), strict=True):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{op}: {name} has shape {tuple(tensor.shape)}; expected {shape} for {n} masses")
        same = tensor.dtype == masses.dtype and tensor.device == masses.device
        if not same or tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{op}: {name} is {tensor.dtype} on {tensor.device}; expected float32 or float64, and "
                f"the same for all (masses: {masses.dtype} on {masses.device})"
            )
    if not (math.isfinite(cut) and cut > 0):
        raise ValueError(f"{op}: cut is {cut}; expected a positive number of standard deviations")
    parameters = [t.detach() for t in (centres, scales, quaternions, masses)]
    if centres.device.type == "cpu" or not _is_fine(*parameters):
        _check_values(op, *(t.cpu().numpy() for t in parameters))


def _is_fine(centres: Tensor, scales: Tensor, quaternions: Tensor, masses: Tensor) -> bool:
    """Whether all values can be used, looked at where they are: one answer comes back, not the parameters."""
    lengths2 = quaternions.square().sum(1)
    fine = centres.isfinite().all() & masses.isfinite().all() & scales.isfinite().all() & (scales > 0).all()
    return bool(fine & lengths2.isfinite().all() & (lengths2 > _MIN_LENGTH2).all())


def _check_values(
    op: str, centres: np.ndarray, scales: np.ndarray, quaternions: np.ndarray, masses: np.ndarray
) -> None:
    """In numpy: a thread team of torch for so little work waits long for its members on a busy machine."""
    lengths2 = np.einsum("ni,ni->n", quaternions, quaternions)
    if (
        np.isfinite(centres).all()
        and np.isfinite(masses).all()
        and np.isfinite(lengths2).all()
        and (lengths2 > _MIN_LENGTH2).all()
        and np.isfinite(scales).all()
        and (scales > 0).all()
    ):
        return
    fine = np.isfinite(centres).all(1) & np.isfinite(masses) & np.isfinite(lengths2) & (lengths2 > _MIN_LENGTH2)
    fine &= np.isfinite(scales).all(1) & (scales > 0).all(1)
    row = int(np.argmin(fine))
    raise NumericsError(
        f"{op}: {int((~fine).sum())} of {len(fine)} Gaussians have a value that is not finite, a scale that is not "
        f"positive or a zero quaternion; the first is number {row}: centre {centres[row].tolist()}, scales "
        f"{scales[row].tolist()}, quaternion {quaternions[row].tolist()}, mass {float(masses[row])}."
    )
