"""What a test needs: the particles of a run, how they were fitted, and what came out."""

from dataclasses import dataclass, replace

import numpy as np

from gemmap._types import Int, Volume
from gemmap.fit.config import FitConfig
from gemmap.fit.progress import Progress
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


@dataclass(frozen=True, eq=False)
class Case:
    """A reconstruction to be doubted.

    Attributes
    ----------
    table, stack
        Its particles, each in half 1 or 2, and their images, in one box.
    config
        Of its fits.
    region
        Region that was fitted, if one was given.
    half_maps, backprojections
        (N, N, N) of half-sets 1 and 2.
    mask, mask_name
        (N, N, N) mask of the curves, 0 to 1.
    particle_diameter_a
        Å, as found or given.
    seed
        Of everything that the tests draw.
    workers
        Threads of Fourier transforms.
    """

    table: ParticleTable
    stack: ImageStack
    config: FitConfig
    region: Volume | None
    half_maps: tuple[Volume, Volume]
    backprojections: tuple[Volume, Volume]
    mask: Volume
    mask_name: str
    particle_diameter_a: float
    seed: int = 0
    workers: int = 1

    @property
    def box_px(self) -> int:
        """Side of images and maps."""
        return self.stack.box_px

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel."""
        return self.table.pixel_size_a

    def only(self, rows: Int[np.ndarray, " n"]) -> ParticleTable:
        """Return the table with all particles but ``rows`` out of both halves: they are not read then."""
        half = np.zeros(len(self.table), self.table.half.dtype)
        half[rows] = self.table.half[rows]
        return replace(self.table, half=half)


class Labelled:
    """A ``fit.progress.Progress`` that says which test a stage belongs to, and stores nothing."""

    def __init__(self, watcher: Progress, label: str) -> None:
        self._watcher, self._label = watcher, label

    def start(self, stage: str, total: int, unit: str) -> None:
        """Tell that a stage begins."""
        self._watcher.start(f"{self._label}: {stage}", total, unit)

    def advance(self, done: int, text: str = "") -> None:
        """Tell that units are finished."""
        self._watcher.advance(done, text)

    def finish(self) -> None:
        """Tell that the stage is over."""
        self._watcher.finish()

    def note(self, text: str) -> None:
        """Say nothing: notes of a repetition are those of the run, or of particles that were changed on purpose."""

    def aggregate(self, name: str, aggregate: object) -> None:
        """The sums of a repetition are not kept."""

    def result(self, name: str, result: object) -> None:
        """Nor are its maps."""

    def moment(self, moment: object) -> None:
        """Nor are they shown while they are made."""
