"""Weighing and inserting Fourier slices where the images are: tensors on one device, and the choice of backend.

The same as :mod:`gemmap.kernels.slices`, which says what is meant and which errors are raised. Models and noise spectra
are small, come as numpy arrays, and go to the device here. ``backend`` is ``auto``, ``triton`` (NVIDIA GPUs) or
``reference``.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Int, Rotations
from gemmap.kernels import registry
from gemmap.kernels.inputs import require_views
from gemmap.kernels.slices import check_prepare
from gemmap.kernels.symmetrise import whole_rotations
from gemmap.physics.image_model import ImageModel


@torch.no_grad()
def prepare(
    images: Float[Tensor, "b d d"],
    model: ImageModel,
    group: Int[np.ndarray, " b"],
    inverse_noise: Float[np.ndarray, "g s"],
    backend: str = "auto",
) -> Float[Tensor, "b d h 3"]:
    """Return (Re, Im, weight) on the half-plane of float32 images; see :func:`gemmap.kernels.slices.prepare`."""
    check_prepare(tuple(images.shape), model, group, inverse_noise)
    b, d, _ = images.shape
    out = images.new_zeros((b, d, d // 2 + 1, 3))
    if b:
        kernel = _kernel("prepare_slices", out, backend)
        values = model.coefficients, model.shifts, model.scales, np.asarray(group, np.int64), inverse_noise
        kernel(torch.fft.rfft2(images), *(torch.as_tensor(v, device=out.device) for v in values), out)
    return out


@torch.no_grad()
def insert(
    slices: Float[Tensor, "b d h 3"], views: Rotations, volume: Float[Tensor, "m m h2 3"], backend: str = "auto"
) -> None:
    """Add slices to the half-complex volume, in place; see :func:`gemmap.kernels.slices.insert`."""
    require_views("insert", views)
    _kernel("insert_slices", volume, backend)(slices, torch.as_tensor(views, device=volume.device), volume)


@torch.no_grad()
def complete_plane(volume: Float[Tensor, "m m h2 3"], backend: str = "auto") -> None:
    """Add the Friedel mates of the plane x = 0, in place, once all slices are in."""
    _kernel("complete_plane", volume, backend)(volume)


@torch.no_grad()
def symmetrised(
    volume: Float[Tensor, "m m h2 3"], rotations: Rotations, backend: str = "auto"
) -> Float[Tensor, "m m h2 3"]:
    """Return the sum over rotations of the grid; see :func:`gemmap.kernels.symmetrise.symmetrised`."""
    whole = torch.from_numpy(whole_rotations(tuple(volume.shape), rotations)).to(volume.device)
    out = torch.empty_like(volume)
    _kernel("symmetrise", volume, backend)(volume, whole, out)
    return out


def _kernel(name: str, volume: Tensor, backend: str) -> registry.Kernel:
    chosen = registry.choose(name, volume.device, volume.dtype, backend)
    if chosen == "numba":
        raise ValueError(f"{name}: numba takes arrays; call gemmap.kernels.slices on the CPU")
    return registry.load(name, chosen)
