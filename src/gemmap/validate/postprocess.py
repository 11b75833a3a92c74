"""Half-maps in; curves, resolutions, sharpened map, local resolution and direction out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.validate.anisotropy import DirectionalFsc, directional_fsc
from gemmap.validate.fsc import check_same_box
from gemmap.validate.fsc3d import Fsc3d, fsc_3d
from gemmap.validate.local_resolution import LocalResolution, local_resolution
from gemmap.validate.mask_report import MaskReport, report_mask
from gemmap.validate.masks import check_mask, soft_mask_from_map
from gemmap.validate.pair import check_curve, check_pair
from gemmap.validate.phase_randomise import HalfMapFsc, half_map_fsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Resolution, resolution_at
from gemmap.validate.sharpen import GUINIER_FROM_A, Sharpened, sharpen
from gemmap.validate.uncertainty import Interval, half_bit, independent_points, resolution_interval

_ESTIMATOR = "half-map FSC"
#: No curve can be expected above a half-bit threshold that high: the shell holds fewer than ten independent values.
_NO_BITS = 0.54
#: B-factors beyond this are not physical, and overflow.
LARGEST_BFACTOR_A2 = 1000.0


@dataclass(frozen=True)
class PostprocessOptions:
    """What is computed.

    Attributes
    ----------
    bfactor_a2
        Given B-factor, negative to sharpen; None fits it.
    guinier_from_a
        Coarsest resolution of the fit.
    sampling_a
        Distance of the windows of local resolution; None leaves local resolution out.
    seed
        Of random phases and of the interval.
    fsc3d
        Whether the 3-D FSC is measured.
    """

    bfactor_a2: float | None = None
    guinier_from_a: float = GUINIER_FROM_A
    sampling_a: float | None = 25.0
    seed: int = 0
    fsc3d: bool = False

    def __post_init__(self) -> None:
        if self.bfactor_a2 is not None and not abs(self.bfactor_a2) <= LARGEST_BFACTOR_A2:
            raise InputError(
                f"The B-factor is {self.bfactor_a2:g} Å^2; expected {-LARGEST_BFACTOR_A2:g} to {LARGEST_BFACTOR_A2:g}."
            )
        for name, value in (("coarsest resolution of the B-factor's fit", self.guinier_from_a), *self._distances()):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"The {name} is {value:g} Å; expected a positive number.")
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}; expected 0 or more.")

    def _distances(self) -> tuple[tuple[str, float], ...]:
        if self.sampling_a is None:
            return ()
        return (("distance of the windows of local resolution", self.sampling_a),)


@dataclass(frozen=True, eq=False)
class Postprocess:
    """Everything known of two half-maps.

    Attributes
    ----------
    mask, mask_name
        Mask of the masked curves.
    mask_report
        How soft and large it is, and what it leaves out.
    fsc
        The four curves of relion_postprocess.
    half_bit
        Threshold of half a bit for the masked curve.
    resolutions
        ``masked`` (corrected curve, 0.143) is the one to state; ``unmasked``, ``masked_0.5`` and ``masked_half_bit``
        stand beside it.
    interval
        Of ``masked``.
    mean
        Mean of the half-maps.
    sharpened, unsharpened_because
        None where the map is not resolved, or where no B-factor can be fitted: then the sentence that says why.
    local
        None if it was not asked for.
    direction
        In the mask.
    fsc3d
        In the mask; None if it was not asked for.
    """

    mask: Volume
    mask_name: str
    mask_report: MaskReport
    fsc: HalfMapFsc
    half_bit: Curve
    resolutions: Mapping[str, Resolution]
    interval: Interval
    mean: Volume
    sharpened: Sharpened | None
    unsharpened_because: str | None
    local: LocalResolution | None
    direction: DirectionalFsc
    fsc3d: Fsc3d | None = None

    @property
    def resolution(self) -> Resolution:
        """The resolution to state."""
        return self.resolutions["masked"]

    def warnings(self) -> list[str]:
        """What a referee would ask about, one sentence each."""
        found = self.mask_report.sentences()
        shell = int(self.resolution.shell)
        at_end = float(self.fsc.phase_randomised[shell]) if self.fsc.randomised_from is not None else 0.0
        if at_end > 0.1:
            found.append(
                f"Random phases correlate {at_end:.2f} at the resolution inside the mask: the mask is too tight or its "
                "edge too sharp; make it wider or softer."
            )
        if self.resolutions["unmasked"].value_a < self.resolution.value_a:
            found.append("The resolution is better without the mask than with it: does the mask cut into the particle?")
        if self.resolution.is_resolved and not np.isfinite(self.interval.worse_a):
            found.append("The interval reaches to not resolved: the half-maps may have nothing in common but the mask.")
        if self.unsharpened_because is not None:
            found.append(f"No map was sharpened. {self.unsharpened_because}")
        if self.resolution.is_resolved and self.direction.cfar < 0.5:
            found.append(
                f"cFAR is {self.direction.cfar:.2f}: the resolution depends on direction (preferred orientations?)."
            )
        return found


def postprocess(
    half1: Volume,
    half2: Volume,
    pixel_size_a: float,
    mask: Volume | None,
    options: PostprocessOptions,
    workers: int = 1,
    watch: Callable[[int, int], None] = lambda _done, _of: None,
) -> Postprocess:
    """Judge two half-maps.

    Parameters
    ----------
    half1, half2
        (N, N, N) raw (unmasked, unfiltered) half-maps.
    pixel_size_a
        Å.
    mask
        (N, N, N), 0 to 1; None makes one from the mean of the half-maps.
    workers
        Threads.
    watch
        Sees how many windows of local resolution are done, of how many.

    Raises
    ------
    InputError
        If the maps are no two half-maps (:mod:`gemmap.validate.pair`), or the mask does not fit.
    """
    check_pair(half1, half2)
    check_same_box(half1, half2, mask)
    n = len(half1)
    mean: Volume = ((half1 + half2) / 2.0).astype(np.float32)
    name = "mask given" if mask is not None else "soft mask from the map"
    if mask is None:
        mask = soft_mask_from_map(mean, pixel_size_a, workers=workers)
    check_mask(mask, n)
    curves = half_map_fsc(half1, half2, mask, options.seed, workers)
    check_curve(curves.unmasked)
    points = independent_points(mask, n)
    bits = half_bit(points)

    def read(curve: Curve, threshold: float, estimator: str, where: str) -> Resolution:
        return resolution_at(curve, threshold, n, pixel_size_a, estimator, where)

    corrected = curves.corrected
    resolutions = {
        "masked": read(corrected, HALF_MAP_THRESHOLD, _ESTIMATOR, name),
        "unmasked": read(curves.unmasked, HALF_MAP_THRESHOLD, _ESTIMATOR, "no mask"),
        "masked_0.5": read(corrected, TRUTH_THRESHOLD, _ESTIMATOR, name),
        "masked_half_bit": read(_above_half_bit(corrected, bits), 0.0, "half-map FSC less half-bit", name),
    }
    stated = resolutions["masked"]
    sharpened, unsharpened_because = None, None
    if stated.is_resolved:
        try:
            sharpened = sharpen(
                mean, pixel_size_a, corrected, stated.value_a, options.bfactor_a2, options.guinier_from_a, workers
            )
        except InputError as error:
            unsharpened_because = str(error)
    local = None
    if options.sampling_a is not None:
        local = local_resolution(
            half1, half2, pixel_size_a, options.sampling_a, seed=options.seed, workers=workers, watch=watch
        )
    return Postprocess(
        mask=mask,
        mask_name=name,
        mask_report=report_mask(mask, mean, pixel_size_a, workers),
        fsc=curves,
        half_bit=bits,
        resolutions=resolutions,
        interval=resolution_interval(corrected, points, HALF_MAP_THRESHOLD, n, pixel_size_a, options.seed),
        mean=mean,
        sharpened=sharpened,
        unsharpened_because=unsharpened_because,
        local=local,
        direction=directional_fsc(half1, half2, pixel_size_a, mask, workers=workers),
        fsc3d=fsc_3d(half1, half2, pixel_size_a, mask, workers) if options.fsc3d else None,
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
