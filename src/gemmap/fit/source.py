"""Where a reconstruction gets what the particles say: from their images, or from sums that were kept of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from gemmap._types import Curve, Float, Int
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import Extent, find_extent, particle_circles
from gemmap.fit.image_batches import Particles
from gemmap.fit.keeper import RunState
from gemmap.fit.noise_power import inverse_noise, noise_power_of_groups
from gemmap.fit.one_pass import aggregate_half, recall_dead
from gemmap.fit.progress import Progress
from gemmap.fit.split import Split
from gemmap.fit.symmetry_check import check_symmetry
from gemmap.fit.team import N_HALVES, Alone, Team
from gemmap.particles.background import NormalisedStack, WindowedStack
from gemmap.particles.dead_images import DeadImages
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable


class Source(Protocol):
    """What is known of the particles of two half-sets, each half from its own images alone."""

    @property
    def box_px(self) -> int:
        """Side of images and maps."""
        ...

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel of the maps."""
        ...

    @property
    def n_particles(self) -> int:
        """Particles of both halves, dead ones among them."""
        ...

    @property
    def dead_rows(self) -> Int[np.ndarray, " k"]:
        """Rows of the table left out for their images, as far as they have been read."""
        ...

    @property
    def extents(self) -> Mapping[int, Extent]:
        """How far the particle reaches, by half."""
        ...

    @property
    def asymmetry(self) -> Mapping[int, float]:
        """Part of what the images of a half have in common that speaks against the symmetry; empty without one."""
        ...

    def noise_spectra(self) -> Mapping[str, Curve]:
        """Noise power of every half and optics group, by name."""
        ...

    def split(self, half: int) -> Split:
        """Sums of the seen and the held-out particles of a half."""
        ...

    def particles(self, half: int | None) -> Particles | None:
        """Particles of a half, or all for None, with their images; None where only sums were kept."""
        ...


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Particles with their images: what is measured on some before the pass, and the pass.

    Attributes
    ----------
    table, stack
        Particles and their images as they are inserted; ``table.half`` is 1 or 2 everywhere.
    rows
        Rows of the table in each half.
    noise
        Noise power of every optics group, by half.
    weights
        What images are weighed by, 1/sigma^2, by half.
    asymmetry
        Part of what the images of a half have in common that speaks against the symmetry; empty without one.
    crew
        Processes of the team that share the batches of a half.
    """

    table: ParticleTable
    stack: ImageStack
    config: FitConfig
    progress: Progress
    state: RunState
    team: Team
    dead: DeadImages
    rows: Mapping[int, Int[np.ndarray, " n"]]
    extents: Mapping[int, Extent]
    noise: Mapping[int, Float[np.ndarray, "g s"]]
    weights: Mapping[int, Float[np.ndarray, "g s"]]
    asymmetry: Mapping[int, float]
    crew: Team

    @classmethod
    def measure(
        cls,
        table: ParticleTable,
        stack: ImageStack,
        config: FitConfig,
        progress: Progress,
        state: RunState,
        team: Team | None = None,
    ) -> Self:
        """Find extent, symmetry and noise of each half from some of its images: every process of a team the same."""
        dead = recall_dead(len(table), state)
        rows = {half: np.flatnonzero(table.half == half) for half in (1, 2)}
        extents = {half: find_extent(table, stack, rows[half], half, dead, config, progress) for half in (1, 2)}
        found = {half: check_symmetry(table, stack, rows[half], half, dead, config.group, progress) for half in (1, 2)}
        state.lap("particle diameter")
        circles = particle_circles(table, rows, extents)
        if config.normalise:
            stack = NormalisedStack(stack, circles)
        noise = {h: noise_power_of_groups(table, stack, rows[h], extents[h].radius_px, dead) for h in (1, 2)}
        state.lap("noise spectra")
        if config.window:
            stack = WindowedStack(stack, circles)
        weights = {half: inverse_noise(table.optics, noise[half]) for half in (1, 2)}
        asymmetry = {half: one.part for half, one in found.items() if one is not None}
        team = team or Alone()
        crew = Alone() if config.schedule is None else team.divide(N_HALVES)
        return cls(table, stack, config, progress, state, team, dead, rows, extents, noise, weights, asymmetry, crew)

    @property
    def n_particles(self) -> int:
        """Particles of both halves, dead ones among them."""
        return len(self.table)

    @property
    def dead_rows(self) -> Int[np.ndarray, " k"]:
        """Rows of the table left out for their images, as far as they have been read."""
        return self.dead.rows

    @property
    def box_px(self) -> int:
        """Side of images and maps."""
        return self.stack.box_px

    @property
    def pixel_size_a(self) -> float:
        """Å per voxel of the maps."""
        return self.table.pixel_size_a

    def split(self, half: int) -> Split:
        """Insert the particles of a half, or recall what an earlier process made of them."""
        return aggregate_half(
            self.table, self.stack, self.rows[half], self.weights[half], half, self.dead, self.progress, self.state,
            self.config.group, self.config.chunk_bytes, self.config.device, self.team,
            self.config.device_images,
        )  # fmt: skip

    def particles(self, half: int | None) -> Particles:
        """Particles of a half, weighed by its own noise, or all of both, each weighed by its half's.

        Processes of a team share those of the half that their crew fits, and those of both.
        """
        table = self.table
        if half is not None:
            return Particles(
                table, self.stack, self.dead.living(self.rows[half]), self.weights[half], table.optics_group, self.crew
            )
        of_both = np.concatenate([self.weights[1], self.weights[2]])
        own = table.optics_group + len(self.weights[1]) * (table.half - 1)
        return Particles(table, self.stack, self.dead.living(np.arange(len(table))), of_both, own, self.team)

    def noise_spectra(self) -> dict[str, Curve]:
        """Noise power of every half and optics group, by name."""
        return {
            f"half{half}_{group.name}": spectra[i]
            for half, spectra in self.noise.items()
            for i, group in enumerate(self.table.optics)
        }
