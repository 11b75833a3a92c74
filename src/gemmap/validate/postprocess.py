"""Half-maps in, with the back-projections of their particles where those are known; what a referee asks for out."""

import math
from dataclasses import dataclass

import numpy as np

from gemmap._types import Curve, Volume
from gemmap.errors import InputError
from gemmap.validate.assessment import Assessment, assess
from gemmap.validate.fsc import check_same_box
from gemmap.validate.fsc3d import Fsc3d, fsc_3d
from gemmap.validate.mask_report import MaskReport, report_mask
from gemmap.validate.masks import check_mask, soft_mask_from_map
from gemmap.validate.pair import PairFacts, PairOptions, measure_pair
from gemmap.validate.phase_randomise import half_map_fsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, Resolution
from gemmap.validate.sharpen import GUINIER_FROM_A, Sharpened, cross_weight, fsc_weight, sharpen
from gemmap.validate.stages import Stages, Unwatched, stage_of

#: Names of stages.
CURVES_STAGE, SHARPENING_STAGE = "FSC curves", "sharpening"
#: cFAR below which cryoSPARC speaks of preferred orientations.
_LEAST_CFAR = 0.5
#: B-factors beyond this are not physical, and overflow.
LARGEST_BFACTOR_A2 = 1000.0


@dataclass(frozen=True)
class PostprocessOptions(PairOptions):
    """What is computed.

    Attributes
    ----------
    bfactor_a2
        Given B-factor, negative to sharpen; None fits it.
    guinier_from_a
        Coarsest resolution of the fit.
    fsc3d
        Whether the 3-D FSC is measured.
    """

    bfactor_a2: float | None = None
    guinier_from_a: float = GUINIER_FROM_A
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
class Maps:
    """What is judged, all (N, N, N).

    Attributes
    ----------
    half1, half2
        Raw (unmasked, unfiltered) half-maps.
    pixel_size_a
        Å.
    mask, mask_name
        0 to 1, and what it is, for the sentences.
    backprojections
        Wiener back-projections of the same half-sets, if known: then the cross-FSC is measured.
    final
        The map that is sharpened; None takes the mean of the half-maps.
    order
        Rotations of their point group: as many Fourier points are the same.
    """

    half1: Volume
    half2: Volume
    pixel_size_a: float
    mask: Volume
    mask_name: str
    backprojections: tuple[Volume, Volume] | None = None
    final: Volume | None = None
    order: int = 1


@dataclass(frozen=True, eq=False)
class Postprocess:
    """Everything known of two half-maps.

    Attributes
    ----------
    mask, mask_name
        Mask of the masked curves.
    mask_report
        How soft and large it is, and what it leaves out.
    half_maps
        What the half-maps say about themselves.
    backprojections
        The same of the back-projections of their particles; None where those are not known.
    assessment
        Cross-FSC with its resolution; None without back-projections.
    volume
        The map that was sharpened.
    sharpened
        None where nothing is resolved.
    fsc3d
        Of the half-maps, in the mask; None if it was not asked for.
    """

    mask: Volume
    mask_name: str
    mask_report: MaskReport
    half_maps: PairFacts
    backprojections: PairFacts | None
    assessment: Assessment | None
    volume: Volume
    sharpened: Sharpened | None
    fsc3d: Fsc3d | None = None

    @property
    def resolution(self) -> Resolution:
        """The resolution to state: by the cross-FSC, or by the half-map FSC where only that is known."""
        return self.half_maps.resolutions["masked"] if self.assessment is None else self.assessment.resolution

    def curves(self) -> dict[str, Curve]:
        """All curves by name, the most important first."""
        own = self.half_maps
        if self.assessment is None or self.backprojections is None:
            kinds = ("unmasked", "masked", "phase_randomised", "corrected")
            named = {kind: getattr(own.fsc, kind) for kind in kinds}
            return {**named, "spherical": own.spherical, "half_bit": own.half_bit}
        spherical = {"half_maps_spherical": own.spherical, "backprojection_spherical": self.backprojections.spherical}
        return {**self.assessment.curves(), **spherical, "half_bit": own.half_bit}

    def warnings(self) -> list[str]:
        """What a referee would ask about, one sentence each."""
        found, own = self.mask_report.sentences(), self.half_maps
        masked = own.resolutions["masked"]
        at_end = float(own.fsc.phase_randomised[int(masked.shell)]) if own.fsc.randomised_from is not None else 0.0
        if at_end > 0.1:
            found.append(
                f"Random phases correlate {at_end:.2f} at the resolution inside the mask: the mask is too tight or its "
                "edge too sharp; make it wider or softer."
            )
        if own.resolutions["unmasked"].value_a < masked.value_a:
            found.append("The resolution is better without the mask than with it: does the mask cut into the particle?")
        if masked.is_resolved and not np.isfinite(own.interval.worse_a):
            found.append("The interval reaches to not resolved: the half-maps may have nothing in common but the mask.")
        if masked.is_resolved and own.direction.cfar < _LEAST_CFAR:
            found.append(
                f"cFAR is {own.direction.cfar:.2f}: the resolution depends on direction (preferred orientations?)."
            )
        if self.sharpened is not None and self.sharpened.problem:
            found.append(self.sharpened.problem)
        return found


def with_mask(half1: Volume, half2: Volume, mask: Volume | None, pixel_size_a: float, workers: int) -> Volume:
    """Return the mask, or make one from the mean of the half-maps.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size, or the mask does not fit.
    """
    check_same_box(half1, half2, mask)
    if mask is None:
        return soft_mask_from_map(_mean(half1, half2), pixel_size_a, workers=workers)
    check_mask(mask, len(half1))
    return mask


def postprocess(maps: Maps, options: PostprocessOptions, workers: int = 1, stages: Stages | None = None) -> Postprocess:
    """Judge two half-maps.

    With back-projections the map is weighted by its correlation with the truth as the cross-FSC has it, its B-factor is
    fitted up to the resolution that this gives, and it is cut there; without, all three follow the corrected half-map
    FSC, as in relion_postprocess.

    Parameters
    ----------
    maps
        What to judge.
    options
        What is computed.
    workers
        Threads.
    stages
        Told what happens.

    Raises
    ------
    InputError
        If the maps are not finite cubes of one size, the mask does not fit, or no window of local resolution does.
    """
    shown: Stages = Unwatched() if stages is None else stages
    half1, half2, mask, name, size_a = maps.half1, maps.half2, maps.mask, maps.mask_name, maps.pixel_size_a
    volume = _mean(half1, half2) if maps.final is None else maps.final
    assessment = None
    with stage_of(shown, CURVES_STAGE, 1, "set of curves"):
        if maps.backprojections is None:
            fsc = half_map_fsc(half1, half2, mask, options.seed, workers)
        else:
            assessment = assess(
                (half1, half2), maps.backprojections, mask, size_a, name, options.seed, workers, maps.order
            )
            fsc = assessment.maps
        shown.advance(1)
    # Half-maps that agree too well in the whole do so in windows; without a cross-FSC nobody knows by how much.
    threshold = HALF_MAP_THRESHOLD if assessment is None else assessment.cross.half_map_threshold
    own = measure_pair(
        half1, half2, size_a, mask, name, fsc, options, "half-maps", workers, shown, volume, threshold, maps.order
    )  # fmt: skip
    baseline = None
    if maps.backprojections is not None and assessment is not None:
        baseline = measure_pair(
            *maps.backprojections, size_a, mask, name, assessment.backprojections, options, "back-projections", workers,
            shown, order=maps.order,
        )  # fmt: skip
    stated = own.resolutions["masked"] if assessment is None else assessment.resolution
    sharpened = None
    if stated.is_resolved:
        weights = fsc_weight(fsc.corrected) if assessment is None else cross_weight(assessment.cross.full)
        with stage_of(shown, SHARPENING_STAGE, 1, "map"):
            sharpened = sharpen(
                volume, size_a, weights, stated.value_a, options.bfactor_a2, options.guinier_from_a,
                0.0 if assessment is None else stated.value_a, workers,
            )  # fmt: skip
            shown.advance(1)
    of_mask = report_mask(mask, volume, size_a, workers)
    fsc3d = fsc_3d(half1, half2, size_a, mask, workers) if options.fsc3d else None
    return Postprocess(mask, name, of_mask, own, baseline, assessment, volume, sharpened, fsc3d)


def _mean(half1: Volume, half2: Volume) -> Volume:
    return np.asarray((half1 + half2) / 2.0, np.float32)
