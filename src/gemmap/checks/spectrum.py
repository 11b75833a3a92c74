"""Do the power spectra of the images show the CTF that the file gives?

Power of image i at a frequency, over the mean of its shell, follows 1 + b (CTF_i^2 - mean of the shell) with b the part
of the power that has seen the CTF. b is found, shell by shell, from odd images and judged on even ones and the other
way round, so noise alone gains nothing; the mean of the images' gains over its standard error is the significance. Only
differences within a shell count, between images of different defocus and along the rings of astigmatism: the envelope
and the colour of the noise do not matter.
"""

from dataclasses import dataclass, replace

import numpy as np

from gemmap._types import Curve, Float, PerParticle
from gemmap.checks.sample import Sample
from gemmap.geometry.grids import shell_index
from gemmap.physics.ctf import CtfParameters, ctf_half_plane

_SMOOTH_SHELLS = 5
#: Median defoci (Å) that images are recorded with.
USUAL_A = (1_000.0, 60_000.0)


@dataclass(frozen=True, eq=False)
class Gain:
    """What a CTF explains of the images' power.

    Attributes
    ----------
    per_image
        Decrease of the squared error of every image's spectrum.
    slope
        b of every shell, times the shell's mean of CTF^2: 1 where all of the power has seen the CTF.
    correlation
        Between power and CTF^2, over all shells.
    """

    per_image: PerParticle
    slope: Curve
    correlation: float


class Spectra:
    """Power of the images of a sample, relative to the mean of their shell."""

    def __init__(self, sample: Sample) -> None:
        self.box_px, self.pixel_size_a = sample.box_px, sample.pixel_size_a
        shell = shell_index(self.box_px, 2)
        keep = (shell >= 2) & (shell < self.box_px // 2)
        self._keep = keep
        self._shell = shell[keep]
        self._n_shells = self.box_px // 2
        power = np.square(np.abs(sample.transforms[:, keep]))
        self._relative = self._centred(power / self._mean(power)[self._shell])

    def gain(self, ctf: CtfParameters) -> Gain:
        """Return what these CTFs explain; nothing if all have the same CTF^2 on every ring."""
        square = np.square(ctf_half_plane(ctf, self.box_px, self.pixel_size_a).numpy()[:, self._keep]).astype("f4")
        mean = self._mean(square)
        model = self._centred(square / np.maximum(mean[self._shell], 1e-6))
        cross = self._by_shell(model * self._relative)
        norm = self._by_shell(np.square(model))
        gains = np.zeros(len(model))
        halves = slice(0, None, 2), slice(1, None, 2)
        for seen, judged in (halves, halves[::-1]):
            b = _smoothed_ratio(cross[seen].sum(axis=0), norm[seen].sum(axis=0))
            gains[judged] = (2.0 * b * cross[judged] - b**2 * norm[judged]).sum(axis=1)
        both = [x.sum() for x in (cross, norm, self._by_shell(np.square(self._relative)))]
        correlation = float(both[0] / np.sqrt(both[1] * both[2])) if both[1] > 0 else 0.0
        return Gain(gains, _smoothed_ratio(cross.sum(axis=0), norm.sum(axis=0)), correlation)

    def _mean(self, values: Float[np.ndarray, "n k"]) -> Curve:
        sums = np.bincount(self._shell, values.mean(axis=0), minlength=self._n_shells)
        return np.asarray(sums / np.maximum(np.bincount(self._shell, minlength=self._n_shells), 1))

    def _centred(self, relative: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        # The images' own levels are taken out too: thicker ice or another normalisation is no CTF.
        level = relative.mean(axis=1, keepdims=True)
        return np.asarray(relative / np.maximum(level, 1e-30) - 1.0, np.float32)

    def _by_shell(self, values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n shells"]:
        order = np.argsort(self._shell, kind="stable")
        starts = np.searchsorted(self._shell[order], np.arange(2, self._n_shells))
        sums = np.zeros((len(values), self._n_shells))
        sums[:, 2:] = np.add.reduceat(values[:, order], starts, axis=1, dtype=np.float64)
        return sums


def in_other_units(ctf: CtfParameters) -> dict[str, CtfParameters]:
    """CTFs for the case that the numbers of the defocus are not in Å, by what they are then; only those that can be."""
    factors = {"in micrometres": 1e4, "in nanometres": 10.0, "ten times too large": 0.1}
    middle = float(np.median(np.abs(ctf.defocus_u_a)))
    return {
        name: replace(ctf, defocus_u_a=factor * ctf.defocus_u_a, defocus_v_a=factor * ctf.defocus_v_a)
        for name, factor in factors.items()
        if USUAL_A[0] <= factor * middle <= USUAL_A[1]
    }


def turned(ctf: CtfParameters) -> dict[str, CtfParameters]:
    """CTFs with the astigmatism in another direction, by what is then wrong."""
    return {
        "U and V swapped": replace(ctf, defocus_u_a=ctf.defocus_v_a, defocus_v_a=ctf.defocus_u_a),
        "an angle of the wrong sign": replace(ctf, defocus_angle_rad=-ctf.defocus_angle_rad),
    }


def _smoothed_ratio(cross: Curve, norm: Curve) -> Curve:
    kernel = np.ones(_SMOOTH_SHELLS)
    return np.asarray(np.convolve(cross, kernel, "same") / np.maximum(np.convolve(norm, kernel, "same"), 1e-30))
