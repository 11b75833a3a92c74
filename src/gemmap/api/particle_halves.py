"""The particles that half-maps were made of: back-projected in the frame of the maps, half by half."""

from dataclasses import dataclass
from pathlib import Path

from gemmap._types import Volume
from gemmap.api.check import require_usable, warnings_of
from gemmap.api.reading import ReadingOptions, read
from gemmap.errors import InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.half_backprojections import back_project_halves
from gemmap.fit.memory import plan_back_projection, require_memory
from gemmap.fit.progress import Progress
from gemmap.particles.frame import Frame, bring_to_frame, common_size
from gemmap.particles.halves import assign_halves
from gemmap.particles.table import ParticleTable
from gemmap.validate.half_set_check import match_half_sets

#: Largest relative difference between the fields of view of images and maps that are taken for the same.
_SAME_SIDE = 1e-2
#: Half-maps share noise with their own half-set by more standard errors than this, and less than its negative with the
#: other one, if the split is right.
_SHARED_NOISE = 5.0
#: A correlation at low resolution below this is no agreement.
_LEAST_CORRELATION = 0.3


@dataclass(frozen=True, eq=False)
class ParticleHalves:
    """Particles in the frame of the maps, the back-projections of their half-sets, and what is said about them."""

    table: ParticleTable
    backprojections: tuple[Volume, Volume]
    inputs: tuple[Path, ...]
    notes: tuple[str, ...]


def back_project_particles(
    options: ReadingOptions, box_px: int, pixel_size_a: float, config: FitConfig, progress: Progress
) -> ParticleHalves:
    """Read particles and back-project their half-sets in a frame.

    Parameters
    ----------
    options
        Names the particles.
    box_px, pixel_size_a
        Of the maps. Images of the same field of view in another box are Fourier-cropped or padded.
    config
        Symmetry and particle diameter.
    progress
        Told what happens.

    Raises
    ------
    InputError, FormatError
        If the box is odd, or the particles cannot be read, have no half-sets, or another field of view than the maps.
    """
    if box_px % 2:
        raise InputError(
            f"The half-maps are {box_px} px wide; expected an even box to back-project particles into: judge the "
            "half-maps without --particles."
        )
    loaded = read(options)
    warnings = warnings_of(require_usable(loaded.table, loaded.stack))
    _require_half_sets(loaded.table, options.particles)
    table, _ = assign_halves(loaded.table, seed=0)
    read_box, read_size_a = common_size(table)
    size_a = read_size_a if table.map_pixel_size_a is None else table.map_pixel_size_a
    if abs(read_box * size_a / (box_px * pixel_size_a) - 1.0) > _SAME_SIDE:
        raise InputError(
            f"The images of {options.particles} are {read_box} px of {size_a:.4g} Å ({read_box * size_a:.4g} Å) and "
            f"the half-maps {box_px} px of {pixel_size_a:.4g} Å ({box_px * pixel_size_a:.4g} Å); expected the same "
            "field of view: give the particles that the maps were made of, or correct a pixel size."
        )
    require_memory(plan_back_projection(box_px, len(table)))
    # By the particles' own pixel size: headers of maps are rounded, and shifts are in the particles' Å.
    framed, stack = bring_to_frame(table, loaded.stack, Frame(box_px, read_box * size_a / box_px))
    backprojections = back_project_halves(framed, stack, config, progress)
    inputs = (*options.input_files, *loaded.stack.paths)
    return ParticleHalves(framed, backprojections, inputs, (*loaded.notes, *warnings))


def require_match(
    half_maps: tuple[Volume, Volume], particles: ParticleHalves, mask: Volume, inverted: bool, workers: int
) -> tuple[str, ...]:
    """Return what is doubtful about maps and particles belonging together, one sentence each.

    Raises
    ------
    InputError
        If their contrast differs, or half-map 1 was made of half-set 2.
    """
    match = match_half_sets(half_maps, particles.backprojections, mask, workers)
    if match.correlation < 0:
        advice = "leave --invert out" if inverted else "give --invert if the images show dark particles"
        raise InputError(
            "The half-maps and the back-projected particles have opposite contrast (they correlate "
            f"{match.correlation:.2f} at low resolution); {advice}, or turn the sign of the maps."
        )
    if match.shared_noise < -_SHARED_NOISE:
        raise InputError(
            "Half-map 1 was made of half-set 2 of the particles and half-map 2 of half-set 1 (they share their noise); "
            "exchange the two half-maps."
        )
    doubts = []
    if match.correlation < _LEAST_CORRELATION:
        doubts.append(
            f"The half-maps and the back-projected particles hardly agree (they correlate {match.correlation:.2f} at "
            "low resolution): are the poses those of the maps?"
        )
    elif match.shared_noise < _SHARED_NOISE:
        doubts.append(
            "The half-maps share no more noise with their own half-set of the particles than with the other: if they "
            "were made of another split, the cross-FSC is too high."
        )
    return tuple(doubts)


def _require_half_sets(table: ParticleTable, path: Path | None) -> None:
    if not (table.half > 0).any():
        raise InputError(
            f"The particles of {path} have no half-sets (rlnRandomSubset or alignments3D/split), so nothing says which "
            "half-map holds which of them; give the file of the refinement that made the half-maps."
        )
