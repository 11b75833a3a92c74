"""Between maps and transforms on a finer grid, some planes of constant x frequency at a time.

A map fills the middle of the grid only, and most of what is computed on the grid is used once. So nothing of the
grid's size is made: the first axis is transformed for the rows of the map alone, and then planes of constant frequency
go through the other two axes while they are in the cache. Each core has planes of its own.

The origin of a map is at N//2, that of the grid's real space at index 0; transforms are plain sums, the inverse has the
factor 1/M^3.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from gemmap.kernels.threads import torch_workers

T = TypeVar("T")

#: Gives those planes of constant x frequency that are asked for: complex, contiguous, axes (x, y, z), the reverse of a
#: map's, because an axis is transformed much faster where it is the last in memory.
PlanesAt: TypeAlias = Callable[[slice], Complex[Tensor, "c m m"]]

#: What planes that are transformed together may take: a core's own cache, or enough to occupy a GPU.
_CPU_BYTES, _GPU_BYTES = 2**20, 2**28
#: Fewer planes would read parts of cache lines where x is the last axis of an array.
PLANES_TOGETHER = 8


def x_transform(volume: Float[Tensor, "d d d"], grid_px: int) -> Complex[Tensor, "h d d"]:
    """Transform the x axis of a map: planes of constant x frequency, each of the map's z and y."""
    d = len(volume)
    shape = grid_px // 2 + 1, d, d
    rows = torch.empty(shape, dtype=volume.dtype.to_complex(), device=volume.device)

    def transform(slabs: slice) -> None:
        rows[:, slabs] = torch.fft.rfft(_padded(volume[slabs], grid_px), dim=2).permute(2, 0, 1)

    in_parts(transform, d, d * grid_px * rows.element_size(), volume.device)
    return rows


def planes_at(rows: Complex[Tensor, "h d d"], some: slice, grid_px: int) -> Complex[Tensor, "c m m"]:
    """Transform the other axes of some of the planes that `x_transform` gives."""
    part = torch.fft.fft(_padded(rows[some], grid_px), dim=2)
    planes: Tensor = torch.fft.fft(_padded(part.transpose(1, 2), grid_px), dim=2)
    return planes


def transform_symmetric(volume: Float[Tensor, "d d d"]) -> Float[Tensor, "h d d"]:
    """Transform, axes (x, y, z), of a map that is its own inversion about the origin: it is real."""
    d = len(volume)
    rows = x_transform(volume, d)
    result = torch.empty(rows.shape, dtype=volume.dtype, device=volume.device)

    def transform(some: slice) -> None:
        result[some] = planes_at(rows, some, d).real

    in_parts(transform, len(rows), d**2 * rows.element_size(), volume.device)
    return result


def to_real_space(planes: PlanesAt, grid_px: int, size: int, device: torch.device) -> Float[Tensor, "d d d"]:
    """The central ``size`` samples of the inverse transform, float32, with the origin at size//2."""
    rows = torch.empty((grid_px // 2 + 1, size, size), dtype=torch.complex64, device=device)
    result = torch.empty((size, size, size), device=device)

    def transform_planes(some: slice) -> None:
        part = _cropped(torch.fft.ifft(planes(some), dim=2), size).transpose(1, 2).contiguous()
        rows[some] = _cropped(torch.fft.ifft(part, dim=2), size)

    def transform_rows(slabs: slice) -> None:
        result[slabs] = _cropped(torch.fft.irfft(rows[:, slabs].permute(1, 2, 0), n=grid_px, dim=2), size)

    in_parts(transform_planes, len(rows), grid_px**2 * rows.element_size(), device, PLANES_TOGETHER)
    in_parts(transform_rows, size, size * grid_px * rows.element_size(), device)
    return result


def over_planes(work: Callable[[slice], T], grid_px: int) -> list[T]:
    """Do the work on all planes of a half-complex grid, on the CPU; return what each part gives, in order."""
    return in_parts(work, grid_px // 2 + 1, 8 * grid_px**2, torch.device("cpu"), PLANES_TOGETHER)


def in_parts(work: Callable[[slice], T], n: int, plane_bytes: int, device: torch.device, least: int = 1) -> list[T]:
    """Do the work on n planes in parts, divided among the threads of a CPU; return what each part gives, in order.

    As many planes go together as there is room for, ``least`` or more. Parts do not depend on the number of threads.
    """
    together = max(least, (_CPU_BYTES if device.type == "cpu" else _GPU_BYTES) // plane_bytes)
    parts = [slice(first, min(first + together, n)) for first in range(0, n, together)]
    n_threads = min(torch.get_num_threads() if device.type == "cpu" else 1, len(parts))

    def do(share: Sequence[slice]) -> list[T]:
        return [work(part) for part in share]

    if n_threads == 1:
        return do(parts)
    shares = [parts[i * len(parts) // n_threads : (i + 1) * len(parts) // n_threads] for i in range(n_threads)]
    jobs = [torch_workers(n_threads).submit(do, share) for share in shares]
    return [found for job in jobs for found in job.result()]


def _padded(part: Tensor, grid_px: int) -> Tensor:
    """Zeros around the last axis, its origin brought to index 0."""
    d = part.shape[-1]
    padded = part.new_zeros((*part.shape[:-1], grid_px))
    padded[..., : d - d // 2] = part[..., d // 2 :]
    padded[..., grid_px - d // 2 :] = part[..., : d // 2]
    return padded


def _cropped(part: Tensor, size: int) -> Tensor:
    """The middle of the last axis, its origin brought from index 0 to size//2."""
    n = part.shape[-1]
    return torch.cat([part[..., n - size // 2 :], part[..., : size - size // 2]], -1)
