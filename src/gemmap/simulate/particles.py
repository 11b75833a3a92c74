"""A structure in, particle images with a known truth out.

Image of particle i, in Fourier space: scale_i CTF_i(k) P_i(k) exp(+2 pi i k.s_i / N) + noise, P_i the projection along
its true pose (docs/conventions.md); with aberrations, magnification or another pixel size where its optics group has
them (:mod:`gemmap.simulate.recorder`). The noise has mean 0 and variance 1, as the background of normalised particles;
the density's unit is chosen so that the signal-to-noise ratio is the one asked for, and the truth map is in that same
unit.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch

from gemmap._types import Float, Int, Volume
from gemmap.errors import InputError
from gemmap.geometry.grids import radius_px
from gemmap.particles.table import ParticleTable
from gemmap.simulate.config import SimulationConfig
from gemmap.simulate.density import EDGE_A, truth_volume
from gemmap.simulate.draws import Stream, draw_particles, with_pose_errors
from gemmap.simulate.noise import draw_noise
from gemmap.simulate.recorder import Recorder
from gemmap.simulate.scattering import GaussianPoints, atom_points
from gemmap.simulate.solvent import molecule_mask, surroundings
from gemmap.simulate.structure import Atoms

#: Particles from which the variance of the signal is estimated: the first ones, as all are drawn alike.
PILOT = 512
#: Images computed at once.
_BATCH = 64


class SimulatedStack:
    """Images of simulated particles, computed when read: an ``ImageStack``.

    An image depends on the configuration and its number only, not on how the stack is read.

    Parameters
    ----------
    recorders
        What makes the images of each optics group.
    table
        Particles with their true poses.
    config
        The simulation's options.
    gain
        Multiplies the density.
    workers
        Threads.
    """

    def __init__(
        self, recorders: Sequence[Recorder], table: ParticleTable, config: SimulationConfig, gain: float, workers: int
    ) -> None:
        self._recorders = recorders
        self._table = table
        self._config = config
        self._gain = gain
        self._workers = workers

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self._table)

    @property
    def box_px(self) -> int:
        """Side of the square images in pixels."""
        return self._config.box_px

    def read(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the images of the given particles as float32, particles bright, noise of variance 1."""
        rows = np.asarray(rows, np.int64)
        images = self.recorded(rows)

        def add_noise(places: Int[np.ndarray, " p"], recorder: Recorder) -> None:
            images[places] += draw_noise(rows[places], recorder.noise_power, (self._config.seed, Stream.NOISE))

        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(lambda batch: add_noise(*batch), self._batches(rows)))
        return self._treated(rows, images)

    def signal(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the noise-free images of the given particles as float32: CTF, shift and scale are in them."""
        rows = np.asarray(rows, np.int64)
        return self._treated(rows, self.recorded(rows))

    def recorded(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b d d"]:
        """Return the noise-free images before anything was done about their CTF."""
        images = np.empty((len(rows), self.box_px, self.box_px), np.float32)
        for places, recorder in self._batches(rows):
            fourier = recorder.record(self._table.select(rows[places]), self._gain, self._workers)
            real = scipy.fft.irfft2(fourier, s=(self.box_px, self.box_px), workers=self._workers)
            images[places] = np.fft.fftshift(real, axes=(1, 2))
        return images

    def _treated(self, rows: Int[np.ndarray, " b"], images: Float[np.ndarray, "b d d"]) -> Float[np.ndarray, "b d d"]:
        for places, recorder in self._batches(rows):
            images[places] = recorder.treat(images[places], self._table.select(rows[places]), self._workers)
        return images

    def _batches(self, rows: Int[np.ndarray, " b"]) -> list[tuple[Int[np.ndarray, " p"], Recorder]]:
        """Places in ``rows`` that are computed at once, and what computes them."""
        found = []
        for group, recorder in enumerate(self._recorders):
            places = np.flatnonzero(self._table.optics_group[rows] == group)
            found += [(places[start : start + _BATCH], recorder) for start in range(0, len(places), _BATCH)]
        return found

    def chunks(self, size: int) -> Iterator[Float[np.ndarray, "b d d"]]:
        """Yield all images in order, ``size`` at a time."""
        for start in range(0, self.n, size):
            yield self.read(np.arange(start, min(start + size, self.n)))


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated particles and all that is known about them.

    Attributes
    ----------
    truth
        The density, axes (z, y, x), float32, in the images' grey values: their projections sum it along z.
    mask
        Soft mask around the molecule, on the same grid.
    table
        Particles as a program gets them: with pose errors where those were asked for.
    true_table
        The same particles with the poses that their images have.
    stack
        Their images.
    particle_diameter_a
        Diameter of the sphere, and of the circle in the images, that holds the density.
    config
        The options it was made with.
    """

    truth: Volume
    mask: Volume
    table: ParticleTable
    true_table: ParticleTable
    stack: SimulatedStack
    particle_diameter_a: float
    config: SimulationConfig


def simulate(atoms: Atoms, config: SimulationConfig, workers: int | None = None) -> Simulation:
    """Simulate particle images of a structure.

    Parameters
    ----------
    atoms
        The molecule.
    config
        Options, with the definition of the signal-to-noise ratio.
    workers
        Threads; as many as torch uses if None.

    Raises
    ------
    InputError
        If the particle does not fit in the box (with the box that would do), or its images are empty.
    """
    workers = torch.get_num_threads() if workers is None else workers
    around = surroundings(atoms, config.solvent_contrast, config.micelle_contrast, config.blur_a2)
    density = [atom_points(atoms, config.pixel_size_a, config.blur_a2)] + ([] if around is None else [around])
    radius_a = _fitting_radius_a(density, config)
    true_table = draw_particles(config)
    recorders = [
        Recorder(density, group, config.box_px, config.pixel_size_a, config.noise) for group in true_table.optics
    ]
    unscaled = SimulatedStack(recorders, true_table, config, 1.0, workers)
    gain = np.sqrt(config.snr / _signal_variance(unscaled, radius_a / config.pixel_size_a))
    return Simulation(
        truth=truth_volume(density, config.box_px, config.pixel_size_a, workers) * np.float32(gain),
        mask=molecule_mask(atoms, config.box_px, config.pixel_size_a),
        table=with_pose_errors(true_table, config),
        true_table=true_table,
        stack=SimulatedStack(recorders, true_table, config, float(gain), workers),
        particle_diameter_a=2.0 * radius_a,
        config=config,
    )


def _fitting_radius_a(density: Sequence[GaussianPoints], config: SimulationConfig) -> float:
    """Radius of the density in Å, after checking that the shifted particle stays in its box."""
    radius_a = EDGE_A + max(float(np.sqrt((p.positions_a**2).sum(axis=1)).max()) for p in density)
    required = 2 * int(np.ceil((radius_a + config.max_shift_a) / config.pixel_size_a + 1.0))
    if required > config.box_px:
        raise InputError(
            f"The particle has a diameter of {2 * radius_a:.0f} Å and shifts of up to {config.max_shift_a:g} Å, but "
            f"the box of {config.box_px} px at {config.pixel_size_a:g} Å is {config.box_px * config.pixel_size_a:g} Å "
            f"wide: use a box of at least {required} px, or larger pixels."
        )
    return radius_a


def _signal_variance(stack: SimulatedStack, radius: float) -> float:
    """Mean over the pilot particles of the variance within a circle of ``radius`` pixels."""
    circle = radius_px(stack.box_px, 2) <= radius
    pilot = np.arange(min(stack.n, PILOT))
    batches = np.array_split(pilot, -(-len(pilot) // _BATCH))
    variance = float(
        np.concatenate([stack.recorded(rows)[:, circle].var(axis=1, dtype=np.float64) for rows in batches]).mean()
    )
    if not variance > 0.0:
        raise InputError(
            "The noise-free images are empty: the contrast transfer function is zero everywhere; change the defocus, "
            "the amplitude contrast or the spherical aberration."
        )
    return variance
