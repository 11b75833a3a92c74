"""Gaussians to images and back, on an NVIDIA GPU with triton: tensors in, tensors out.

The readable definitions are in :mod:`gemmap.kernels.reference_project`; these agree with them to float32 rounding.

What a Gaussian is in an image is worked out once, in float64, for blocks of Gaussians. Forward: a program owns a tile
of an image and adds up the Gaussians that reach into it, in their order: no atomics, and the same bits every time.
Backward: a Gaussian reads its own window in an image and takes the moments of order 0, 1 and 2 of gradient x kernel;
then, in blocks of Gaussians, the closed forms of all derivatives, summed over runs of images of a fixed length, and
what a block adds to the derivatives of the poses.
"""

from collections.abc import Iterator
from typing import TypeAlias

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from gemmap.gaussians import covariance
from gemmap.kernels.gpu_bins import bin_windows
from gemmap.kernels.gpu_projector import derive, splat, take_moments
from gemmap.kernels.gpu_views import N_SEEN, N_WINDOW, look, table_of_gaussians, table_of_views

Gradients: TypeAlias = tuple[
    Float[Tensor, "n 3"],
    Float[Tensor, "n 3"],
    Float[Tensor, "n 4"],
    Float[Tensor, " n"],
    Float[Tensor, "b 3 3"],
    Float[Tensor, "b 2"],
]

# Images are taken in groups, so that what is seen of n Gaussians in them, and the lists of tiles, stay below this.
_GROUP_BYTES = 2**27
# Of one Gaussian in one image, forward: what is seen and its window 48, counts 56, some two entries of a list 120.
_BYTES = 224
# A grid of programs has no more than 65535 along its second axis.
_MOST_IMAGES = 2**15
# Gaussians of a program that works out constants or derivatives, and images whose derivatives it adds up.
_BLOCK, _IMAGES = 128, 8
# Side of a tile, and Gaussians that a program takes at a time for it.
_TILE, _AT_A_TIME = 16, 8
# Gaussians of a program that takes moments, and pixels of their windows taken at a time.
_GAUSSIANS, _PIXELS = 8, 64


def project(
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    size: int,
    cut: float,
) -> Float[Tensor, "b d d"]:
    """Images of the Gaussians, float32; see :func:`gemmap.kernels.projections.project`."""
    n, b = len(masses), len(rotations)
    images = centres.new_empty((b, size, size))
    table, views = table_of_gaussians(centres, scales, quaternions, masses), table_of_views(rotations, shifts)
    per_axis = -(-size // _TILE)
    for here in _groups(n, b):
        seen, windows = _look(table, views[here], size, cut)
        number = here.stop - here.start
        tiles = number * per_axis**2
        before = torch.arange(number, device=centres.device).repeat_interleave(n) * per_axis**2
        members, begins = bin_windows(windows, before, size, _TILE, tiles)
        splat[(tiles,)](
            seen, members, begins, images[here], size, per_axis, cut * cut, TILE=_TILE, AT_A_TIME=_AT_A_TIME
        )
    return images


def project_gather(
    grad_images: Float[Tensor, "b d d"],
    centres: Float[Tensor, "n 3"],
    scales: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    masses: Float[Tensor, " n"],
    rotations: Float[Tensor, "b 3 3"],
    shifts: Float[Tensor, "b 2"],
    cut: float,
) -> Gradients:
    """Derivatives of <grad_images, images>, float32; see :func:`gemmap.kernels.projections.project_gather`."""
    n, b, size = len(masses), len(rotations), grad_images.shape[1]
    grad_images = grad_images.contiguous()
    table, views = table_of_gaussians(centres, scales, quaternions, masses), table_of_views(rotations, shifts)
    in_space = table.new_zeros((n, 10))
    of_poses = table.new_zeros((b, 8))
    for here in _groups(n, b) if n else ():
        seen, windows = _look(table, views[here], size, cut)
        number = here.stop - here.start
        moments = centres.new_empty((number, n, 6))
        take_moments[(triton.cdiv(n, _GAUSSIANS), number)](
            seen, windows, grad_images[here], moments, n, size, cut * cut, GAUSSIANS=_GAUSSIANS, PIXELS=_PIXELS
        )
        blocks, runs = triton.cdiv(n, _BLOCK), triton.cdiv(number, _IMAGES)
        of_runs, of_blocks = table.new_empty((runs, n, 10)), table.new_empty((blocks, number, 8))
        derive[(blocks, runs)](table, views[here], moments, of_runs, of_blocks, n, number, BLOCK=_BLOCK, IMAGES=_IMAGES)
        in_space += of_runs.sum(0)
        of_poses[here] = of_blocks.sum(0)
    # Columns 4 to 9 hold 2 dL/dS.
    g_covariances = 0.5 * in_space[:, [4, 5, 6, 5, 7, 8, 6, 8, 9]].reshape(-1, 3, 3)
    g_scales, g_quaternions = covariance.differentiate(g_covariances, scales.double(), quaternions.double())
    g_rotations = torch.zeros_like(rotations, memory_format=torch.contiguous_format)
    g_rotations[:, :2] = of_poses[:, :6].reshape(b, 2, 3)
    of_gaussians = in_space[:, 1:4], g_scales, g_quaternions, in_space[:, 0]
    g_centres, g_scales, g_quaternions, g_masses = (g.float().contiguous() for g in of_gaussians)
    return g_centres, g_scales, g_quaternions, g_masses, g_rotations, of_poses[:, 6:].float()


def _groups(n: int, b: int) -> Iterator[slice]:
    number = min(max(1, _GROUP_BYTES // (_BYTES * max(n, 1))), _MOST_IMAGES)
    return (slice(first, min(first + number, b)) for first in range(0, b, number))


def _look(
    table: Float[Tensor, "n 13"], views: Float[Tensor, "b 8"], size: int, cut: float
) -> tuple[Float[Tensor, "bn 8"], Int[Tensor, "bn 4"]]:
    """What is seen of every Gaussian in every image, and its window; images one after the other."""
    n, b = len(table), len(views)
    seen = table.new_empty((b * n, N_SEEN.value), dtype=torch.float32)
    windows = table.new_empty((b * n, N_WINDOW.value), dtype=torch.int32)
    if n:
        look[(triton.cdiv(n, _BLOCK), b)](table, views, seen, windows, n, size, cut, BLOCK=_BLOCK)
    return seen, windows
