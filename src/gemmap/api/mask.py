"""A mask from a map, from file to file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap._types import Volume
from gemmap.errors import InputError, OutputError
from gemmap.io.half_pair import read_halves
from gemmap.io.mrc import read_map, write_map
from gemmap.kernels import threads
from gemmap.validate.masks import EDGE_PX, EXTEND_PX, LOWPASS_A, find_particle, soften

#: Mass of protein in a volume: 1.35 g/ml.
PROTEIN_DA_PER_A3 = 0.81


@dataclass(frozen=True, eq=False)
class MadeMask:
    """A mask and the numbers of its making.

    Attributes
    ----------
    mask
        (N, N, N), 0 (solvent) to 1 (particle).
    pixel_size_a
        Å.
    threshold
        Grey value of the low-passed map that bounds the particle.
    particle_a3
        Volume of the voxels above it, before they were extended, Å^3.
    """

    mask: Volume
    pixel_size_a: float
    threshold: float
    particle_a3: float

    @property
    def volume_a3(self) -> float:
        """Volume of the mask where it is above one half, Å^3."""
        return float((self.mask > 0.5).sum()) * self.pixel_size_a**3

    @property
    def fraction_of_box(self) -> float:
        """Share of the box where the mask is above one half."""
        return float((self.mask > 0.5).mean())

    @property
    def mass_kda(self) -> float:
        """Mass of protein that fills the particle's volume at 0.81 Da/Å^3 (1.35 g/ml), kDa."""
        return self.particle_a3 * PROTEIN_DA_PER_A3 / 1000.0


def make_mask(
    output: Path | str,
    volume: Path | str | None = None,
    *,
    half1: Path | str | None = None,
    half2: Path | str | None = None,
    threshold: float | None = None,
    lowpass_a: float | None = LOWPASS_A,
    extend_px: float = EXTEND_PX,
    edge_px: float = EDGE_PX,
    particle_diameter_a: float | None = None,
    pixel_size_a: float | None = None,
    n_threads: int | None = None,
    overwrite: bool = False,
) -> MadeMask:
    """Make a soft mask from a map, or from the mean of two half-maps, and write it.

    With a threshold it is relion_mask_create's mask for the same settings.

    Parameters
    ----------
    output
        Mask to write (MRC).
    volume
        Map, particle positive. Give this, or both halves.
    half1, half2
        Half-maps.
    threshold
        Grey value of the low-passed map; None finds one (:func:`gemmap.validate.masks.find_particle`).
    lowpass_a
        Å; None for no filter.
    extend_px, edge_px
        Growth of the thresholded map and width of the soft edge beyond it, pixels.
    particle_diameter_a
        Å; only for finding the threshold. None takes the sphere inscribed in the box.
    pixel_size_a
        Replaces the header's.
    n_threads
        None for all cores.
    overwrite
        Replace an existing file.

    Raises
    ------
    InputError, FormatError, OutputError
        One sentence that says what was got, what was expected and what to do.
    """
    output = Path(output)
    if (volume is None) == (half1 is None and half2 is None) or (half1 is None) != (half2 is None):
        raise InputError("A mask is made from a map or from two half-maps; give MAP, or both --half1 and --half2.")
    inputs = [Path(path) for path in (volume, half1, half2) if path is not None]
    _require_writable(output, inputs, overwrite)
    if len(inputs) == 1:
        density, size_a = _read(inputs[0], pixel_size_a)
    else:
        (map1, map2), size_a = read_halves(inputs[0], inputs[1], pixel_size_a)
        density = ((map1 + map2) / 2.0).astype(np.float32)
    workers = threads.configure(n_threads)
    particle = find_particle(density, size_a, particle_diameter_a, lowpass_a, threshold, workers)
    mask = soften(particle.voxels, extend_px, edge_px)
    write_map(output, mask, size_a)
    return MadeMask(mask, size_a, particle.threshold, float(particle.voxels.sum()) * size_a**3)


def _read(path: Path, pixel_size_a: float | None) -> tuple[Volume, float]:
    density, size_a = read_map(path, pixel_size_a)
    if not size_a > 0:
        raise InputError(f"{path} does not say its voxel size; give it with --pixel-size.")
    return density, size_a


def _require_writable(output: Path, inputs: list[Path], overwrite: bool) -> None:
    if output.is_dir():
        raise OutputError(f"{output} is a folder; expected the name of a map to write, such as mask.mrc.")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise InputError(f"{output} is read and would be replaced; choose another output.")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists; choose another name, or give --overwrite to replace it.")


def mask_lines(made: MadeMask, output: Path) -> list[tuple[str, str]]:
    """Return what a user reads at the end, as labels and texts."""
    return [
        ("Threshold", f"{made.threshold:.6g} (of the low-passed map)"),
        ("Particle", f"{made.particle_a3:,.0f} Å^3, {made.mass_kda:,.0f} kDa of protein at {PROTEIN_DA_PER_A3} Da/Å^3"),
        ("Mask", f"{made.volume_a3:,.0f} Å^3, {made.fraction_of_box:.1%} of the box"),
        ("Results", str(output)),
    ]
