"""Convolution of a cube with a kernel that is known by its transform: most of the time of a fit is spent here.

The cube is zero-padded to the grid of the kernel, so that nothing wraps round. A transform of the padded cube would
mostly transform zeros, and go through memory many times: here the first axis is padded and transformed for the rows of
the cube alone, and then the planes of constant frequency go one by one through the other two axes, the kernel, and
back, while they are in the cache.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: What planes that are transformed together may take: a core's own cache, or enough to occupy a GPU.
_CPU_BYTES, _GPU_BYTES = 2**21, 2**28


def to_planes(transform: Float[Tensor, "m m h"]) -> Float[Tensor, "h m m"]:
    """Bring the transform of a real, symmetric kernel, as rfftn gives it, into the order that `convolve` takes."""
    return transform.permute(2, 0, 1).contiguous()


def convolve(volume: Float[Tensor, "d d d"], planes: Float[Tensor, "h m m"]) -> Float[Tensor, "d d d"]:
    """Return kernel * volume on the samples of the volume.

    Parameters
    ----------
    volume
        Zero outside; real, of any precision.
    planes
        Transform of the kernel with its origin at index 0, on a grid of m samples a side (m even, m >= d; lags up to
        m - d do not wrap round), real, planes of constant x frequency first (`to_planes`).
    """
    d, m = volume.shape[0], planes.shape[1]
    rows = torch.fft.rfft(volume, n=m, dim=2).permute(2, 0, 1).contiguous()
    room = _CPU_BYTES if volume.device.type == "cpu" else _GPU_BYTES
    together = max(1, room // (m * m * rows.element_size()))
    for first in range(0, len(planes), together):
        some = slice(first, first + together)
        part = torch.fft.fft(torch.fft.fft(rows[some], n=m, dim=2), n=m, dim=1)
        part *= planes[some]
        rows[some] = torch.fft.ifft(torch.fft.ifft(part, dim=1)[:, :d], dim=2)[:, :, :d]
    result: Tensor = torch.fft.irfft(rows.permute(1, 2, 0), n=m, dim=2)[:, :, :d]
    return result
