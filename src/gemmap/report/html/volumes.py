"""The maps of a run at the size of a page: cut to the particle, downsampled, in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gemmap._types import Float, Volume
from gemmap.geometry.grids import centre
from gemmap.physics.fourier import centred_irfftn, centred_rfftn, crop_centred
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import packed

#: Maps by their name in the page.
MAPS: Mapping[str, tuple[str, str]] = {
    "map": ("run_class001.mrc", "Final map"),
    "sharpened": ("run_class001_sharpened.mrc", "Sharpened map"),
    "half1": ("run_half1_class001_unfil.mrc", "Half-map 1"),
    "half2": ("run_half2_class001_unfil.mrc", "Half-map 2"),
    "backprojection": ("backprojection.mrc", "Back-projection"),
}
LOCAL_RESOLUTION = "locres.mrc"
#: Side of what is shown, in particle diameters.
_MARGIN = 1.3
#: Most voxels along a side in 3-D, and pixels along a side of a slice.
LARGEST_SIDE, LARGEST_SLICE = 96, 200
#: Local resolutions between these percentiles of the mask span the colours.
_COLOUR_RANGE = (2.0, 98.0)
_DARKEST = 0.15


@dataclass(eq=False)
class Volumes:
    """What the parts that show maps have in common."""

    run: RunFiles

    @cached_property
    def mask(self) -> Volume | None:
        """Where the particle is: True inside the mask of the curves."""
        found = self.run.map("mask.mrc")
        return None if found is None else found[0] > 0.5

    @cached_property
    def local(self) -> tuple[Volume, float] | None:
        """Local resolution in Å, 0 where it was not measured, and pixel size."""
        return self.run.map(LOCAL_RESOLUTION)

    @cached_property
    def local_range_a(self) -> tuple[float, float] | None:
        """Ends of the colours, finer first."""
        if self.local is None:
            return None
        inside = self.local[0] > 0
        if self.mask is not None and self.mask.shape == inside.shape and (inside & self.mask).any():
            inside &= self.mask
        if not inside.any():
            return None
        low, high = np.percentile(self.local[0][inside], _COLOUR_RANGE)
        return float(low), float(max(high, low + 0.1))

    def window_px(self, box_px: int, pixel_size_a: float) -> int:
        """Side of the cube about the origin that holds the particle, even."""
        diameter_a = self.run.number("results", "particle_diameter_a")
        if diameter_a is None or not pixel_size_a > 0:
            return box_px
        return min(2 * int(np.ceil(0.5 * _MARGIN * diameter_a / pixel_size_a)), box_px)


def downsample(volume: Volume, box_px: int) -> Volume:
    """Return a cube with fewer voxels of the same field of view, by cropping its transform; the origin stays."""
    n = len(volume)
    if box_px >= n:
        return volume
    half = np.fft.fftshift(centred_rfftn(volume, 3), axes=(0, 1))
    low = centre(n) - centre(box_px)
    kept = half[low : low + box_px, low : low + box_px, : box_px // 2 + 1]
    small = centred_irfftn(np.fft.ifftshift(kept, axes=(0, 1)), box_px, 3) * (box_px / n) ** 3
    return np.asarray(small, np.float32)


def for_page(volume: Volume, window_px: int) -> tuple[Volume, float]:
    """Return the cube of ``window_px`` about the origin with at most LARGEST_SIDE voxels, and old voxels per voxel."""
    cube = crop_centred(volume, window_px)
    box_px = min(window_px, LARGEST_SIDE)
    return downsample(cube, box_px), window_px / box_px


def in_bytes(volume: Volume) -> dict[str, Any]:
    """Return a map as bytes between its ends, with the grey values of 0 and 255.

    The lower end is not below the mean: what is solvent is not looked at.
    """
    low, high = float(volume.mean()), float(volume.max())
    step = (high - low) / 255.0 or 1.0
    values = np.clip(np.rint((volume - low) / step), 0, 255).astype(np.uint8)
    return {**packed(values), "low": low, "step": step}


def colours(n: int = 256) -> Float[np.ndarray, "n 3"]:
    """Return a palette that is even in lightness for every reader (cividis), red, green and blue of 0 to 255.

    Its darkest part, which is lost on a dark page, is left out.
    """
    from matplotlib import colormaps

    return np.asarray(colormaps["cividis"](np.linspace(_DARKEST, 1.0, n))[:, :3] * 255.0).round()


def gradient_css(palette: Float[np.ndarray, "n 3"]) -> str:
    """Return a palette as the background of a bar, first colour on the left."""
    stops = palette[np.linspace(0, len(palette) - 1, 9).round().astype(int)].astype(int).tolist()
    return f"linear-gradient(to right, {', '.join(f'rgb({r},{g},{b})' for r, g, b in stops)})"
