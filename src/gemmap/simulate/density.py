"""Projections and the truth volume of points with Gaussian form factors, both from their closed form in Fourier space.

The transform of a point at p with form factor f is f(|k|) exp(-2 pi i k.p). A projection is the sum at k_vol = A^T
(kx, ky, 0), the volume the sum on the whole grid: projections are central slices of the truth to the accuracy of the
sums (1e-3). Grey values are V(x) times the voxel's volume, so that the sum over voxels is the mass. The map is
band-limited to the box: at even sizes the unpaired frequency -N/2 is 0.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.fft

from gemmap._types import Complex, Rotations, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import centred_slice
from gemmap.simulate.scattering import GaussianPoints
from gemmap.simulate.splatting import FourierSum

#: Distance over which the density of an atom fades, Å.
EDGE_A = 5.0


class Projector:
    """Projections of a density, in any orientation, as half-plane Fourier transforms.

    Parameters
    ----------
    density
        One or more sets of points; the density is their sum.
    box_px, pixel_size_a
        Side of the images in pixels and the pixel's side in Å.
    magnification
        (m00, m01, m10, m11) of M: the image's transform at k is the projection's at M k.

    Raises
    ------
    InputError
        If a point lies farther from the origin than half the box.
    """

    def __init__(
        self,
        density: Sequence[GaussianPoints],
        box_px: int,
        pixel_size_a: float,
        magnification: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0),
    ) -> None:
        self._m = np.reshape(magnification, (2, 2))
        # A point at p is seen at M^T p.
        require_inside(density, box_px, pixel_size_a / float(np.linalg.norm(self._m, 2)))
        self._sum = FourierSum(box_px)
        self._parts = [_single(points, pixel_size_a) for points in density]
        ky = np.fft.fftfreq(box_px, pixel_size_a)[:, None]
        kx = np.fft.rfftfreq(box_px, pixel_size_a)
        at_x, at_y = self._m[0, 0] * kx + self._m[0, 1] * ky, self._m[1, 0] * kx + self._m[1, 1] * ky
        k2 = at_x**2 + at_y**2
        self._filters = [(p.form_factors(k2) * self._sum.correction_half).astype(np.float32) for p in density]

    def fourier(self, rotations: Rotations, workers: int = 1) -> Complex[np.ndarray, "n d h"]:
        """Fourier transforms of the projections, axes (image, ky, kx), complex64, origin at pixel N//2."""
        out = np.empty((len(rotations), self._sum.box_px, self._sum.n_kx), np.complex64)

        def project(i: int) -> None:
            plane = self._m.T @ np.asarray(rotations[i, :2], np.float64)
            out[i] = sum(
                np.einsum("rij,rij->ij", self._sum.half_plane(self._sum.spread(positions, plane, weights)), filters)
                for (positions, weights), filters in zip(self._parts, self._filters, strict=True)
            )

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(project, range(len(rotations))))
        return out


def truth_volume(density: Sequence[GaussianPoints], box_px: int, pixel_size_a: float, workers: int = 1) -> Volume:
    """The density on the grid of a box, axes (z, y, x), float32, origin at voxel N//2.

    One plane of frequencies (ky, kx) at a time: the phase exp(-2 pi i kz z) makes the weights complex.

    Raises
    ------
    InputError
        If a point lies farther from the origin than half the box.
    """
    require_inside(density, box_px, pixel_size_a)
    return _volume(density, box_px, pixel_size_a, workers, lambda: None)


def density_in_box(
    density: GaussianPoints,
    box_px: int,
    pixel_size_a: float,
    workers: int = 1,
    watch: Callable[[], None] = lambda: None,
) -> Volume:
    """The density of points that lie anywhere in the box, its corners and faces too, as `truth_volume` writes it.

    Where a point is close to a face the sum is done in a larger box and cut, so that nothing comes in at the far side.

    Parameters
    ----------
    density
        Points, their positions counted from voxel N//2.
    box_px, pixel_size_a
        Side of the box in pixels and of a voxel in Å.
    workers
        Threads.
    watch
        Called after each plane of frequencies; there are `density_planes` of them.

    Raises
    ------
    InputError
        If a point lies outside the box.
    """
    index = density.positions_a / pixel_size_a + box_px // 2
    if len(index) and not (index.min() > -1.0 and index.max() < box_px):
        raise InputError(
            f"A point of the density lies outside a box of {box_px} px: leave it out, or use a larger box."
        )
    outer_px = _outer_box(density, box_px, pixel_size_a)
    volume = _volume([density], outer_px, pixel_size_a, workers, watch)
    inner = centred_slice(outer_px, box_px)
    return np.ascontiguousarray(volume[inner, inner, inner])


def density_planes(density: GaussianPoints, box_px: int, pixel_size_a: float) -> int:
    """Number of planes that `density_in_box` goes through."""
    return (_outer_box(density, box_px, pixel_size_a) + 1) // 2


def _outer_box(density: GaussianPoints, box_px: int, pixel_size_a: float) -> int:
    """Smallest box, of the same parity, that keeps the points away from its faces by what an atom spreads over."""
    reach_px = float(np.abs(density.positions_a).max(initial=0.0)) / pixel_size_a + max(2.0, EDGE_A / pixel_size_a)
    missing = int(np.ceil(reach_px)) - (box_px - 1) // 2
    return box_px + 2 * max(0, missing)


def _volume(
    density: Sequence[GaussianPoints], box_px: int, pixel_size_a: float, workers: int, watch: Callable[[], None]
) -> Volume:
    plane_sum = FourierSum(box_px)
    k = np.fft.fftfreq(box_px, pixel_size_a)
    k2 = k[:, None] ** 2 + k**2
    parts = [_single(points, pixel_size_a) for points in density]
    fourier = np.zeros((box_px, box_px, plane_sum.n_kx), np.complex64)

    def add_plane(kz: int) -> None:
        for points, (positions, weights) in zip(density, parts, strict=True):
            phase = np.exp(-2j * np.pi * kz / (box_px * pixel_size_a) * points.positions_a[:, 2:3])
            grid = plane_sum.spread(positions, np.eye(2, 3), (weights * phase).astype(np.complex64))
            form = points.form_factors(k2 + (kz / (box_px * pixel_size_a)) ** 2)
            fourier[:, :, kz] += np.einsum("rij,rij->ij", plane_sum.full_plane(grid), form.astype(np.float32))
        fourier[:, :, kz] *= plane_sum.correction_full

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(add_plane, range((box_px + 1) // 2)):
            watch()
    volume_yxz = scipy.fft.irfftn(fourier, s=(box_px,) * 3, workers=workers)
    return np.ascontiguousarray(np.fft.fftshift(volume_yxz).transpose(2, 0, 1), dtype=np.float32)


def require_inside(density: Sequence[GaussianPoints], box_px: int, pixel_size_a: float) -> None:
    """Check that every point, with the spreading kernel's two pixels, stays within the box in every orientation.

    Raises
    ------
    InputError
        Naming the smallest box that holds the points.
    """
    radius_a = max(float(np.sqrt((points.positions_a**2).sum(axis=1)).max(initial=0.0)) for points in density)
    required = 2 * int(np.ceil(radius_a / pixel_size_a + 2.0))
    if required > box_px:
        raise InputError(
            f"The density reaches {radius_a:.1f} Å from its centre, but a box of {box_px} px at {pixel_size_a:g} Å "
            f"holds {max(0.0, (box_px / 2 - 2) * pixel_size_a):.1f} Å: use a box of at least {required} px."
        )


def _single(points: GaussianPoints, pixel_size_a: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions in pixels and weights, in single precision and laid out for the loops."""
    return (
        np.ascontiguousarray(points.positions_a / pixel_size_a, np.float32),
        np.ascontiguousarray(points.weights, np.float32),
    )
