r"""How one map lies on another: in place, moved, mirrored, of opposite contrast, or of another scale.

Both maps are cut to low resolution in Fourier space and every shell is brought to the same power, so that the
correlation at a shift t,

    S(t) = sum_s (1/n) Re sum_{k in s} F(k) conj(G(k)) exp(2 pi i k.t / N) / sqrt(sum_s |F|^2 sum_s |G|^2),

is the mean over n shells of the FSC between the first map and the second one moved by t. One transform gives it for
every shift. A mirror about voxel N//2, index i -> (2 (N//2) - i) mod N, is a change of signs of k with the origin at
that voxel, exact at even and odd N. Four are tried: along each axis, and through the centre. Rotations are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.optimize

from gemmap._types import Complex, Float, Volume
from gemmap.geometry.grids import centre, frequencies
from gemmap.validate.fsc import fourier_shells, masked_transform

#: Resolution to which maps are laid on one another, Å: the fold of a chain, which tells the hand, begins to show.
SEARCH_RESOLUTION_A = 10.0
#: Shells that the search has at least and at most, where the box has them.
_FEWEST_SHELLS, _MOST_SHELLS = 12, 48
#: Voxel sizes tried, relative to the one stated.
_SCALES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)
#: Axes (z, y, x) of the mirrors by name.
MIRRORS: Mapping[str, tuple[int, ...]] = {
    "along x": (2,),
    "along y": (1,),
    "along z": (0,),
    "through the centre": (0, 1, 2),
}


@dataclass(frozen=True)
class Fit:
    """How well two maps agree in one relative position.

    Attributes
    ----------
    score
        Mean FSC over the shells of the search, of the first map with the second one moved; -1 to 1.
    shift_px
        (x, y, z) by which the second map is moved, voxels.
    mirror
        Key of ``MIRRORS`` by which the first map is mirrored; None for as it is.
    sign
        -1 if the first map is taken with opposite contrast.
    """

    score: float
    shift_px: tuple[float, float, float]
    mirror: str | None = None
    sign: int = 1

    @property
    def distance_px(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.shift_px))


@dataclass(frozen=True)
class Placement:
    """What the search found.

    Attributes
    ----------
    in_place
        Mean FSC of the two maps as they are.
    moved, mirrored, inverted
        The best fits: as it is, in one of the mirrors, and with opposite contrast (not mirrored).
    scale
        Voxel size at which the first map fits best, over the one stated; 1 if none fits better.
    scale_gain
        By how much its score is above the unscaled map's.
    resolution_a
        Å, to which the maps were compared.
    """

    in_place: float
    moved: Fit
    mirrored: Fit
    inverted: Fit
    scale: float
    scale_gain: float
    resolution_a: float


def mirrored(volume: Volume, mirror: str) -> Volume:
    """Return a map mirrored about voxel N//2: index i becomes (2 (N//2) - i) mod N on the axes of the mirror."""
    n = len(volume)
    index = (2 * centre(n) - np.arange(n)) % n
    for axis in MIRRORS[mirror]:
        volume = np.take(volume, index, axis=axis)
    return volume


def moved(volume: Volume, shift_px: tuple[float, float, float], workers: int = 1) -> Volume:
    """Return a map moved by (x, y, z) voxels, by phases: nothing is interpolated, and the box is periodic."""
    n = len(volume)
    fourier = masked_transform(volume, None, workers)
    kz, ky, kx = _ramps(n, n // 2 + 1)
    x, y, z = shift_px
    fourier = fourier * np.exp(-2j * np.pi / n * (kz * z)) * np.exp(-2j * np.pi / n * (ky * y + kx * x))
    return np.asarray(scipy.fft.irfftn(fourier, s=volume.shape, axes=(0, 1, 2), workers=workers), np.float32)


def rescaled(volume: Volume, scale: float) -> Volume:
    """Return a compact density on a grid of voxels ``scale`` times as large, voxel N//2 in place; cubic splines."""
    n = len(volume)
    start = centre(n) * (1.0 - scale)
    return np.asarray(scipy.ndimage.affine_transform(volume, np.full(3, scale), start, order=3, output=np.float32))


def find_placement(map1: Volume, map2: Volume, pixel_size_a: float, workers: int = 1) -> Placement:
    """Find where the second map fits the first one best.

    Parameters
    ----------
    map1, map2
        (N, N, N), for example a reconstruction and the density of a model.
    pixel_size_a
        Å.
    workers
        Threads of the Fourier transforms.
    """
    n = len(map1)
    highest = min(n // 2 - 1, max(_FEWEST_SHELLS, int(n * pixel_size_a / SEARCH_RESOLUTION_A)), _MOST_SHELLS)
    if highest < 1:
        return Placement(0.0, Fit(0.0, (0.0,) * 3), Fit(0.0, (0.0,) * 3), Fit(0.0, (0.0,) * 3), 1.0, 0.0, np.inf)
    first, second = (_cropped(volume, highest, workers) for volume in (map1, map2))
    whitened = _whitened(second, highest)
    straight = _whitened(first, highest)
    product = straight * np.conj(whitened)
    as_is = _best(product, n)
    others = [_best(_reflected(straight, axes) * np.conj(whitened), n, name) for name, axes in MIRRORS.items()]
    scale, gain = _best_scale(straight, second, highest)
    return Placement(
        in_place=float(_correlation(product, np.zeros(3), n)),
        moved=as_is,
        mirrored=max(others, key=lambda fit: fit.score),
        inverted=_best(-product, n, sign=-1),
        scale=scale,
        scale_gain=gain,
        resolution_a=n * pixel_size_a / highest,
    )


def _ramps(n: int, n_kx: int) -> tuple[Float[np.ndarray, "n 1 1"], Float[np.ndarray, "1 n 1"], Float[np.ndarray, " h"]]:
    k = frequencies(n).astype(np.float64)
    return k[:, None, None], k[None, :, None], np.arange(n_kx, dtype=np.float64)


def _cropped(volume: Volume, highest: int, workers: int) -> Complex[np.ndarray, "m m h"]:
    """Transform up to shell ``highest`` in the smallest box, origin at voxel N//2, the mean left out."""
    n, m = len(volume), 2 * highest + 2
    fourier = masked_transform(volume, None, workers)
    k = frequencies(m)
    near = fourier[np.ix_(k % n, k % n, np.arange(highest + 2) % (n // 2 + 1))].astype(np.complex128)
    kz, ky, kx = _ramps(m, highest + 2)
    near *= np.exp(2j * np.pi * centre(n) / n * (kz + ky + kx))
    shell = fourier_shells(m).numbers
    near[(shell > highest) | (shell == 0)] = 0.0
    return np.asarray(near)


def _whitened(fourier: Complex[np.ndarray, "m m h"], highest: int) -> Complex[np.ndarray, "m m h"]:
    """Every shell with a sum of |F|^2 of 1 / ``highest`` over the full transform; 0 where a shell is empty."""
    shells = fourier_shells(len(fourier))
    power = shells.total(np.abs(plane) ** 2 for plane in fourier)
    gain = np.zeros(int(shells.numbers.max()) + 1)
    has = np.flatnonzero(power > 0.0)
    gain[has] = 1.0 / np.sqrt(power[has] * highest)
    return np.asarray(fourier * gain[shells.numbers])


def _reflected(fourier: Complex[np.ndarray, "m m h"], axes: tuple[int, ...]) -> Complex[np.ndarray, "m m h"]:
    """F with the sign of k changed along the axes; along kx through F(-k) = conj F(k)."""
    if 2 in axes:
        fourier = np.conj(fourier)
    turned = [axis for axis in (0, 1) if (axis in axes) != (2 in axes)]
    index = -np.arange(len(fourier)) % len(fourier)
    for axis in turned:
        fourier = np.take(fourier, index, axis=axis)
    return fourier


def _best(product: Complex[np.ndarray, "m m h"], n: int, mirror: str | None = None, sign: int = 1) -> Fit:
    """Highest S(t) of a product F conj(G), in a box of n voxels: the grid's best point, refined between the points."""
    m = len(product)
    surface = scipy.fft.irfftn(product, s=(m, m, m), axes=(0, 1, 2))
    at = np.array(np.unravel_index(int(np.argmax(surface)), surface.shape))
    start = (np.where(at > m // 2, at - m, at) * (n / m))[::-1]

    def cost(t: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 3"]]:
        value, slope = _correlation_and_slope(product, t, n)
        return -value, -slope

    found = scipy.optimize.minimize(
        cost, start, jac=True, method="L-BFGS-B", bounds=[(s - n / m, s + n / m) for s in start]
    )
    x, y, z = (float(v) for v in (found.x + n / 2) % n - n / 2)
    return Fit(float(-found.fun), (x, y, z), mirror, sign)


def _correlation(product: Complex[np.ndarray, "m m h"], shift_px: Float[np.ndarray, " 3"], n: int) -> float:
    return _correlation_and_slope(product, shift_px, n)[0]


def _correlation_and_slope(
    product: Complex[np.ndarray, "m m h"], shift_px: Float[np.ndarray, " 3"], n: int
) -> tuple[float, Float[np.ndarray, " 3"]]:
    """S and its gradient with respect to the shift (x, y, z)."""
    m, n_kx = len(product), product.shape[2]
    kz, ky, kx = _ramps(m, n_kx)
    x, y, z = shift_px
    turn = 2j * np.pi / n
    shifted = product * np.exp(turn * kz * z) * np.exp(turn * ky * y) * np.exp(turn * kx * x)
    # Columns kx > 0 stand for their conjugate mates too; column m/2 is empty.
    twice = np.where(kx > 0, 2.0, 1.0)
    real, imaginary = shifted.real * twice, -shifted.imag * twice * (2.0 * np.pi / n)
    slope = np.array([(imaginary * k).sum() for k in (kx, ky, kz)])
    return float(real.sum()), slope


def _best_scale(
    straight: Complex[np.ndarray, "m m h"], second: Complex[np.ndarray, "m m h"], highest: int
) -> tuple[float, float]:
    """Voxel size of the first map, over the one stated, that fits best, and the gain in S.

    With voxels c times as large the second map's transform at k is the present one at k / c. It is the one that is read
    between its points (cubic splines): the transform of a compact density about its centre varies slowly, that of noise
    in the whole box does not. Every shift is open at each scale.
    """
    m = len(straight)
    centred = np.fft.fftshift(scipy.fft.fftn(scipy.fft.irfftn(second, s=(m, m, m), axes=(0, 1, 2))))
    splines = [scipy.ndimage.spline_filter(part, 3, mode="grid-constant") for part in (centred.real, centred.imag)]
    k = np.stack(np.meshgrid(frequencies(m), frequencies(m), np.arange(highest + 2), indexing="ij")).astype(np.float64)
    shell = fourier_shells(m).numbers
    scores = []
    for scale in _SCALES:
        # At the smallest scale the outermost shells would be read beyond the data: they are left out at every scale.
        used = (shell > 0) & (shell <= highest * _SCALES[0])
        at = k / scale + m // 2
        real, imaginary = (
            scipy.ndimage.map_coordinates(part, at, order=3, mode="grid-constant", prefilter=False) for part in splines
        )
        scaled = np.where(used, real + 1j * imaginary, 0.0)
        product = np.where(used, straight, 0.0) * np.conj(_whitened(scaled, highest))
        scores.append(_best(product, m).score)
    best = int(np.argmax(scores))
    middle = _SCALES.index(1.0)
    if best in (0, len(_SCALES) - 1):
        return _SCALES[best], scores[best] - scores[middle]
    left, top, right = scores[best - 1 : best + 2]
    step = _SCALES[1] - _SCALES[0]
    bend = left - 2.0 * top + right
    offset = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return _SCALES[best] + offset * step, top - 0.25 * (left - right) * offset - scores[middle]
