"""The background of images, outside the particle's circle: normalised by it, or taken out."""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Float, Int, PerParticle
from gemmap.geometry.grids import centre
from gemmap.particles.stack import ImageStack


@dataclass(frozen=True, eq=False)
class Circles:
    """Where the particle is in each of n images, in pixels.

    Attributes
    ----------
    radius_px
        (n,), of the circle that holds the particle.
    edge_px
        (n,), width of a soft edge around it.
    centre_px
        (n, 2), (x, y) of the particle from the image's origin at N//2: minus the shift that centres it.
    """

    radius_px: PerParticle
    edge_px: PerParticle
    centre_px: Float[np.ndarray, "n 2"]


class NormalisedStack:
    """Images on the scale of their own background, as RELION's: implements ``ImageStack``.

    From each image the plane a + b x + c y is subtracted that fits, by least squares, the pixels outside the circle
    about the image's origin (RELION subtracts this ramp unless told otherwise), and it is divided by the standard
    deviation that these pixels are left with. Where they are constant it is not divided; a constant image becomes 0.
    """

    def __init__(self, source: ImageStack, circles: Circles) -> None:
        self._source, self._radius_px = source, circles.radius_px

    @property
    def n(self) -> int:
        """Number of particles."""
        return self._source.n

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._source.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        images, radius = self._source.read(rows), self._radius_px[rows]
        out = np.empty(images.shape, np.float32)
        for r in np.unique(radius):
            places = np.flatnonzero(radius == r)
            out[places] = normalise(images[places], float(r))
        return out


class WindowedStack:
    """Images whose background, outside the particle's circle, is its mean: implements ``ImageStack``.

    The circle is about the particle, not the image. Its edge is a raised cosine that begins at the radius.
    """

    def __init__(self, source: ImageStack, circles: Circles) -> None:
        self._source, self._circles = source, circles

    @property
    def n(self) -> int:
        """Number of particles."""
        return self._source.n

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._source.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright (white)."""
        images, circles = self._source.read(rows), self._circles
        out = np.empty(images.shape, np.float32)
        for place, row in enumerate(rows):
            where = circles.radius_px[row], circles.edge_px[row], circles.centre_px[row]
            out[place] = _windowed(images[place], *where)
        return out


def normalise(images: Float[np.ndarray, "n d d"], radius_px: float) -> Float[np.ndarray, "n d d"]:
    """Images with background of mean 0, no ramp and standard deviation 1; see :class:`NormalisedStack`."""
    box = images.shape[-1]
    x = np.arange(box) - centre(box)
    y = x[:, None]
    outside = (x**2 + y**2 > radius_px**2).ravel()
    plane = np.stack([np.ones(box**2), np.broadcast_to(x, (box, box)).ravel(), np.broadcast_to(y, (box, box)).ravel()])
    flat = images.reshape(len(images), -1)
    fit = flat[:, outside] @ np.linalg.pinv(plane[:, outside])
    level = flat - fit @ plane
    level[np.ptp(flat, axis=1) == 0] = 0.0
    spread = level[:, outside].std(axis=1, keepdims=True)
    constant = spread <= 1e-6 * np.abs(fit[:, :1])
    return np.asarray((level / np.where(constant, 1.0, spread)).reshape(images.shape), np.float32)


def _windowed(
    image: Float[np.ndarray, "d d"], radius_px: float, edge_px: float, centre_px: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "d d"]:
    x = np.arange(image.shape[-1], dtype=np.float32) - np.float32(centre(image.shape[-1]))
    distance = np.hypot(x - np.float32(centre_px[0]), (x - np.float32(centre_px[1]))[:, None])
    outside = 0.5 - 0.5 * np.cos(np.float32(np.pi) * np.clip((distance - radius_px) / edge_px, 0.0, 1.0))
    mean = np.average(image, weights=outside)
    return np.asarray(image + outside * (mean - image))
