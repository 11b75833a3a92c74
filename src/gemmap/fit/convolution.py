"""Convolution of a cube with a kernel that is known by its transform: most of the time of a fit is spent here.

The cube is zero-padded to the grid of the kernel, so that nothing wraps round. A transform of the padded cube would
mostly transform zeros, and go through memory many times: here the first axis is padded and transformed for the rows of
the cube alone, and then the planes of constant frequency go one by one through the other two axes, the kernel, and
back, while they are in the cache. Each core has planes of its own.
"""

import threading
from typing import TypeAlias

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.fit.grid_planes import in_parts

#: A kernel's transform: real, axes (x, y, z); or the product of one factor for each axis.
Kernel: TypeAlias = Float[Tensor, "h m m"] | tuple[Float[Tensor, " h"], Float[Tensor, " m"], Float[Tensor, " m"]]


class Room:
    """Memory that one convolution after the other takes, instead of asking the system for it every time."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None

    def rows(self, shape: tuple[int, ...], like: Tensor) -> Complex[Tensor, "h d d"]:
        """Return uninitialised complex numbers of the precision and device of ``like``."""
        dtype = like.dtype.to_complex()
        rows = self._rows
        if rows is None or rows.shape != shape or rows.dtype != dtype or rows.device != like.device:
            rows = self._rows = torch.empty(shape, dtype=dtype, device=like.device)
        return rows


def convolve(
    volume: Float[Tensor, "d d d"],
    kernel: Kernel,
    room: Room | None = None,
    out: Float[Tensor, "d d d"] | None = None,
) -> Float[Tensor, "d d d"]:
    """Return kernel * volume on the samples of the volume.

    Parameters
    ----------
    volume
        Zero outside; real, of any precision.
    kernel
        Transform of the kernel with its origin at index 0, on a grid of m samples a side (m even, m >= d; lags up to
        m - d do not wrap round), as :func:`gemmap.fit.grid_planes.transform_symmetric` gives it.
    room
        Of earlier convolutions, for one thread at a time.
    out
        Where to write; not the volume itself.
    """
    d = volume.shape[0]
    h, m = (len(kernel[0]), len(kernel[1])) if isinstance(kernel, tuple) else kernel.shape[:2]
    rows = (room or Room()).rows((h, d, d), volume)
    result = torch.empty_like(volume) if out is None else out
    padded = threading.local()

    def transform(slabs: slice) -> None:
        rows[:, slabs] = torch.fft.rfft(volume[slabs], n=m, dim=2).permute(2, 0, 1)

    def through_kernel(some: slice) -> None:
        count = some.stop - some.start
        if not hasattr(padded, "planes"):
            padded.planes = rows.new_zeros((count, m, m))
        # What is beyond d stays zero; parts after the first are not larger. An axis is transformed much faster where it
        # is the last in memory.
        padded.planes[:count, :, :d] = torch.fft.fft(rows[some], n=m, dim=2).transpose(1, 2)
        part = torch.fft.fft(padded.planes[:count], dim=2)
        _multiply(part, kernel, some)
        part = torch.fft.ifft(part, dim=2)[:, :, :d].transpose(1, 2).contiguous()
        rows[some] = torch.fft.ifft(part, dim=2)[:, :, :d]

    def transform_back(slabs: slice) -> None:
        result[slabs] = torch.fft.irfft(rows[:, slabs].permute(1, 2, 0), n=m, dim=2)[:, :, :d]

    for work, n in ((transform, d), (through_kernel, h), (transform_back, d)):
        in_parts(work, n, m * m * rows.element_size(), volume.device)
    return result


def _multiply(part: Complex[Tensor, "c m m"], kernel: Kernel, some: slice) -> None:
    """Multiply planes by the kernel's, in place."""
    if part.device.type != "cpu":
        if isinstance(kernel, tuple):
            x, y, z = kernel
            part *= x[some, None, None] * y[:, None] * z
        else:
            part *= kernel[some]
        return
    from gemmap.kernels.cpu_planes import multiply, multiply_axes

    if isinstance(kernel, tuple):
        factors = [factor.numpy() for factor in kernel]
        multiply_axes(part.numpy(), factors[0][some], factors[1], factors[2])
    else:
        multiply(part.numpy(), kernel[some].numpy())
