"""What a mask is, whoever made it: how soft, how large, how close to the particle, and what it leaves out."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.spatial

from gemmap._types import Bool, Float, Volume
from gemmap.errors import InputError
from gemmap.validate.masks import Particle, find_particle

#: An edge narrower than this correlates far up in Fourier space.
SHARP_PX = 3.0
#: The mask's half level nearer to the particle than this is tight: the cosine edge begins inside the density.
TIGHT_PX = 2.0
#: A mask that leaves out more than this share of the particle's density cuts it.
CUT_SHARE = 0.02
#: More of the box than this is no mask.
WHOLE_BOX = 0.9
#: A mask above this on a face of the box reaches the box's edge.
_AT_FACE = 0.1
#: Points of the mask's surface whose distance to the particle is measured, at most.
_SURFACE_POINTS = 5000


@dataclass(frozen=True)
class MaskReport:
    """Figures of a mask, alone and against the particle that a map shows.

    Attributes
    ----------
    fraction_of_box
        Share of voxels above one half.
    edge_px
        Width of the soft edge in pixels, from the slope at half height, for a raised cosine; None for a binary mask. It
        cannot tell widths below 2 px from 2.
    touches_box
        Whether the mask is above 0.1 on a face of the box.
    margin_px
        Median distance in pixels from the mask's half level to the particle, negative where that is outside; None if
        no particle is seen, or the mask has no surface.
    left_out
        Share of the particle's density outside the mask, weighted by 1 - mask; None if no particle is seen.
    """

    fraction_of_box: float
    edge_px: float | None
    touches_box: bool
    margin_px: float | None
    left_out: float | None

    def sentences(self) -> list[str]:
        """What a referee would ask about, one sentence each."""
        if self.fraction_of_box > WHOLE_BOX:
            return [f"The mask covers {self.fraction_of_box:.0%} of the box: it takes no solvent away."]
        found = []
        if self.edge_px is None:
            found.append("The mask is binary: its sharp edge correlates; give it a soft edge of 5 px or more.")
        elif self.edge_px < SHARP_PX:
            found.append(
                f"The mask's edge is {self.edge_px:.1f} px wide, and sharp edges correlate; make it 5 px or wider."
            )
        if self.touches_box:
            found.append("The mask reaches the edge of the box, where maps wrap around: use a larger box or less mask.")
        if self.left_out is not None and self.left_out > CUT_SHARE:
            found.append(
                f"The mask leaves out {self.left_out:.0%} of the density of the particle: right if it is meant for a "
                "part, wrong otherwise."
            )
        elif self.margin_px is not None and self.margin_px < TIGHT_PX:
            found.append(
                f"The mask is tight: half of its surface lies within {max(self.margin_px, 0.0):.1f} px of the density; "
                "extend it."
            )
        return found


def report_mask(mask: Volume, volume: Volume, pixel_size_a: float, workers: int = 1) -> MaskReport:
    """Describe a mask of a map.

    Parameters
    ----------
    mask
        (N, N, N), 0 to 1.
    volume
        (N, N, N), the mean of the half-maps, particle positive. The particle is what
        :func:`gemmap.validate.masks.find_particle` sees in it; none if it does not stand out of the noise.
    pixel_size_a
        Å.
    workers
        Threads of the Fourier transforms.
    """
    particle = _particle_seen(volume, pixel_size_a, workers)
    inside = mask > 0.5
    return MaskReport(
        fraction_of_box=float(inside.mean()),
        edge_px=edge_width_px(mask),
        touches_box=_largest_on_faces(mask) > _AT_FACE,
        margin_px=None if particle is None else _margin_px(inside, particle.voxels),
        left_out=None if particle is None else _left_out(mask, volume, particle),
    )


def _particle_seen(volume: Volume, pixel_size_a: float, workers: int) -> Particle | None:
    try:
        particle = find_particle(volume, pixel_size_a, workers=workers)
    except InputError:
        return None
    return particle if particle.stands_out else None


def edge_width_px(mask: Volume) -> float | None:
    """Width of a mask's raised-cosine edge from the slope where it is about one half; None if nothing is between.

    Along the normal the central difference of (1 + cos(pi d / w)) / 2 at half height is sin(pi / w) / 2.
    """
    middle = (mask > 0.35) & (mask < 0.65)
    middle[[0, -1]] = middle[:, [0, -1]] = middle[:, :, [0, -1]] = False
    z, y, x = np.nonzero(middle)
    if len(z) == 0:
        return None
    steps = (
        mask[z + 1, y, x] - mask[z - 1, y, x],
        mask[z, y + 1, x] - mask[z, y - 1, x],
        mask[z, y, x + 1] - mask[z, y, x - 1],
    )
    slope = float(np.median(np.sqrt(sum(step.astype(np.float64) ** 2 for step in steps)))) / 2.0
    return float(np.pi / np.arcsin(min(2.0 * slope, 1.0))) if slope > 0 else None


def _largest_on_faces(mask: Volume) -> float:
    return float(max(np.take(mask, (0, -1), axis=axis).max() for axis in range(3)))


def _left_out(mask: Volume, volume: Volume, particle: Particle) -> float:
    """Share of the particle's positive density that the mask takes away."""
    density = np.maximum(volume[particle.voxels], 0.0).astype(np.float64)
    total = float(density.sum())
    outside = 1.0 - np.clip(mask[particle.voxels], 0.0, 1.0).astype(np.float64)
    return float((density * outside).sum()) / total if total > 0 else 0.0


def _margin_px(inside: Bool[np.ndarray, "n n n"], particle: Bool[np.ndarray, "n n n"]) -> float | None:
    """Median signed distance from the surface of a mask to the particle: negative where the surface is inside it."""
    surface = _surface(inside)
    if len(surface) == 0:
        return None
    points = surface[:: max(1, len(surface) // _SURFACE_POINTS)]
    distance_px = scipy.spatial.cKDTree(_surface(particle)).query(points)[0]
    sign = np.where(particle[tuple(points.T)], -1.0, 1.0)
    return float(np.median(sign * distance_px))


def _surface(inside: Bool[np.ndarray, "n n n"]) -> Float[np.ndarray, "p 3"]:
    """Voxels (z, y, x) of a body with a neighbour, by faces, that is not; the box's edge is none."""
    return np.argwhere(inside & ~scipy.ndimage.binary_erosion(inside, border_value=1))
