"""What a microscope makes of projections, one optics group at a time: the image model from its definitions.

Frequencies are moved by the magnification matrix and everything is evaluated there: Zernike polynomials as such, the
CTF from its formula. The reconstruction works with polynomials in kx and ky instead (:mod:`gemmap.physics.image_model`)
and must not check itself.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from gemmap._types import Complex, Float
from gemmap.particles.optics_group import OpticsGroup
from gemmap.particles.table import ParticleTable
from gemmap.physics.ctf import ctf_at
from gemmap.physics.fourier import shift_phase
from gemmap.physics.zernike import aberration
from gemmap.simulate.config import Noise
from gemmap.simulate.density import Projector
from gemmap.simulate.noise import noise_power
from gemmap.simulate.scattering import GaussianPoints


class Recorder:
    """Images of a density under the conditions of one optics group.

    Parameters
    ----------
    density
        What is seen.
    group
        Pixel size, aberrations, magnification, and what is done to the images afterwards.
    box_px
        Side of the images in pixels.
    map_pixel_size_a
        Pixel size of the map whose grey values the images show.
    noise
        Kind of noise.
    """

    def __init__(
        self, density: Sequence[GaussianPoints], group: OpticsGroup, box_px: int, map_pixel_size_a: float, noise: Noise
    ) -> None:
        self.box_px, self._group = box_px, group
        self._projector = Projector(density, box_px, group.pixel_size_a, group.magnification)
        #: Power of the noise's coefficients, relative to white noise.
        self.noise_power = noise_power(noise, box_px, group.pixel_size_a)
        # A pixel holds the line integral at its centre: the sum over pixels counts it for the pixel's area.
        self._grey = (map_pixel_size_a / group.pixel_size_a) ** 2
        kx, ky = np.fft.rfftfreq(box_px, group.pixel_size_a), np.fft.fftfreq(box_px, group.pixel_size_a)[:, None]
        m00, m01, m10, m11 = group.magnification
        self._kx, self._ky = m00 * kx + m01 * ky, m10 * kx + m11 * ky

    def record(self, batch: ParticleTable, gain: float, workers: int) -> Complex[np.ndarray, "b d h"]:
        """Transforms of noise-free images, origin at pixel N//2, before anything is done about their CTF."""
        fourier = self._projector.fourier(batch.rotations, workers)
        odd = aberration(self._group.odd_zernike, "odd", self._kx, self._ky)
        transfer = self._ctf(batch) * (gain * self._grey * batch.scale)[:, None, None]
        shift = shift_phase(batch.shifts_a, self.box_px, self._group.pixel_size_a).conj()
        fourier *= transfer * shift * np.exp(1j * odd)
        return fourier

    def treat(
        self, images: Float[np.ndarray, "b d d"], batch: ParticleTable, workers: int
    ) -> Float[np.ndarray, "b d d"]:
        """Do to recorded images, noise and all, what the group says was done about their CTF."""
        if self._group.ctf_applied not in ("multiplied", "phase-flip"):
            return images
        ctf = self._ctf(batch)
        factor = ctf if self._group.ctf_applied == "multiplied" else np.sign(ctf)
        fourier = scipy.fft.rfft2(images, workers=workers) * factor
        return np.asarray(scipy.fft.irfft2(fourier, s=images.shape[1:], workers=workers), np.float32)

    def _ctf(self, batch: ParticleTable) -> Float[np.ndarray, "b d h"]:
        if self._group.ctf_applied == "corrected":
            return np.ones((len(batch), *self._kx.shape))
        assert batch.ctf is not None
        even = aberration(self._group.even_zernike, "even", self._kx, self._ky)
        return ctf_at(batch.ctf, self._kx, self._ky, even)
