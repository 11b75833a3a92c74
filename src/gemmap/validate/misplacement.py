"""Mistakes that spoil a comparison and can be seen in the maps: hand, contrast, position, voxel size."""

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.validate.fsc import fsc
from gemmap.validate.placement import Fit, Placement, mirrored, moved
from gemmap.validate.resolution import TRUTH_THRESHOLD, resolution_at

#: Mean FSC below which two maps are said not to fit at all: chance makes 0.1 at most in the smallest search.
_NO_FIT = 0.15
#: By how much another hand or contrast has to fit better in the search.
_MARGIN = 0.1
#: Shortest shift that is worth a word, voxels, and the gain in mean FSC over all shells that it has to bring.
_SHORTEST_SHIFT_PX, _LEAST_GAIN = 0.25, 0.003
#: Smallest error of the voxel size that is worth a word, and its gain in the search.
_SMALLEST_SCALE, _LEAST_SCALE_GAIN = 0.008, 0.0015
#: Shifts within this of a known mistake are named after it, voxels.
_SAME_PX = 0.15


def misplacements(
    volume: Volume,
    reference: Volume,
    mask: Volume,
    masked: Curve,
    placement: Placement,
    pixel_size_a: float,
    name: str,
    workers: int = 1,
) -> list[str]:
    """Sentences about what the search found, each confirmed by the masked FSC over all shells.

    Parameters
    ----------
    volume, reference, mask
        (N, N, N).
    masked
        FSC of the two as they are, in the mask.
    placement
        Of the same maps.
    pixel_size_a
        Å.
    name
        What the reference is, such as "the model".
    workers
        Threads of the Fourier transforms.
    """
    best = max(placement.moved, placement.mirrored, placement.inverted, key=lambda fit: fit.score)
    if best.score < _NO_FIT:
        return [
            f"The map and {name} do not fit in any position (mean FSC to {placement.resolution_a:.0f} Å at most "
            f"{best.score:.2f}; shifts, mirrors and opposite contrast were tried, rotations were not): lay one on the "
            "other first."
        ]
    if best is not placement.moved and best.score < placement.moved.score + _MARGIN:
        best = placement.moved
    is_as_it_is = best is placement.moved
    if is_as_it_is and best.distance_px < _SHORTEST_SHIFT_PX:
        return _scale_sentence(placement, pixel_size_a, name)
    curve = _fsc_of(volume, reference, mask, best, workers)
    if curve[1:].mean() < masked[1:].mean() + _LEAST_GAIN:
        return _scale_sentence(placement, pixel_size_a, name) if is_as_it_is else []
    change = _change(curve, masked, pixel_size_a, len(volume))
    if best.mirror is not None:
        return [
            f"The map mirrored {best.mirror} fits {name} much better ({change}{_after(best, name, pixel_size_a)}): one "
            "of the two has the wrong hand; mirror the map (gemmap reconstruct --flip-hand for ours)."
        ]
    if best.sign < 0:
        return [
            f"The map fits {name} with opposite contrast ({change}{_after(best, name, pixel_size_a)}): multiply it by "
            "-1."
        ]
    sentence = (
        f"{name[0].upper()}{name[1:]} fits better moved by {_shift_text(best, pixel_size_a)}"
        f"{_cause(best, len(volume))} ({change}): correct the origin of one of the two, or give --translate."
    )
    return [sentence, *_scale_sentence(placement, pixel_size_a, name)]


def _fsc_of(volume: Volume, reference: Volume, mask: Volume, fit: Fit, workers: int) -> Curve:
    other = volume if fit.mirror is None else mirrored(volume, fit.mirror)
    x, y, z = fit.shift_px
    return fsc(fit.sign * moved(other, (-x, -y, -z), workers), reference, mask, workers)


def _change(curve: Curve, masked: Curve, pixel_size_a: float, box_px: int) -> str:
    after, before = (
        resolution_at(c, TRUTH_THRESHOLD, box_px, pixel_size_a, "FSC", "mask").value_text for c in (curve, masked)
    )
    return f"FSC 0.5: {after} instead of {before}"


def _after(fit: Fit, name: str, pixel_size_a: float) -> str:
    if fit.distance_px < 2.0 * _SHORTEST_SHIFT_PX:
        return ""
    return f", {name} moved by {_shift_text(fit, pixel_size_a)}"


def _shift_text(fit: Fit, pixel_size_a: float) -> str:
    in_a = ", ".join(f"{v * pixel_size_a:+.2f}" for v in fit.shift_px)
    in_px = ", ".join(f"{v:+.2f}" for v in fit.shift_px)
    return f"({in_a}) Å in x, y, z, which is ({in_px}) voxels"


def _cause(fit: Fit, box_px: int) -> str:
    """Name a shift after the mistake that makes it."""
    size = np.abs(fit.shift_px)
    for length, words in (
        (0.5, "half a voxel on each axis, as between the corner and the middle of a voxel"),
        (1.0, "one voxel on each axis, as between voxels N/2 and N/2 - 1 for the origin"),
        (box_px / 2.0, "half the box, as between an origin in the corner and one in the middle"),
    ):
        if (np.abs(size - length) < _SAME_PX + 0.5 * (length > 2.0)).all():
            return f": {words}"
    return ""


def _scale_sentence(placement: Placement, pixel_size_a: float, name: str) -> list[str]:
    if abs(placement.scale - 1.0) < _SMALLEST_SCALE or placement.scale_gain < _LEAST_SCALE_GAIN:
        return []
    percent = 100.0 * (placement.scale - 1.0)
    return [
        f"The map fits {name} better with voxels of {pixel_size_a * placement.scale:.3f} Å instead of "
        f"{pixel_size_a:g} Å ({percent:+.1f} %; mean FSC to {placement.resolution_a:.0f} Å rises by "
        f"{placement.scale_gain:.3f}): check the magnification, or give --pixel-size."
    ]
