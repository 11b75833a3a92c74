"""Every curve and resolution that a pair of half-maps, its final map and its baseline are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gemmap._types import Curve, Volume
from gemmap.validate.cross_fsc import CrossFsc, estimate
from gemmap.validate.cross_interval import cross_interval
from gemmap.validate.cross_sums import CrossSums
from gemmap.validate.phase_randomise import HalfMapFsc, half_map_fsc
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD, Interval, Resolution, resolution_at


@dataclass(frozen=True, eq=False)
class Assessment:
    """Curves over shells 0 .. N//2 and the resolutions read off them.

    Attributes
    ----------
    cross
        Estimated FSC with the truth, from the back-projections of the other half.
    interval
        95 % interval of the resolution to state.
    maps, backprojections
        Half-map FSC of the fitted maps and of the Wiener back-projections, in the same mask.
    resolutions
        By name: ``map`` is the one to state; ``half_maps_masked`` (corrected by phase randomisation) and
        ``half_maps_unmasked`` stand beside it, and ``backprojection_masked`` and ``_unmasked`` for the baseline.
    """

    cross: CrossFsc
    interval: Interval
    maps: HalfMapFsc
    backprojections: HalfMapFsc
    resolutions: Mapping[str, Resolution]

    @property
    def resolution(self) -> Resolution:
        """The resolution to state: where the estimated correlation of the final map with the truth falls to 0.5."""
        return self.resolutions["map"]

    def curves(self) -> dict[str, Curve]:
        """All curves by name, the most important first."""
        half_maps = {
            f"{name}_{kind}": getattr(of, kind)
            for name, of in (("half_maps", self.maps), ("backprojection", self.backprojections))
            for kind in ("unmasked", "masked", "phase_randomised", "corrected")
        }
        return {"cross_fsc_map": self.cross.full, "cross_fsc_half_map": self.cross.half, **half_maps}


def assess(
    half_maps: tuple[Volume, Volume],
    backprojections: tuple[Volume, Volume],
    mask: Volume,
    pixel_size_a: float,
    mask_name: str,
    seed: int = 0,
    workers: int = 1,
    order: int = 1,
) -> Assessment:
    """Compute all curves of a reconstruction.

    Parameters
    ----------
    half_maps, backprojections
        Fitted maps of half-sets 1 and 2, and the Wiener back-projections of the same half-sets; (N, N, N).
    mask
        (N, N, N), 0 (solvent) to 1.
    pixel_size_a
        Å.
    mask_name
        What the mask is, for the sentences.
    seed
        Of the random phases, and of the draws of the interval.
    workers
        Threads of the Fourier transforms.
    order
        Rotations of the maps' symmetry.

    Raises
    ------
    InputError
        If the maps and the mask are not finite cubes of one size.
    """
    box_px = len(half_maps[0])
    sums = CrossSums.measure(*half_maps, *backprojections, mask, order)
    cross = estimate(sums.total, sums.points)
    interval = cross_interval(sums, cross, pixel_size_a, seed)
    maps = half_map_fsc(*half_maps, mask, seed, workers)
    baseline = half_map_fsc(*backprojections, mask, seed, workers)

    def read_off(curve: Curve, threshold: float, estimator: str, mask: str) -> Resolution:
        return resolution_at(curve, threshold, box_px, pixel_size_a, estimator, mask)

    # Averaged over shells, a fraction of a shell means something; half-map curves are read as RELION reads them.
    stated = resolution_at(
        cross.full, TRUTH_THRESHOLD, box_px, pixel_size_a, "cross-FSC", mask_name, True, cross.reliable
    )
    resolutions = {"map": replace(stated, interval=interval)}
    for name, of in (("half_maps", maps), ("backprojection", baseline)):
        resolutions[f"{name}_masked"] = read_off(of.corrected, HALF_MAP_THRESHOLD, "half-map FSC", mask_name)
        resolutions[f"{name}_unmasked"] = read_off(of.unmasked, HALF_MAP_THRESHOLD, "half-map FSC", "no mask")
    return Assessment(cross, interval, maps, baseline, resolutions)
