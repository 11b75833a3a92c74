"""A sample of the images: read once, measured, and kept as low-frequency transforms."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch

from gemmap._types import Bool, Complex, Float, Int
from gemmap.errors import InputError
from gemmap.geometry.grids import radius_px, shell_index
from gemmap.particles.batches import images_per_chunk
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.noise import RELATIVE_FLOOR

#: Images looked at, and the largest box that their transforms are cut to.
IMAGES, KEPT_BOX_PX = 1500, 128
#: Outside this fraction of half the box lies background, as RELION's normalisation assumes at most.
BACKGROUND_FROM = 0.9


@dataclass(frozen=True, eq=False)
class ImageStatistics:
    """Measured on images as read, one number each.

    Attributes
    ----------
    rows
        Particle numbers, from 0.
    not_finite, constant
        Whether some pixel is no finite number, and whether all pixels are alike.
    mean, sd
        Of the background: the pixels outside 0.9 of the largest circle in the box. 0 for dead images.
    """

    rows: Int[np.ndarray, " n"]
    not_finite: Bool[np.ndarray, " n"]
    constant: Bool[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    sd: Float[np.ndarray, " n"]

    @property
    def dead(self) -> Bool[np.ndarray, " n"]:
        """Images that say nothing."""
        return np.asarray(self.not_finite | self.constant)


@dataclass(frozen=True, eq=False)
class Sample:
    """Live images of a sample, background mean 0 and standard deviation 1, as transforms of a smaller box.

    Where the background is constant (masked images, simulated ones) the whole image has standard deviation 1.

    Attributes
    ----------
    rows, table
        Particle numbers from 0, and their rows of the table.
    transforms
        (n, c, c//2 + 1) complex64, plain rfft2 of the normalised image cut to c pixels, with the factor (c/D)^2: white
        noise of variance 1 has power c^4 / D^2.
    box_px, pixel_size_a
        c, and Å per pixel there.
    noise, whole
        Power of white-noise-like background and of whole images, for shells 0 .. D//2 of the full box, in units of
        white noise of the same variance.
    statistics
        Of all images of the sample, dead ones too.
    """

    rows: Int[np.ndarray, " n"]
    table: ParticleTable
    transforms: Complex[np.ndarray, "n c h"]
    box_px: int
    pixel_size_a: float
    noise: Float[np.ndarray, " shells"]
    whole: Float[np.ndarray, " shells"]
    statistics: ImageStatistics

    def __len__(self) -> int:
        return len(self.rows)

    def cropped(self, box_px: int) -> Complex[np.ndarray, "n s h"]:
        """Transforms cut to an even box no larger than this sample's."""
        return crop_transforms(self.transforms, box_px)


def crop_transforms(transforms: np.ndarray, box_px: int) -> np.ndarray:
    """Cut plain rfft2 arrays of an even box to a smaller even box, values kept; the origin stays at index N//2."""
    if box_px == transforms.shape[-2]:
        return transforms
    half = box_px // 2
    # At even sizes the origin N//2 is the sign (-1)^(kx + ky) in both boxes.
    return np.concatenate([transforms[:, :half, : half + 1], transforms[:, -half:, : half + 1]], axis=1)


def choose_rows(table: ParticleTable, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """Up to ``n`` particles at random, ascending: different images, of the box and pixel size that most have."""
    _, first = np.unique(table.original_image, return_index=True)
    frames = [(g.box_px, g.pixel_size_a) for g in table.optics]
    frame_of = np.array([frames.index(f) for f in frames])[table.optics_group[first]]
    first = first[frame_of == np.bincount(frame_of).argmax()]
    if len(first) > n:
        first = np.random.default_rng(seed).choice(first, n, replace=False)
    return np.sort(first)


def measure(stack: ImageStack, rows: Int[np.ndarray, " n"]) -> ImageStatistics:
    """Read images and measure each by itself."""
    parts = [_statistics(stack.read(chunk), chunk) for chunk in _chunks(rows, stack.box_px)]
    return _join(parts)


def take_sample(table: ParticleTable, stack: ImageStack, rows: Int[np.ndarray, " n"]) -> Sample:
    """Read the images of some particles and keep what the checks of contrast, shifts and CTF need.

    Raises
    ------
    InputError
        If none of the images is alive.
    """
    box = stack.box_px
    kept_px = min(KEPT_BOX_PX, box)
    window = background(box)
    shell = shell_index(box, 2)
    parts: list[ImageStatistics] = []
    transforms: list[np.ndarray] = []
    noise, whole = np.zeros(shell.shape), np.zeros(shell.shape)
    for chunk in _chunks(rows, box):
        images = stack.read(chunk)
        found = _statistics(images, chunk)
        parts.append(found)
        live = ~found.dead
        if not live.any():
            continue
        images = images[live] - found.mean[live, None, None]
        images /= np.where(found.sd[live] > 0, found.sd[live], images.std(axis=(1, 2)))[:, None, None]
        full = _rfft2(images)
        transforms.append(crop_transforms(full, kept_px) * np.float32((kept_px / box) ** 2))
        whole += np.square(np.abs(full), dtype=np.float64).sum(axis=0)
        noise += np.square(np.abs(_rfft2(images * window)), dtype=np.float64).sum(axis=0)
    statistics = _join(parts)
    alive = statistics.rows[~statistics.dead]
    if not len(alive):
        raise InputError(f"All {len(rows)} images of a sample are constant or hold no numbers; check the stacks.")
    weight = np.full(shell.shape, 2.0)
    weight[:, 0] = 1.0
    count = np.bincount(shell.ravel(), weight.ravel())

    def per_shell(power: np.ndarray, unit: float) -> np.ndarray:
        curve = np.bincount(shell.ravel(), (weight * power).ravel()) / count / (len(alive) * unit)
        return np.asarray(curve[: box // 2 + 1])

    total = per_shell(whole, float(box**2))
    # As the fit does: without noise no shell may weigh infinitely more than others.
    floor = RELATIVE_FLOOR * np.maximum(total, total.mean())
    pixel_size_a = table.optics[int(table.optics_group[rows[0]])].pixel_size_a
    return Sample(
        rows=alive,
        table=table.select(alive),
        transforms=np.concatenate(transforms).astype(np.complex64),
        box_px=kept_px,
        pixel_size_a=pixel_size_a * box / kept_px,
        noise=np.maximum(per_shell(noise, float(np.square(window).sum())), floor),
        whole=total,
        statistics=statistics,
    )


def background(box_px: int) -> Float[np.ndarray, "d d"]:
    """1 outside 0.9 of the largest circle in the box, 0 inside."""
    return (radius_px(box_px, 2) > BACKGROUND_FROM * box_px / 2).astype(np.float32)


def _statistics(images: Float[np.ndarray, "b d d"], rows: Int[np.ndarray, " b"]) -> ImageStatistics:
    outside = images[:, background(images.shape[-1]) > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = images.min(axis=(1, 2)), images.max(axis=(1, 2))
        not_finite = ~(np.isfinite(low) & np.isfinite(high))
        mean, sd = outside.mean(axis=1, dtype=np.float64), outside.std(axis=1, dtype=np.float64)
    constant = ~not_finite & (low == high)
    dead = not_finite | constant
    return ImageStatistics(rows, not_finite, constant, np.where(dead, 0.0, mean), np.where(dead, 0.0, sd))


def _join(parts: list[ImageStatistics]) -> ImageStatistics:
    names = ("rows", "not_finite", "constant", "mean", "sd")
    return ImageStatistics(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _chunks(rows: Int[np.ndarray, " n"], box_px: int) -> list[Int[np.ndarray, " b"]]:
    return np.array_split(rows, max(1, -(-len(rows) // images_per_chunk(box_px, 2**25))))


def _rfft2(images: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.fft.rfft2(images, workers=torch.get_num_threads()))
