"""Mistakes that spoil a comparison and can be seen in the maps: hand, contrast, position, voxel size.

The search at low resolution proposes, the masked FSC over all shells disposes: nothing is said that does not raise it.
"""

from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.validate.fsc import fsc
from gemmap.validate.placement import Fit, Placement, find_placement, mirrored, moved, rescaled
from gemmap.validate.resolution import TRUTH_THRESHOLD, resolution_at

#: Mean FSC below which two maps are said not to fit at all: chance makes 0.1 at most in the smallest search.
_NO_FIT = 0.15
#: By how much another hand or contrast has to fit better in the search.
_MARGIN = 0.1
#: Shortest shift that is worth a word, voxels.
_SHORTEST_SHIFT_PX = 0.25
#: Smallest error of the voxel size that is worth a word, and its gain in the search.
_SMALLEST_SCALE, _LEAST_SCALE_GAIN = 0.008, 0.0015
#: What a change has to add to the mean of the masked FSC over all shells.
_LEAST_GAIN = 0.003
#: Shifts within this of a known mistake are named after it, voxels.
_SAME_PX = 0.15


@dataclass(frozen=True, eq=False)
class Pair:
    """A map and its reference.

    Attributes
    ----------
    volume, reference, mask
        (N, N, N).
    pixel_size_a
        Å.
    name
        What the reference is, such as "the model".
    workers
        Threads of the Fourier transforms.
    """

    volume: Volume
    reference: Volume
    mask: Volume
    pixel_size_a: float
    name: str
    workers: int = 1

    def curve_of(self, fit: Fit) -> Curve:
        """Masked FSC of the pair in another relative position: the map moves, the mask stays with the reference."""
        volume = self.volume if fit.mirror is None else mirrored(self.volume, fit.mirror)
        x, y, z = fit.shift_px
        return fsc(fit.sign * moved(volume, (-x, -y, -z), self.workers), self.reference, self.mask, self.workers)

    def rescaled(self, scale: float) -> "Pair":
        """The pair on a grid with voxels ``scale`` times as large as stated."""
        size_a = scale * self.pixel_size_a
        return Pair(self.volume, rescaled(self.reference, scale), self.mask, size_a, self.name, self.workers)


def misplacements(pair: Pair, masked: Curve, placement: Placement) -> list[str]:
    """Sentences about what is wrong with a pair.

    Parameters
    ----------
    pair
        Map and reference.
    masked
        FSC of the two as they are, in the mask.
    placement
        What the search found for them.
    """
    best = max(placement.moved, placement.mirrored, placement.inverted, key=lambda fit: fit.score)
    if best.score < _NO_FIT:
        return [
            f"The map and {pair.name} do not fit in any position (mean FSC to {placement.resolution_a:.0f} Å at most "
            f"{best.score:.2f}; shifts, mirrors and opposite contrast were tried, rotations were not): lay one on the "
            "other first."
        ]
    if best is not placement.moved and best.score > placement.moved.score + _MARGIN:
        return _other_hand_or_contrast(pair, masked, best)
    position = _position(pair, masked, placement.moved)
    return [*position, *_voxel_size(pair, masked, placement)]


def _other_hand_or_contrast(pair: Pair, masked: Curve, fit: Fit) -> list[str]:
    curve = pair.curve_of(fit)
    if not _is_better(curve, masked):
        return []
    after = "" if fit.distance_px < 2.0 * _SHORTEST_SHIFT_PX else f", {pair.name} moved by {_shift_text(fit, pair)}"
    change = f"FSC 0.5: {_value(curve, pair)} instead of {_value(masked, pair)}"
    if fit.mirror is None:
        return [f"The map fits {pair.name} with opposite contrast ({change}{after}): multiply it by -1."]
    return [
        f"The map mirrored {fit.mirror} fits {pair.name} much better ({change}{after}): one of the two has the wrong "
        "hand; mirror the map (gemmap reconstruct --flip-hand inverts ours through its centre)."
    ]


def _position(pair: Pair, masked: Curve, fit: Fit) -> list[str]:
    if fit.distance_px < _SHORTEST_SHIFT_PX:
        return []
    curve = pair.curve_of(fit)
    if not _is_better(curve, masked):
        return []
    return [
        f"{pair.name[0].upper()}{pair.name[1:]} fits better moved by {_shift_text(fit, pair)}"
        f"{_cause(fit, len(pair.volume))} (FSC 0.5: {_value(curve, pair)} instead of {_value(masked, pair)}): correct "
        "the origin of one of the two, or give --translate."
    ]


def _voxel_size(pair: Pair, masked: Curve, placement: Placement) -> list[str]:
    """At low resolution displaced solvent alone makes an envelope look a percent off; the fine shells know better."""
    scale = placement.scale
    if abs(scale - 1.0) < _SMALLEST_SCALE or placement.scale_gain < _LEAST_SCALE_GAIN:
        return []
    other = pair.rescaled(scale)
    fit = find_placement(other.volume, other.reference, other.pixel_size_a, pair.workers).moved
    curve = other.curve_of(fit)
    if not (_is_better(curve, masked) and _is_better(curve, pair.curve_of(placement.moved))):
        return []
    change = f"{100.0 * (scale - 1.0):+.1f} %; FSC 0.5: {_value(curve, other)} instead of {_value(masked, pair)}"
    return [
        f"The map fits {pair.name} better with voxels of {other.pixel_size_a:.3f} Å instead of {pair.pixel_size_a:g} Å "
        f"({change}): check the magnification, or give --pixel-size."
    ]


def _is_better(curve: Curve, than: Curve) -> bool:
    return float(curve[1:].mean()) > float(than[1:].mean()) + _LEAST_GAIN


def _value(curve: Curve, pair: Pair) -> str:
    return resolution_at(curve, TRUTH_THRESHOLD, len(pair.volume), pair.pixel_size_a, "FSC", "mask").value_text


def _shift_text(fit: Fit, pair: Pair) -> str:
    in_a = ", ".join(f"{v * pair.pixel_size_a:+.2f}" for v in fit.shift_px)
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
        # At odd sizes half the box is no whole number of voxels.
        if (np.abs(size - length) < _SAME_PX + 0.5 * (length == box_px / 2.0)).all():
            return f": {words}"
    return ""
