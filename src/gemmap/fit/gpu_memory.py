"""How much memory of a GPU a reconstruction may take, worked out before it starts and held to while it runs.

Counted, never measured: none of this has run on a GPU.
"""

from dataclasses import dataclass

import torch

from gemmap.errors import InputError
from gemmap.fit.aggregate import grid_size
from gemmap.fit.memory import FIT_BYTES, batch_bytes
from gemmap.fit.split import N_SETS

#: Real part, imaginary part and weight, float32; of the sets of a half, and of a copy while one of them is finished.
_GRID_BYTES = 12 * (N_SETS + 1)
#: In images of float32, for each image of a batch: two uploads, its transform and the workspace of that, its slice.
_IMAGES_EACH = 7


@dataclass(frozen=True)
class GpuMemoryPlan:
    """What is allowed, and how it is used.

    Attributes
    ----------
    limit_bytes
        Most that the user allows.
    least_bytes
        Without which nothing goes: the grids with one image, or a fit, whichever is more.
    batch_images
        Images inserted at a time.
    """

    limit_bytes: int
    least_bytes: int
    batch_images: int


def plan_gpu_memory(box_px: int, limit_bytes: int, batch_size: int = 0) -> GpuMemoryPlan:
    """Return the plan for images of this box; ``batch_size`` is that of the images engine.

    Raises
    ------
    InputError
        If the grids, or a fit, need more than is allowed.
    """
    m = grid_size(box_px)
    points, image_bytes = m * m * (m // 2 + 1), _IMAGES_EACH * 4 * box_px**2
    grids = _GRID_BYTES * points
    least = max(grids + image_bytes, FIT_BYTES * points + batch_bytes(box_px, batch_size))
    if least > limit_bytes:
        raise InputError(
            f"A box of {box_px} px needs at least {least / 1e9:.3g} GB of the GPU's memory and --gpu-memory allows "
            f"{limit_bytes / 1e9:.3g} GB; allow more, downsample the particles, or give --device cpu."
        )
    return GpuMemoryPlan(limit_bytes, least, (limit_bytes - grids) // image_bytes)


def hold_to(device: str, limit_bytes: int) -> None:
    """Have PyTorch refuse this process more memory of a GPU than this, as if the GPU had no more.

    What the driver takes for itself, some hundred MB, is not counted.
    """
    index = torch.device(device).index
    number = torch.cuda.current_device() if index is None else index
    there = torch.cuda.get_device_properties(number).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / there), number)
