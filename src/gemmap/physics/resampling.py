"""Images at another sampling of the same field of view, by cropping or padding their Fourier transforms."""

import numpy as np
import scipy.fft

from gemmap._types import Complex, Float
from gemmap.geometry.grids import centre, frequencies


def resample_images(images: Float[np.ndarray, "n d d"], box_px: int) -> Float[np.ndarray, "n b b"]:
    """Sample the band-limited functions behind images at ``box_px`` points a side, float32.

    The origin, index N//2 in both boxes, stays where it is, and so do grey values: the value at a point is a line
    integral whatever the distance of the points. Frequencies that only one of the boxes has are cut off, or zero.

    At the Nyquist frequency K of an even box, +K and -K share one coefficient. A crop adds both up and padding gives
    each one half, so that a wave cos(2 pi K x / N) stays the same wave, and a crop undoes padding exactly. Constant
    images stay constant to the bit.
    """
    box = images.shape[-1]
    if box == box_px:
        return np.asarray(images, np.float32)
    # Without the offset of raw images, rounding is relative to their contrast.
    offset = np.asarray(images[:, :1, :1], np.float32)
    ramp = _origin_ramp(box, box_px)
    half = scipy.fft.rfft(np.asarray(images, np.float32) - offset, axis=-1, norm="forward", workers=1)
    columns = _columns(half, box, box_px, ramp)
    rows = _rows(scipy.fft.fft(columns, axis=-2, norm="forward", workers=1), box, box_px, ramp)
    mixed = scipy.fft.ifft(rows, axis=-2, norm="forward", overwrite_x=True, workers=1)
    real = scipy.fft.irfft(mixed, n=box_px, axis=-1, norm="forward", overwrite_x=True, workers=1)
    return np.asarray(real + offset)


def _origin_ramp(box: int, new: int) -> Complex[np.ndarray, " k"]:
    """Phases for the frequencies shared by both boxes, FFT order, that keep the origin at index N//2.

    The transforms count from index 0; the origin is half a box away if N is even, and a little less if it is odd.
    """
    turns = np.arange(min(box, new) // 2 + 1) * (centre(box) / box - centre(new) / new)
    return np.asarray(np.exp(2j * np.pi * turns), np.complex64)


def _columns(
    half: Complex[np.ndarray, "n d h"], box: int, new: int, ramp: Complex[np.ndarray, " k"]
) -> Complex[np.ndarray, "n d g"]:
    """Half-complex columns of the new box; a Nyquist column's imaginary part has no effect."""
    shared = min(box, new)
    out = np.zeros((*half.shape[:-1], new // 2 + 1), np.complex64)
    out[..., : len(ramp)] = half[..., : len(ramp)] * ramp
    if shared % 2 == 0:
        out[..., shared // 2] *= np.float32(2.0 if new < box else 0.5)
    return out


def _rows(
    full: Complex[np.ndarray, "n d g"], box: int, new: int, ramp: Complex[np.ndarray, " k"]
) -> Complex[np.ndarray, "n b g"]:
    """Rows of the new box in FFT order."""
    shared = min(box, new)
    out = np.zeros((len(full), new, full.shape[-1]), np.complex64)
    inner = frequencies(shared)
    inner = inner[2 * np.abs(inner) < shared]
    phase = np.where(inner < 0, ramp[np.abs(inner)].conj(), ramp[np.abs(inner)])
    out[:, inner] = full[:, inner] * phase[:, None]
    if shared % 2 == 0:
        k = shared // 2
        if new < box:
            out[:, k] = full[:, k] * ramp[k] + full[:, -k] * ramp[k].conj()
        else:
            out[:, k], out[:, -k] = 0.5 * full[:, k] * ramp[k], 0.5 * full[:, k] * ramp[k].conj()
    return out
