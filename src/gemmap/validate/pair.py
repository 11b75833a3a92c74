"""All that two half-maps say about themselves."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Float, Volume
from gemmap.validate.anisotropy import DirectionalFsc, directional_fsc
from gemmap.validate.fsc import masked_transform, relion_fsc_of_transforms
from gemmap.validate.local_resolution import LocalResolution, local_resolution
from gemmap.validate.masks import spherical_mask
from gemmap.validate.phase_randomise import HalfMapFsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Interval, Resolution, resolution_at
from gemmap.validate.stages import Stages, stage_of
from gemmap.validate.uncertainty import half_bit, independent_points, resolution_interval

_ESTIMATOR = "half-map FSC"
#: No curve can be expected above a half-bit threshold that high: the shell holds fewer than ten independent values.
_NO_BITS = 0.54
#: Where the edge of the spherical mask begins, as a part of where it ends (cryoSPARC's spherical mask).
_FLAT_PART = 0.85
DIRECTION_STAGE = "resolution by direction"


@dataclass(frozen=True, eq=False)
class PairFacts:
    """What two half-maps say about themselves.

    Attributes
    ----------
    fsc
        The four curves of relion_postprocess.
    spherical
        FSC within a soft sphere (:func:`sphere_about_particle`), not corrected.
    half_bit
        Threshold of half a bit for the masked curve.
    resolutions
        ``masked`` (corrected curve, 0.143), and beside it ``unmasked``, ``spherical``, ``masked_0.5`` and
        ``masked_half_bit``; where crossings are interpolated, ``masked_whole_shell`` is read by RELION's rule.
    interval
        Of ``masked``.
    direction
        FSC in cones, in the mask.
    local
        Local resolution; None if it was not asked for.
    """

    fsc: HalfMapFsc
    spherical: Curve
    half_bit: Curve
    resolutions: Mapping[str, Resolution]
    interval: Interval
    direction: DirectionalFsc
    local: LocalResolution | None

    def local_inside(self, mask: Volume) -> Float[np.ndarray, " n"] | None:
        """Local resolutions in a mask, where windows reach; None if they were not measured or none does."""
        if self.local is None:
            return None
        inside = self.local.map[(mask > 0.5) & (self.local.map > 0)]
        return inside if len(inside) else None


@dataclass(frozen=True)
class PairOptions:
    """How a pair is measured.

    Attributes
    ----------
    sampling_a
        Distance of the windows of local resolution; None leaves local resolution out.
    seed
        Of random phases and of the interval.
    interpolate
        Place the crossings of thresholds between two shells, not at RELION's last whole shell.
    particle_diameter_a
        Of the spherical mask; None takes the largest.
    """

    sampling_a: float | None = 25.0
    seed: int = 0
    interpolate: bool = False
    particle_diameter_a: float | None = None


def measure_pair(
    half1: Volume,
    half2: Volume,
    pixel_size_a: float,
    mask: Volume,
    mask_name: str,
    fsc: HalfMapFsc,
    options: PairOptions,
    name: str,
    workers: int,
    stages: Stages,
    to_filter: Volume | None = None,
    local_threshold: float | Curve = HALF_MAP_THRESHOLD,
    order: int = 1,
) -> PairFacts:
    """Measure everything but the curves in the mask, which are given.

    Parameters
    ----------
    half1, half2
        (N, N, N) raw half-maps.
    mask, mask_name
        (N, N, N), 0 to 1, and what it is.
    fsc
        Curves in this mask.
    name
        What the maps are, for the names of stages.
    workers
        Threads.
    stages
        Told what happens.
    to_filter
        (N, N, N), the map to filter at its local resolution; None filters none.
    local_threshold
        FSC at which local resolutions are read, one or one for each shell.
    order
        Rotations of the maps' symmetry.

    Raises
    ------
    InputError
        If no window of local resolution fits into the box.
    """
    n = len(half1)
    points = independent_points(mask, n, order)
    bits = half_bit(points)
    sphere = sphere_about_particle(n, pixel_size_a, options.particle_diameter_a)
    spherical = relion_fsc_of_transforms(*(masked_transform(half, sphere, workers) for half in (half1, half2)))

    def read(curve: Curve, threshold: float, estimator: str, where: str, interpolate: bool) -> Resolution:
        return resolution_at(curve, threshold, n, pixel_size_a, estimator, where, interpolate)

    corrected, between = fsc.corrected, options.interpolate
    resolutions = {
        "masked": read(corrected, HALF_MAP_THRESHOLD, _ESTIMATOR, mask_name, between),
        "unmasked": read(fsc.unmasked, HALF_MAP_THRESHOLD, _ESTIMATOR, "no mask", between),
        "spherical": read(spherical, HALF_MAP_THRESHOLD, _ESTIMATOR, "soft sphere", between),
        "masked_0.5": read(corrected, TRUTH_THRESHOLD, _ESTIMATOR, mask_name, between),
        # Where the curve meets its own threshold the difference is zero.
        "masked_half_bit": read(
            _above_half_bit(corrected, bits), 0.0, "half-map FSC less half-bit", mask_name, between
        ),
    }
    if between:
        whole = "half-map FSC, last whole shell"
        resolutions["masked_whole_shell"] = read(corrected, HALF_MAP_THRESHOLD, whole, mask_name, False)
    with stage_of(stages, f"{DIRECTION_STAGE}, {name}", 1, "pair of maps"):
        direction = directional_fsc(half1, half2, pixel_size_a, mask, workers=workers)
        stages.advance(1)
    return PairFacts(
        fsc=fsc,
        spherical=spherical,
        half_bit=bits,
        resolutions=resolutions,
        interval=resolution_interval(corrected, points, HALF_MAP_THRESHOLD, n, pixel_size_a, options.seed, between),
        direction=direction,
        local=_local(half1, half2, pixel_size_a, options, name, workers, stages, to_filter, local_threshold),
    )


def _above_half_bit(corrected: Curve, bits: Curve) -> Curve:
    """Corrected FSC less half a bit, whose crossing of 0 is read; shells of a few points pass.

    If no shell has more points, or the first that has is below, nothing is resolved.
    """
    above = corrected - bits
    telling = np.flatnonzero(bits <= _NO_BITS)
    if len(telling) == 0 or above[telling[0]] < 0.0:
        return np.full_like(above, -1.0)
    return np.asarray(np.where(bits > _NO_BITS, 1.0, above))


def sphere_about_particle(box_px: int, pixel_size_a: float, particle_diameter_a: float | None) -> Volume:
    """Soft sphere about voxel N//2: 1 within the diameter, raised cosine over the next 15/85 of the radius.

    None, and diameters that are larger, take the sphere whose edge ends at the faces of the box.
    """
    largest_px = 0.5 * box_px * _FLAT_PART
    radius_px = largest_px if particle_diameter_a is None else min(0.5 * particle_diameter_a / pixel_size_a, largest_px)
    return spherical_mask(box_px, radius_px, radius_px * (1.0 / _FLAT_PART - 1.0))


def _local(
    half1: Volume,
    half2: Volume,
    pixel_size_a: float,
    options: PairOptions,
    name: str,
    workers: int,
    stages: Stages,
    to_filter: Volume | None,
    threshold: float | Curve,
) -> LocalResolution | None:
    if options.sampling_a is None:
        return None
    started = False

    def watch(_done: int, of: int) -> None:
        nonlocal started
        if not started:
            stages.start(f"local resolution, {name}", of, "windows")
            started = True
        stages.advance(1)

    try:
        return local_resolution(
            half1, half2, pixel_size_a, options.sampling_a, seed=options.seed, workers=workers, watch=watch,
            volume=to_filter, filtered=to_filter is not None, threshold=threshold,
        )  # fmt: skip
    finally:
        if started:
            stages.finish()
