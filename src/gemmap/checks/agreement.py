"""Do the images agree with what is said about them? Every assumption is scored on images that it did not see.

Two low-resolution maps are back-projected from odd and even images of a sample. Each image is then correlated with the
projection of the map that it is *not* in, so noise alone scores zero. Two assumptions (shifts as given and with the
opposite sign, say) are compared image by image: the mean difference over its standard error is the significance.
Aberrations of higher order and magnification do not show at this resolution and are left out.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch

from gemmap._types import Complex, Float, PerParticle, Rotations, Shifts
from gemmap.checks.sample import Sample
from gemmap.fit.aggregate import Accumulator, Aggregate
from gemmap.fit.backprojection import back_projection
from gemmap.geometry.grids import half_plane_frequencies, radius_px
from gemmap.kernels import slices
from gemmap.particles.optics_group import CtfApplied
from gemmap.physics.ctf import CtfParameters, ctf_half_plane

#: Images used, side of the small maps, and padding of their transforms, in which projections are looked up.
IMAGES, SMALL_BOX_PX, PADDING = 1000, 64, 2
#: The maps end softly at these fractions of half the box.
EDGE_FROM, EDGE_TO = 0.84, 0.94


@dataclass(frozen=True, eq=False)
class Assumption:
    """How the images of a sample came from a density: poses, CTFs, and what the images went through since."""

    rotations: Rotations
    shifts_a: Shifts
    ctf: CtfParameters | None
    ctf_applied: CtfApplied


class SmallImages:
    """The first images of a sample at low resolution, whitened."""

    def __init__(self, sample: Sample) -> None:
        n = min(IMAGES, len(sample))
        self.table = sample.table.select(np.arange(n))
        self.box_px = min(SMALL_BOX_PX, sample.box_px)
        self.pixel_size_a = sample.pixel_size_a * sample.box_px / self.box_px
        self._ky, self._kx = half_plane_frequencies(self.box_px)
        radius = np.hypot(self._ky, self._kx)
        self._inside = (radius >= 1) & (radius < self.box_px // 2)
        kx, ky = np.broadcast_arrays(self._kx, self._ky)
        self._k = np.stack([kx[self._inside], ky[self._inside]]).astype(np.float32)
        # Friedel mates count twice.
        self._weight = np.where(self._k[0] > 0, 2.0, 1.0).astype(np.float32)
        shell = np.minimum(np.rint(radius).astype(int), len(sample.noise) - 1)
        sd = np.sqrt(sample.noise[shell])
        self._inverse_sd = np.where(self._inside, 1.0 / sd, 0.0).astype(np.float32)
        # The plain transform counts from pixel 0: for even boxes a sign moves the origin to N//2.
        sign = np.where((kx + ky) % 2, -1.0, 1.0).astype(np.float32)
        self._images = sample.cropped(self.box_px)[:n] * (sign * self._inverse_sd)
        self._scale = self.table.scale.astype(np.float32)[:, None, None]
        self._ctf = None if self.table.ctf is None else self._curves(self.table.ctf)

    def __len__(self) -> int:
        return len(self._images)

    def assumption(self, ctf_applied: CtfApplied) -> Assumption:
        """What the table says."""
        return Assumption(self.table.rotations, self.table.shifts_a, self.table.ctf, ctf_applied)

    def aggregates(self, assumption: Assumption, n_parts: int) -> list[Aggregate]:
        """Sums in 3D of every ``n_parts``-th image, from the first, the second, ... on."""
        images, transfer = self._centred(assumption.shifts_a), self._transfer(assumption)
        parts = (slice(start, None, n_parts) for start in range(n_parts))
        return [self._sum(images[part], transfer[part], assumption.rotations[part]) for part in parts]

    def all_scores(self, assumptions: Mapping[str, Assumption]) -> dict[str, PerParticle]:
        """Return :meth:`scores` of several assumptions, by name; as many at once as there are threads."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return dict(zip(assumptions, pool.map(self.scores, assumptions.values()), strict=True))

    def scores(self, assumption: Assumption) -> PerParticle:
        """Correlation of every image with the projection of the map made of the other half of the images."""
        images, transfer = self._centred(assumption.shifts_a), self._transfer(assumption)
        scores = np.zeros(len(self))
        halves = slice(0, None, 2), slice(1, None, 2)
        for seen, judged in (halves, halves[::-1]):
            aggregate = self._sum(images[seen], transfer[seen], assumption.rotations[seen])
            model = self._project(back_projection(aggregate), assumption.rotations[judged])
            model *= self._points(transfer[judged])
            image = self._points(images[judged])
            model_power, image_power = (self._product(x, x) for x in (model, image))
            scores[judged] = self._product(model, image) / np.sqrt(np.maximum(model_power * image_power, 1e-30))
        return scores

    def _points(self, plane: np.ndarray) -> np.ndarray:
        """Values at the points of the half-plane that count, (b, k), in memory one image after another."""
        return np.take(plane.reshape(len(plane), -1), np.flatnonzero(self._inside), axis=1)

    def _product(self, a: np.ndarray, b: np.ndarray) -> PerParticle:
        """Real part of the scalar product of images, over both halves of the plane."""
        # Real and imaginary parts side by side.
        return np.asarray((a.view(np.float32) * b.view(np.float32)) @ np.repeat(self._weight, 2))

    def _centred(self, shifts_a: Shifts) -> Complex[np.ndarray, "n c h"]:
        turns = -2j * np.pi * shifts_a / (self.pixel_size_a * self.box_px)
        x, y = (np.exp(turns[:, axis, None] * k.ravel()) for axis, k in ((0, self._kx), (1, self._ky)))
        phase: np.ndarray = x.astype(np.complex64)[:, None, :] * y.astype(np.complex64)[:, :, None]
        return np.asarray(self._images * phase)

    def _transfer(self, assumption: Assumption) -> Float[np.ndarray, "n c h"]:
        """What a projection is multiplied with to be compared with a whitened image."""
        constant = self._scale * self._inverse_sd
        if assumption.ctf is None or assumption.ctf_applied == "corrected":
            return constant
        ctf = self._ctf if assumption.ctf is self.table.ctf else self._curves(assumption.ctf)
        assert ctf is not None
        if assumption.ctf_applied != "none":
            ctf = np.abs(ctf) if assumption.ctf_applied == "phase-flip" else np.square(ctf)
        return np.asarray(constant * ctf)

    def _curves(self, ctf: CtfParameters) -> Float[np.ndarray, "n c h"]:
        return ctf_half_plane(ctf, self.box_px, self.pixel_size_a).numpy().astype(np.float32)

    def _sum(self, images: np.ndarray, transfer: np.ndarray, rotations: Rotations) -> Aggregate:
        weighted = transfer * images
        prepared = np.stack([weighted.real, weighted.imag, np.square(transfer)], axis=-1)
        accumulator = Accumulator(self.box_px, self.pixel_size_a)
        slices.insert(prepared, rotations, accumulator.sums)
        accumulator.n_particles = len(images)
        return accumulator.finish()

    def _project(self, volume: np.ndarray, rotations: Rotations) -> Complex[np.ndarray, "b k"]:
        """Slices of the transform of a map along the poses, linearly interpolated on a padded grid."""
        n, m = len(volume), PADDING * len(volume)
        edge = np.clip((EDGE_TO - radius_px(n, 3) / (n / 2)) / (EDGE_TO - EDGE_FROM), 0.0, 1.0)
        padded = np.zeros((m, m, m), np.float32)
        padded[(slice(m // 2 - n // 2, m // 2 - n // 2 + n),) * 3] = volume * edge
        transform = scipy.fft.rfftn(np.fft.ifftshift(padded))
        transform = np.fft.fftshift(transform, axes=(0, 1))
        grid = torch.from_numpy(np.ascontiguousarray(np.stack([transform.real, transform.imag])))
        # k_vol = A^T (kx, ky, 0); points of the half x < 0 are looked up at their Friedel mates.
        places = np.einsum("bad,ak->bkd", (PADDING * rotations[:, :2]).astype(np.float32), self._k)
        mate = places[..., 0] < 0
        places *= np.where(mate, np.float32(-1.0), np.float32(1.0))[..., None]
        # grid_sample counts every axis from -1 at its first sample to 1 at its last.
        places -= np.array([m // 4, -0.5, -0.5], np.float32)
        places /= np.array([m // 4, (m - 1) / 2, (m - 1) / 2], np.float32)
        found = torch.nn.functional.grid_sample(
            grid[None], torch.from_numpy(places)[None, None], mode="bilinear", align_corners=True
        )
        real, imag = found[0, :, 0].numpy()
        values = np.empty(mate.shape, np.complex64)
        values.real, values.imag = real, np.where(mate, -imag, imag)
        return values


def significance(differences: PerParticle) -> float:
    """Mean over its standard error."""
    error = differences.std() / np.sqrt(len(differences))
    return float(differences.mean() / error) if error > 0 else 0.0
