"""Images made worse on purpose, to see what a reconstruction makes of them."""

import numpy as np
import scipy.fft
import torch

from gemmap._types import Float, Int, PerParticle
from gemmap.geometry.grids import frequencies, shell_index
from gemmap.particles.optics import image_model
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.image_model import transfer


class PhaseRandomisedStack:
    """Images whose Fourier phases are random beyond a radius; implements ``ImageStack``.

    Amplitudes stay, and everything inside the radius. The phases belong to the image and the seed, whatever is read
    with it: rows that share an image share its noise.

    Parameters
    ----------
    source
        The images.
    limit_px
        (n,), radius in Fourier pixels of each image from which on phases are random.
    image_of
        (n,), number of each particle's image (:attr:`gemmap.particles.table.ParticleTable.original_image`).
    seed
        Of the phases.
    """

    def __init__(self, source: ImageStack, limit_px: PerParticle, image_of: Int[np.ndarray, " n"], seed: int) -> None:
        self._source, self._limit_px, self._image_of, self._seed = source, limit_px, image_of, seed

    @property
    def n(self) -> int:
        """Number of particles."""
        return self._source.n

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._source.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32."""
        images, d = self._source.read(rows), self.box_px
        radius = np.hypot(frequencies(d)[:, None], np.arange(d // 2 + 1))
        out = np.empty(images.shape, np.float32)
        for place, row in enumerate(rows):
            # The phases of white noise are uniform, independent, and those of a real image.
            noise = np.random.default_rng([self._seed, int(self._image_of[row])]).standard_normal((d, d), np.float32)
            fourier, random = scipy.fft.rfft2(images[place]), scipy.fft.rfft2(noise)
            beyond = radius >= self._limit_px[row]
            fourier[beyond] = np.abs(fourier[beyond]) * np.exp(1j * np.angle(random[beyond]))
            out[place] = scipy.fft.irfft2(fourier, s=(d, d))
        return out


class NoiseStack:
    """Noise of given power in the place of images: implements ``ImageStack``.

    Where images were multiplied by their CTF, so is the noise. The noise belongs to the image and the seed.

    Parameters
    ----------
    table
        The particles.
    box_px
        Side of the images.
    power
        (g, s) power of the plain Fourier transform in shells 0 .. box_px - 1, before any CTF was multiplied.
    power_of
        (n,), which of them each particle has.
    seed
        Of the noise.
    """

    def __init__(
        self,
        table: ParticleTable,
        box_px: int,
        power: Float[np.ndarray, "g s"],
        power_of: Int[np.ndarray, " n"],
        seed: int,
    ) -> None:
        self._table, self._box_px, self._seed = table, box_px, seed
        shell = np.minimum(shell_index(box_px, 2), power.shape[1] - 1)
        self._amplitudes = np.sqrt(power[:, shell]).astype(np.float32) / np.float32(box_px)
        self._power_of, self._image_of = power_of, table.original_image

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._table)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return noise for the given particles as float32."""
        d = self._box_px
        ctf = self._applied(rows)
        out = np.empty((len(rows), d, d), np.float32)
        for place, row in enumerate(rows):
            white = np.random.default_rng([self._seed, int(self._image_of[row])]).standard_normal((d, d), np.float32)
            fourier = scipy.fft.rfft2(white) * self._amplitudes[self._power_of[row]]
            out[place] = scipy.fft.irfft2(fourier * ctf[place], s=(d, d))
        return out

    def _applied(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b ..."]:
        """What the images were multiplied by: their CTF, or 1."""
        multiplied = np.array([group.ctf_applied == "multiplied" for group in self._table.optics])
        chosen = multiplied[self._table.optics_group[rows]]
        out = np.ones((len(rows), 1, 1), np.float32)
        if not chosen.any():
            return out
        side_a = self._box_px * self._table.pixel_size_a
        model = image_model(self._table.select(rows), side_a)
        ctf = transfer(torch.from_numpy(model.coefficients), self._box_px).numpy()
        return np.where(chosen[:, None, None], ctf, out)
