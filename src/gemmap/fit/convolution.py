"""Convolution of a cube with a kernel that is known by its transform: most of the time of a fit is spent here.

The cube is zero-padded to the grid of the kernel, so that nothing wraps round. A transform of the padded cube would
mostly transform zeros, and go through memory many times: here the first axis is padded and transformed for the rows of
the cube alone, and then the planes of constant frequency go one by one through the other two axes, the kernel, and
back, while they are in the cache. Each core has planes of its own.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gemmap.kernels.threads import torch_workers

#: What planes that are transformed together may take: a core's own cache, or enough to occupy a GPU.
_CPU_BYTES, _GPU_BYTES = 2**20, 2**28


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
    rows = torch.empty((len(planes), d, d), dtype=volume.dtype.to_complex(), device=volume.device)
    result = torch.empty_like(volume)

    def transform(slabs: slice) -> None:
        rows[:, slabs] = torch.fft.rfft(volume[slabs], n=m, dim=2).permute(2, 0, 1)

    def through_kernel(some: slice) -> None:
        part = torch.fft.fft(torch.fft.fft(rows[some], n=m, dim=2), n=m, dim=1)
        part *= planes[some]
        rows[some] = torch.fft.ifft(torch.fft.ifft(part, dim=1)[:, :d], dim=2)[:, :, :d]

    def transform_back(slabs: slice) -> None:
        result[slabs] = torch.fft.irfft(rows[:, slabs].permute(1, 2, 0), n=m, dim=2)[:, :, :d]

    for work, n in ((transform, d), (through_kernel, len(planes)), (transform_back, d)):
        _in_parts(work, n, m * m * rows.element_size(), volume.device)
    return result


def _in_parts(work: Callable[[slice], None], n: int, plane_bytes: int, device: torch.device) -> None:
    """Do the work on n planes, as many at a time as there is room for, divided among the threads of a CPU."""
    together = max(1, (_CPU_BYTES if device.type == "cpu" else _GPU_BYTES) // plane_bytes)
    parts = [slice(first, min(first + together, n)) for first in range(0, n, together)]
    n_threads = min(torch.get_num_threads() if device.type == "cpu" else 1, len(parts))

    def do(share: Sequence[slice]) -> None:
        for part in share:
            work(part)

    if n_threads == 1:
        do(parts)
        return
    shares = [parts[i * len(parts) // n_threads : (i + 1) * len(parts) // n_threads] for i in range(n_threads)]
    for done in [torch_workers(n_threads).submit(do, share) for share in shares]:
        done.result()
