"""Weighing and inserting Fourier slices: checks, transforms, and the choice of backend.

Arrays are numpy's: this pass has no derivatives and feeds from files. ``backend`` is ``auto``, ``numba`` (float32) or
``reference``. The same on a device: :mod:`gemmap.kernels.slices_on_device`.
"""

from typing import Any

import numpy as np
import scipy.fft
import torch

from gemmap._types import Float, Int, Rotations
from gemmap.errors import NumericsError
from gemmap.kernels import registry
from gemmap.kernels.inputs import require_views
from gemmap.physics.image_model import N_COLUMNS, ImageModel


def prepare(
    images: Float[np.ndarray, "b d d"],
    model: ImageModel,
    group: Int[np.ndarray, " b"],
    inverse_noise: Float[np.ndarray, "g s"],
    backend: str = "auto",
) -> Float[np.ndarray, "b d h 3"]:
    """Return (Re, Im, weight) of c T y exp(-i odd) exp(-2 pi i k.s) / sigma^2 and c^2 T^2 / sigma^2 on the half-plane.

    Images that were multiplied by their CTF are T y already: they are not multiplied again.

    Parameters
    ----------
    images
        y, real; taken as float32.
    model
        CTF, odd aberrations, shift and scale of every image.
    group, inverse_noise
        1/sigma^2 of image i in the shell of radius round(k) is ``inverse_noise[group[i], shell]``, >= 0, for shells
        0 .. D//2 at least; sigma^2 is the noise power of the plain rfft2 (:mod:`gemmap.physics.noise`), for images that
        were multiplied by their CTF that before it.

    Returns
    -------
    numpy.ndarray
        float32, ky in FFT order, kx >= 0, origin of real space at D//2; 0 from the radius D/2 on.

    Raises
    ------
    ValueError
        If a shape does not fit, or a group has no noise spectrum.
    NumericsError
        If ``inverse_noise`` has a value that is negative or not finite, or the model one that is not finite.
    BackendError
        If the backend asked for cannot run here.
    """
    images = np.asarray(images, np.float32)
    check_prepare(images.shape, model, group, inverse_noise)
    b, d, _ = images.shape
    out = np.zeros((b, d, d // 2 + 1, 3), np.float32)
    _run(
        "prepare_slices",
        backend,
        scipy.fft.rfft2(images, workers=torch.get_num_threads()),
        _as_input(model.coefficients, np.float64),
        _as_input(model.shifts, np.float64),
        _as_input(model.scales, np.float64),
        _as_input(group, np.int64),
        _as_input(inverse_noise, np.float64),
        out,
    )
    return out


def insert(
    slices: Float[np.ndarray, "b d h 3"],
    views: Rotations,
    volume: Float[np.ndarray, "m m h2 3"],
    backend: str = "auto",
) -> None:
    """Add slices to the interleaved half-complex volume, in place, with trilinear weights.

    The point k of image i goes to (M/D) G_i^T (kx, ky, 0), if that is within the map's Nyquist. Half of each image
    plane is inserted: call :func:`complete_plane` once all slices are in.

    Parameters
    ----------
    slices
        From :func:`prepare`.
    views
        G, rotations or with a magnification; the last row is not read.
    volume
        float32 or float64, M >= D, z and y in FFT order, x >= 0; components (Re, Im, weight).

    Raises
    ------
    ValueError
        If a shape does not fit, or the volume cannot be written in place.
    NumericsError
        If a view is singular or not finite.
    BackendError
        If the backend asked for cannot run here: numba needs float32.
    """
    _check_volume(volume)
    b, d = slices.shape[:2]
    if slices.shape != (b, d, d // 2 + 1, 3) or views.shape != (b, 3, 3):
        raise ValueError(
            f"insert: slices and views have shapes {slices.shape} and {views.shape}; expected "
            f"{(b, d, d // 2 + 1, 3)} and {(b, 3, 3)}"
        )
    if volume.shape[0] < d:
        raise ValueError(f"insert: the volume has side {volume.shape[0]}; expected at least the slices' {d}")
    require_views("insert", views)
    _run("insert_slices", backend, _as_input(slices, volume.dtype), _as_input(views, np.float64), volume)


def complete_plane(volume: Float[np.ndarray, "m m h2 3"], backend: str = "auto") -> None:
    """Add the Friedel mates of the plane x = 0, in place, once all slices are in."""
    _check_volume(volume)
    _run("complete_plane", backend, volume)


def _run(kernel: str, backend: str, *arguments: Any) -> None:
    """Call a kernel, which writes into its last argument."""
    dtype = torch.float32 if arguments[-1].dtype == np.float32 else torch.float64
    name = registry.choose(kernel, torch.device("cpu"), dtype, backend)
    if name != "numba":
        # The tensors share the arrays' memory.
        arguments = tuple(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments)
    registry.load(kernel, name)(*arguments)


def _as_input(values: np.ndarray, dtype: Any) -> np.ndarray:
    # Writable, although only read: torch takes no others, and numba would compile anew for them.
    return np.require(values, dtype, ("C", "W"))


def check_prepare(
    shape_of_images: tuple[int, ...], model: ImageModel, group: Int[np.ndarray, " b"], inverse_noise: np.ndarray
) -> None:
    """Check what :func:`prepare` is given; it names the errors."""
    if len(shape_of_images) != 3 or shape_of_images[1] != shape_of_images[2]:
        raise ValueError(f"prepare: images have shape {shape_of_images}; expected (b, d, d)")
    b, d, _ = shape_of_images
    for name, shape, expected in (
        ("coefficients", np.shape(model.coefficients), (b, N_COLUMNS)),
        ("shifts", np.shape(model.shifts), (b, 2)),
        ("scales", np.shape(model.scales), (b,)),
        ("group", np.shape(group), (b,)),
    ):
        if shape != expected:
            raise ValueError(f"prepare: {name} has shape {shape}; expected {expected} for {b} images")
    if np.ndim(inverse_noise) != 2 or inverse_noise.shape[1] < d // 2 + 1:
        raise ValueError(
            f"prepare: inverse_noise has shape {np.shape(inverse_noise)}; expected (groups, shells) with at least "
            f"{d // 2 + 1} shells"
        )
    if b and not 0 <= group.min() <= group.max() < len(inverse_noise):
        raise ValueError(
            f"prepare: groups {group.min()} to {group.max()} are named; expected 0 to {len(inverse_noise) - 1}, "
            "one per row of inverse_noise"
        )
    if not all(np.isfinite(part).all() for part in (model.coefficients, model.shifts, model.scales)):
        raise NumericsError("prepare: a CTF, shift or scale is not finite; expected numbers for every image.")
    if not (np.isfinite(inverse_noise).all() and (inverse_noise >= 0).all()):
        raise NumericsError(
            "prepare: inverse_noise has a value that is negative or not finite; expected 1/sigma^2 >= 0."
        )


def _check_volume(volume: np.ndarray) -> None:
    m = volume.shape[0]
    if volume.shape != (m, m, m // 2 + 1, 3) or volume.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"the volume has shape {volume.shape} and type {volume.dtype}; expected {(m, m, m // 2 + 1, 3)} "
            "in float32 or float64"
        )
    if not (volume.flags.c_contiguous and volume.flags.writeable):
        raise ValueError("the volume is filled in place: expected a writable array in C order")
