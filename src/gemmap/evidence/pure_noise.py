"""The control: the same poses, CTFs and half-sets, and not a particle in the images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.stats

from gemmap._types import Curve, Volume
from gemmap.evidence.case import Case, Labelled
from gemmap.fit.half_maps import fit_half_maps
from gemmap.fit.noise_power import noise_power_of_groups
from gemmap.fit.progress import Progress
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
    chance_masked, chance_unmasked
        What no shell from ``FIRST_SHELL`` on exceeds in 95 of 100 pairs of independent maps.
    """

    curves: Mapping[str, Curve]
    chance_masked: Curve
    chance_unmasked: Curve

    def largest(self, name: str) -> float:
        """Largest value of a curve, by its size, from shell 8 up."""
        return float(np.abs(self.curves[name][FIRST_SHELL:]).max(initial=0.0))

    def beyond_chance(self, name: str) -> int:
        """Number of shells from 8 up whose correlation chance does not explain."""
        chance = self.chance_masked if name.endswith("_masked") else self.chance_unmasked
        return int((np.abs(self.curves[name]) > chance)[FIRST_SHELL:].sum())

    def line(self) -> str:
        """The finding in a sentence."""
        n, masked = self.beyond_chance("half_maps_masked"), self.largest("half_maps_masked")
        return (
            f"from shell {FIRST_SHELL} up two maps of noise have an FSC of at most {masked:.3f} in the mask and "
            f"{self.largest('half_maps_unmasked'):.3f} without (back-projections "
            f"{self.largest('backprojection_masked'):.3f} and {self.largest('backprojection_unmasked'):.3f}); "
            f"{n or 'no'} shell{'s' if n != 1 else ''} beyond chance"
        )


def reconstruct_noise(case: Case, progress: Progress) -> PureNoise:
    """Reconstruct both halves from noise with the spectrum that each half's images have in each optics group."""
    table, n_groups = case.table, len(case.table.optics)
    radius_px = 0.5 * case.particle_diameter_a / case.pixel_size_a
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
    curves = {}
    for name, pair in (
        ("half_maps", (fits[0].map, fits[1].map)),
        ("backprojection", (fits[0].backprojection, fits[1].backprojection)),
    ):
        for kind, mask in (("masked", case.mask), ("unmasked", None)):
            transforms = (masked_transform(volume, mask, case.workers) for volume in pair)
            curves[f"{name}_{kind}"] = relion_fsc_of_transforms(*transforms)
    return PureNoise(curves, chance(case.mask, case.box_px), chance(None, case.box_px))


def chance(mask: Volume | None, box_px: int) -> Curve:
    """Correlation that none of the shells from 8 up exceeds, by its size, in 95 % of pairs of independent maps.

    The FSC of independent maps with n independent complex values in a shell is normal with variance 1 / (2 n); the
    level is shared by all shells (Šidák's correction).
    """
    n_shells = max(box_px // 2 + 1 - FIRST_SHELL, 1)
    level = 0.5 * (1.0 + _CONFIDENCE ** (1.0 / n_shells))
    return np.asarray(scipy.stats.norm.ppf(level) / np.sqrt(2.0 * np.maximum(independent_points(mask, box_px), 1.0)))
