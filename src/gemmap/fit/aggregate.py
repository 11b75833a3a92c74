"""The one pass: particles in, a quadratic form out.

For fixed poses the loss is quadratic in the map, L(V) = 1/2 sum_g W |F|^2 - sum_g Re(conj(N) F) with
F = FFT(pad(apod V)) on a Fourier grid of side M = oversampling * D. The weight W and the numerator N are all a fit
needs from the particles, and they add: over chunks, machines and half-sets.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.fft

from gemmap._types import Complex, Float, Int
from gemmap.errors import InputError
from gemmap.geometry.symmetry import NO_SYMMETRY, PointGroup, related_views
from gemmap.kernels import slices
from gemmap.kernels.symmetrise import symmetrised
from gemmap.particles.optics import image_model
from gemmap.particles.table import ParticleTable

#: Side of the Fourier grid over the box: 1.5 keeps the gridding error under 2 % inside a quarter of the box
#: (docs/accuracy.md).
OVERSAMPLING = 1.5


def grid_size(box_px: int) -> int:
    """Even side of the Fourier grid: at least 1.5 times the box, with small prime factors for the FFT."""
    m = int(np.ceil(OVERSAMPLING * box_px))
    m += m % 2
    while scipy.fft.next_fast_len(m, real=True) != m or m % 2:
        m += 1
    return m


@dataclass(frozen=True, eq=False)
class Aggregate:
    """Numerator and weight on the half-complex Fourier grid (z and y in FFT order, x >= 0); real-space origin at N//2.

    Attributes
    ----------
    numerator
        (M, M, M//2 + 1) complex64: back-projected c T y / sigma^2.
    weight
        (M, M, M//2 + 1) float32: back-projected c^2 T^2 / sigma^2, >= 0.
    n_particles
        Particles, however many views each of them serves by symmetry.
    symmetry
        Name of the group under which they were inserted (:func:`gemmap.geometry.symmetry.point_group`).
    """

    numerator: Complex[np.ndarray, "m m h"]
    weight: Float[np.ndarray, "m m h"]
    box_px: int
    pixel_size_a: float
    n_particles: int
    symmetry: str = NO_SYMMETRY.name

    @property
    def grid_px(self) -> int:
        """Side M of the Fourier grid."""
        return int(self.weight.shape[0])

    def __add__(self, other: Self) -> Self:
        """Add two aggregates of different particles."""
        if (self.box_px, self.grid_px) != (other.box_px, other.grid_px):
            raise InputError(
                f"Aggregates of box {self.box_px} and {other.box_px} px cannot be added: use particles of one box size."
            )
        if abs(self.pixel_size_a - other.pixel_size_a) > 1e-4 * self.pixel_size_a:
            raise InputError(
                f"Aggregates of pixel size {self.pixel_size_a:g} and {other.pixel_size_a:g} Å cannot be added: "
                "use particles of one pixel size."
            )
        if self.symmetry != other.symmetry:
            raise InputError(
                f"Aggregates of symmetry {self.symmetry} and {other.symmetry} cannot be added: insert all particles "
                "under one group."
            )
        return type(self)(
            self.numerator + other.numerator,
            self.weight + other.weight,
            self.box_px,
            self.pixel_size_a,
            self.n_particles + other.n_particles,
            self.symmetry,
        )


class Accumulator:
    """Sums the slices of many particles; numerator and weight lie interleaved in memory for the cache.

    Under a group with rotations R every slice enters at A R for each of them. Rotations that take the grid to itself
    are applied once, to the sums; slices are inserted for the others only, which gives the same to rounding.
    """

    def __init__(self, box_px: int, pixel_size_a: float, symmetry: PointGroup = NO_SYMMETRY) -> None:
        self.box_px, self.pixel_size_a, self.n_particles = box_px, pixel_size_a, 0
        self._symmetry = symmetry
        m = grid_size(box_px)
        self._volume = np.zeros((m, m, m // 2 + 1, 3), np.float32)

    def add(
        self,
        images: Float[np.ndarray, "b d d"],
        table: ParticleTable,
        inverse_noise: Float[np.ndarray, "g s"],
        group: Int[np.ndarray, " b"],
    ) -> None:
        """Add images with poses and optics of ``table``'s rows, whitened by ``inverse_noise[group]`` (1/sigma^2)."""
        model = image_model(table, self.box_px * self.pixel_size_a)
        prepared = slices.prepare(images, model, group, inverse_noise)
        for operator in self._symmetry.representatives:
            slices.insert(prepared, related_views(model.views, operator), self._volume)
        self.n_particles += len(table)

    @property
    def sums(self) -> Float[np.ndarray, "m m h 3"]:
        """Real part, imaginary part and weight so far, of half the image plane and before rotations of the grid.

        Another process may go on from them.
        """
        return self._volume

    @sums.setter
    def sums(self, values: Float[np.ndarray, "m m h 3"]) -> None:
        self._volume[...] = values

    def finish(self) -> Aggregate:
        """Return the aggregate; the accumulator must not be used afterwards."""
        slices.complete_plane(self._volume)
        if len(self._symmetry.on_grid) > 1:
            self._volume = symmetrised(self._volume, self._symmetry.on_grid)
        numerator = np.empty(self._volume.shape[:3], np.complex64)
        numerator.real = self._volume[..., 0]
        numerator.imag = self._volume[..., 1]
        weight = np.ascontiguousarray(self._volume[..., 2])
        del self._volume
        return Aggregate(numerator, weight, self.box_px, self.pixel_size_a, self.n_particles, self._symmetry.name)


def apodisation(box_px: int, grid_px: int) -> Float[np.ndarray, " d"]:
    """One axis of the trilinear kernel's transform, sinc^2(x / M), at the pixels of the box."""
    return np.sinc((np.arange(box_px) - box_px // 2) / grid_px) ** 2
