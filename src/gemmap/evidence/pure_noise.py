"""The control: the same poses, CTFs and half-sets, and not a particle in the images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from gemmap._types import Curve, Volume
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.half_maps import fit_half_maps
from gemmap.fit.noise_power import noise_power_of_groups
from gemmap.fit.progress import Progress
from gemmap.fit.region import Region
from gemmap.particles.altered import NoiseStack
from gemmap.particles.dead_images import DeadImages
from gemmap.validate.fsc import masked_transform, relion_fsc_of_transforms
from gemmap.validate.uncertainty import independent_points

#: The lowest shells of two maps that are positive inside one sphere agree by that alone.
FIRST_SHELL = 8
_CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class PureNoise:
    """FSC of two reconstructions of noise; curves over shells 0 .. N//2.

    Attributes
    ----------
    curves
        ``half_maps_masked``, ``half_maps_unmasked``, ``backprojection_masked``, ``backprojection_unmasked``.
    chance
        By the same names: what no shell from ``FIRST_SHELL`` on exceeds in 95 of 100 pairs of independent maps that
        fill the same part of the box. Half-maps fill the region that is fitted at most, back-projections all of it.
    """

    curves: Mapping[str, Curve]
    chance: Mapping[str, Curve]

    def largest(self, name: str) -> float:
        """Largest value of a curve, by its size, from shell 8 up."""
        return float(np.abs(self.curves[name][FIRST_SHELL:]).max(initial=0.0))

    def beyond_chance(self, name: str) -> int:
        """Number of shells from 8 up whose correlation chance does not explain."""
        return int((np.abs(self.curves[name]) > self.chance[name])[FIRST_SHELL:].sum())

    def line(self) -> str:
        """The finding in a sentence."""
        masked, unmasked = (self.beyond_chance(f"half_maps_{kind}") for kind in ("masked", "unmasked"))
        return (
            f"from shell {FIRST_SHELL} up two maps of noise have an FSC of at most "
            f"{self.largest('half_maps_masked'):.3f} in the mask and {self.largest('half_maps_unmasked'):.3f} without "
            f"(back-projections {self.largest('backprojection_masked'):.3f} and "
            f"{self.largest('backprojection_unmasked'):.3f}); {masked} and {unmasked} shells beyond chance"
        )


def reconstruct_noise(case: Case, progress: Progress) -> PureNoise:
    """Reconstruct both halves from noise with the spectrum that each half's images have in each optics group."""
    table, n_groups = case.table, len(case.table.optics)
    radius_px = min(0.5 * case.particle_diameter_a / case.pixel_size_a, 0.5 * case.box_px - 1.0)
    power = np.concatenate(
        [
            noise_power_of_groups(
                table, case.stack, np.flatnonzero(table.half == half), radius_px, DeadImages(len(table))
            )
            for half in (1, 2)
        ]
    )
    stack = NoiseStack(table, case.box_px, power, table.optics_group + n_groups * (table.half - 1), case.seed)
    config = replace(case.config, particle_diameter_a=case.particle_diameter_a, refuse_dark=False)
    fits = fit_half_maps(table, stack, config, Labelled(progress, "pure noise"), case.region)
    window = Region.build(case.box_px, radius_px, case.region).window
    curves, levels = {}, {}
    for name, pair, filled in (
        ("half_maps", (fits[0].map, fits[1].map), window),
        ("backprojection", (fits[0].backprojection, fits[1].backprojection), None),
    ):
        for kind, mask in (("masked", case.mask), ("unmasked", None)):
            transforms = (masked_transform(volume, mask, case.workers) for volume in pair)
            curves[f"{name}_{kind}"] = relion_fsc_of_transforms(*transforms)
            parts = [part for part in (mask, filled) if part is not None]
            shared = np.prod(parts, axis=0) if parts else None
            levels[f"{name}_{kind}"] = chance(shared, case.box_px, len(case.config.group))
    return PureNoise(curves, levels)


def chance(mask: Volume | None, box_px: int, order: int = 1) -> Curve:
    """Correlation that none of the shells from 8 up exceeds, by its size, in 95 % of pairs of independent maps.

    The FSC of independent maps with n independent complex values in a shell is normal with variance 1 / (2 n); the
    level is shared by all shells (Šidák's correction). ``mask`` is the part of the box that the maps fill, ``order``
    the number of rotations of their symmetry, which make as many values alike.
    """
    n_shells = max(box_px // 2 + 1 - FIRST_SHELL, 1)
    level = 0.5 * (1.0 + _CONFIDENCE ** (1.0 / n_shells))
    points = np.maximum(independent_points(mask, box_px, order), 1.0)
    return np.asarray(ndtri(level) / np.sqrt(2.0 * points))
