"""Half-maps in; curves, resolutions, sharpened map, local resolution and direction out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.validate.anisotropy import DirectionalFsc, directional_fsc
from gemmap.validate.fsc import check_same_box
from gemmap.validate.local_resolution import LocalResolution, local_resolution
from gemmap.validate.masks import check_mask, soft_mask_from_map
from gemmap.validate.phase_randomise import HalfMapFsc, half_map_fsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Interval, Resolution, resolution_at
from gemmap.validate.sharpen import GUINIER_FROM_A, Sharpened, sharpen
from gemmap.validate.uncertainty import half_bit, independent_points, resolution_interval

_ESTIMATOR = "half-map FSC"
#: No curve can be expected above a half-bit threshold that high: the shell holds fewer than ten independent values.
_NO_BITS = 0.54


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
    """

    bfactor_a2: float | None = None
    guinier_from_a: float = GUINIER_FROM_A
    sampling_a: float | None = 25.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Postprocess:
    """Everything known of two half-maps.

    Attributes
    ----------
    mask, mask_name
        Mask of the masked curves.
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
    sharpened
        None where the map is not resolved.
    local
        None if it was not asked for.
    direction
        In the mask.
    """

    mask: Volume
    mask_name: str
    fsc: HalfMapFsc
    half_bit: Curve
    resolutions: Mapping[str, Resolution]
    interval: Interval
    mean: Volume
    sharpened: Sharpened | None
    local: LocalResolution | None
    direction: DirectionalFsc

    @property
    def resolution(self) -> Resolution:
        """The resolution to state."""
        return self.resolutions["masked"]

    def warnings(self) -> list[str]:
        """What a referee would ask about, one sentence each."""
        found = []
        shell = int(self.resolution.shell)
        at_end = float(self.fsc.phase_randomised[shell]) if self.fsc.randomised_from is not None else 0.0
        if at_end > 0.1:
            found.append(
                f"Random phases correlate {at_end:.2f} at the resolution inside the mask: the mask is too tight or its "
                "edge too sharp; make it wider or softer."
            )
        if self.resolutions["unmasked"].value_a < self.resolution.value_a:
            found.append("The resolution is better without the mask than with it: does the mask cut into the particle?")
        if self.direction.cfar < 0.5:
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
        If the maps are not finite cubes of one size or are the same, or the mask does not fit.
    """
    check_same_box(half1, half2, mask)
    if np.array_equal(half1, half2):
        raise InputError("The half-maps are identical, so their FSC is 1 everywhere: give the maps of two half-sets.")
    n = len(half1)
    mean: Volume = ((half1 + half2) / 2.0).astype(np.float32)
    name = "mask given" if mask is not None else "soft mask from the map"
    if mask is None:
        mask = soft_mask_from_map(mean, pixel_size_a, workers=workers)
    check_mask(mask, n)
    curves = half_map_fsc(half1, half2, mask, options.seed, workers)
    points = independent_points(mask, n)
    bits = half_bit(points)

    def read(curve: Curve, threshold: float, estimator: str, where: str) -> Resolution:
        return resolution_at(curve, threshold, n, pixel_size_a, estimator, where)

    corrected = curves.corrected
    resolutions = {
        "masked": read(corrected, HALF_MAP_THRESHOLD, _ESTIMATOR, name),
        "unmasked": read(curves.unmasked, HALF_MAP_THRESHOLD, _ESTIMATOR, "no mask"),
        "masked_0.5": read(corrected, TRUTH_THRESHOLD, _ESTIMATOR, name),
        # Where the curve meets its own threshold the difference is zero; shells of a few points say nothing.
        "masked_half_bit": read(
            np.where(bits > _NO_BITS, 1.0, corrected - bits), 0.0, "half-map FSC less half-bit", name
        ),
    }
    stated = resolutions["masked"]
    sharpened = None
    if stated.is_resolved:
        sharpened = sharpen(
            mean, pixel_size_a, corrected, stated.value_a, options.bfactor_a2, options.guinier_from_a, workers
        )
    local = None
    if options.sampling_a is not None:
        local = local_resolution(
            half1, half2, pixel_size_a, options.sampling_a, seed=options.seed, workers=workers, watch=watch
        )
    return Postprocess(
        mask=mask,
        mask_name=name,
        fsc=curves,
        half_bit=bits,
        resolutions=resolutions,
        interval=resolution_interval(corrected, points, HALF_MAP_THRESHOLD, n, pixel_size_a, options.seed),
        mean=mean,
        sharpened=sharpened,
        local=local,
        direction=directional_fsc(half1, half2, pixel_size_a, mask, workers=workers),
    )
