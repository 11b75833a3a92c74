"""What a reconstruction gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gemmap._types import Curve, Volume
from gemmap.api.particle_check import ParticleCheck
from gemmap.fit.records import Reconstruction
from gemmap.gaussians.model import Gaussians
from gemmap.particles.halves import HalfSplit
from gemmap.particles.table import ParticleTable
from gemmap.report.evidence_files import Finding
from gemmap.validate.assessment import Assessment
from gemmap.validate.postprocess import Postprocess
from gemmap.validate.resolution import Resolution
from gemmap.validate.views import Views


@dataclass(frozen=True, eq=False)
class ReconstructionResult:
    """Maps, curves and numbers of a finished run.

    Attributes
    ----------
    reconstruction
        The three fits (``half1``, ``half2``, ``full``) with their maps, baselines, Gaussians and steps.
    validation
        Curves and resolutions, the sharpened map, local and directional resolution of half-maps and back-projections.
    views
        Density of viewing directions.
    table, split
        Particles as used, each in half 1 or 2, and how the halves were chosen.
    n_excluded
        Particles of the file left out, those in ``dead_images`` among them.
    dead_images
        Names (``number@stack``) of the images left out because they hold pixels that are not finite numbers, or one
        value everywhere, by the number of the particle, from 1, among those that were read.
    seconds
        Wall time by stage, and ``total``.
    notes
        What was assumed or could not be modelled, one sentence each.
    check
        Verdicts on the particles and a sample of their images; None if they were not asked for.
    folder
        Where the files are; None if none were written.
    evidence
        What the tests found that were asked for, by name; None where one could not be done.
    """

    reconstruction: Reconstruction
    validation: Postprocess
    views: Views
    table: ParticleTable
    split: HalfSplit
    n_excluded: int
    dead_images: Mapping[int, str]
    seconds: Mapping[str, float]
    notes: tuple[str, ...]
    check: ParticleCheck | None
    folder: Path | None
    evidence: Mapping[str, Finding | None] = field(default_factory=dict)

    @property
    def assessment(self) -> Assessment:
        """Curves and resolutions of map, half-maps and back-projections."""
        assessment = self.validation.assessment
        assert assessment is not None  # a run knows its back-projections
        return assessment

    @property
    def mask(self) -> Volume:
        """Soft mask of the masked curves, made from the half-maps or given."""
        return self.validation.mask

    @property
    def sharpened_map(self) -> Volume | None:
        """Final map weighted by the cross-FSC, sharpened and cut at its resolution; None if it is not resolved."""
        return None if self.validation.sharpened is None else self.validation.sharpened.map

    @property
    def map(self) -> Volume:
        """Final map, from all particles: axes (z, y, x), particle positive, origin at voxel N//2."""
        return self.reconstruction.full.map

    @property
    def half_maps(self) -> tuple[Volume, Volume]:
        """Unfiltered, unmasked maps of half-sets 1 and 2."""
        return self.reconstruction.half1.map, self.reconstruction.half2.map

    @property
    def backprojection(self) -> Volume:
        """Wiener back-projection of all particles: the baseline."""
        return self.reconstruction.full.backprojection

    @property
    def gaussians(self) -> Gaussians:
        """Gaussians of the final map, in Å from its origin."""
        return self.reconstruction.full.gaussians

    @property
    def pixel_size_a(self) -> float:
        """Side of a voxel in Å."""
        return self.reconstruction.pixel_size_a

    @property
    def resolution(self) -> Resolution:
        """The resolution to state, with its estimator and mask."""
        return self.assessment.resolution

    @property
    def resolutions(self) -> Mapping[str, Resolution]:
        """All resolutions by name."""
        return self.assessment.resolutions

    @property
    def curves(self) -> dict[str, Curve]:
        """All Fourier shell correlations by name, over shells 0 .. N//2."""
        return self.validation.curves()
