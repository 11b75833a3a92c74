"""Where a map may differ from zero, and the working cube in which it is fitted."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gemmap._types import Volume
from gemmap.errors import InputError
from gemmap.fit.normal import working_size
from gemmap.geometry.grids import centred_slice
from gemmap.validate.masks import soft_mask_from_map, spherical_mask

#: Width of the sphere's soft edge in voxels: a sharp edge, shared by both halves, would correlate far up in Fourier
#: space.
EDGE_PX = 6.0
#: The particle is found in the map low-passed to this many Å, or to this many voxels if that is coarser.
ENVELOPE_A, ENVELOPE_PX = 15.0, 5.0


@dataclass(frozen=True, eq=False)
class Region:
    """A soft window of the box, (D, D, D) in 0..1, and the side of the centred working cube that holds it."""

    window: Volume
    size: int
    radius_px: float

    @classmethod
    def build(cls, box_px: int, radius_px: float, mask: Volume | None, edge_px: float = EDGE_PX) -> "Region":
        """A sphere of the given radius with a soft edge beyond, in pixels, narrowed by the user's mask.

        Raises
        ------
        InputError
            If the mask is zero everywhere in the sphere.
        """
        window = spherical_mask(box_px, radius_px, edge_px)
        if mask is not None:
            window = (window * mask).astype(np.float32)
            if not (window > 0).any():
                raise InputError(
                    "The mask is empty inside the particle sphere: check its position and --particle-diameter."
                )
        return cls(window, working_size(box_px, radius_px + edge_px - EDGE_PX), radius_px)

    def on(self, device: torch.device) -> Float[Tensor, "d d d"]:
        """The window on the working cube."""
        return to_cube(self.window, self.size, device)

    def envelope(self, volume: Volume, pixel_size_a: float) -> Volume:
        """Soft envelope of the particle seen in a map, inside the window; the window itself if none is seen."""
        try:
            mask = soft_mask_from_map(
                volume,
                pixel_size_a,
                2.0 * self.radius_px * pixel_size_a,
                lowpass_a=max(ENVELOPE_A, ENVELOPE_PX * pixel_size_a),
                workers=torch.get_num_threads(),
            )
        except InputError:
            return self.window
        mask = (mask * self.window).astype(np.float32)
        return mask if mask.any() else self.window


def to_cube(volume: Volume, size: int, device: torch.device) -> Float[Tensor, "d d d"]:
    """The centred cube of a map, on a device."""
    part = volume[(centred_slice(volume.shape[0], size),) * 3]
    return torch.from_numpy(np.ascontiguousarray(part)).to(device)


def to_box(volume: Float[Tensor, "d d d"], box_px: int, unit: float) -> Volume:
    """A map of the working cube, in grey values, in the whole box."""
    out = np.zeros((box_px,) * 3, np.float32)
    out[(centred_slice(box_px, volume.shape[0]),) * 3] = (volume * unit).cpu().numpy()
    return out
