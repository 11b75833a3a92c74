"""The working size of a run: images and mask brought to one box, and what is said about it."""

from dataclasses import dataclass, replace
from pathlib import Path

from gemmap._types import Volume
from gemmap.api.options import ReconstructionOptions
from gemmap.errors import InputError
from gemmap.io.mrc import read_map
from gemmap.particles.frame import Frame, box_of, bring_to_frame, choose_frame, common_size
from gemmap.particles.stack import ImageStack
from gemmap.particles.statements import flip_hand, state_ctf_applied
from gemmap.particles.table import ParticleTable
from gemmap.validate.masks import check_mask, resample_mask

#: Sizes named in the plan.
_SIZES_NAMED = 4
_SAME_SIZE = 1e-2


@dataclass(frozen=True, eq=False)
class FramedParticles:
    """Particles as a run works with them.

    Attributes
    ----------
    table, stack
        In the frame of the run.
    frame
        Box of all images and pixel size of the map.
    read_size
        Box in pixels and pixel size in Å of most images as read.
    images_text
        Both, in words.
    notes
        Sentences for the user.
    """

    table: ParticleTable
    stack: ImageStack
    frame: Frame
    read_size: tuple[int, float]
    images_text: str
    notes: tuple[str, ...]


def as_stated(table: ParticleTable, options: ReconstructionOptions) -> ParticleTable:
    """Return the particles with what the user says about hand and CTF."""
    if options.flip_hand:
        table = flip_hand(table)
    if options.phase_flipped:
        table = state_ctf_applied(table, "phase-flip")
    if options.premultiplied:
        table = state_ctf_applied(table, "multiplied")
    return table


def frame_particles(table: ParticleTable, stack: ImageStack, options: ReconstructionOptions) -> FramedParticles:
    """Bring particles to the working size.

    Raises
    ------
    InputError
        If the size that was asked for is not possible.
    """
    frame = choose_frame(
        table,
        box_px=options.box_px,
        target_pixel_size_a=options.target_pixel_size_a,
        max_resolution_a=options.max_resolution_a,
    )
    read_size = common_size(table)
    framed, framed_stack = bring_to_frame(table, stack, frame)
    notes = []
    limit_a = 2.0 * frame.pixel_size_a
    if options.max_resolution_a is not None and limit_a > options.max_resolution_a * (1.0 + 1e-6):
        notes.append(
            f"The images reach {limit_a:.4g} Å at most (Nyquist): --max-resolution {options.max_resolution_a:g} "
            "changes nothing."
        )
    padded = sum(
        int((table.optics_group == number).sum())
        for number, group in enumerate(table.optics)
        if box_of(group) < frame.box_px
    )
    if padded:
        notes.append(
            f"{padded:,} images have a smaller box than {frame.box_px} px and are padded in Fourier space: they say "
            "nothing beyond their own Nyquist."
        )
    return FramedParticles(framed, framed_stack, frame, read_size, _images_text(table, frame), tuple(notes))


def _images_text(table: ParticleTable, frame: Frame) -> str:
    """Box and pixel size of the run, and of the images as read where they differ."""
    works = f"{frame.box_px} px, {frame.pixel_size_a:.6g} Å per pixel"
    particles: dict[tuple[int, float], int] = {}
    for number, group in enumerate(table.optics):
        size = (box_of(group), group.pixel_size_a)
        particles[size] = particles.get(size, 0) + int((table.optics_group == number).sum())
    if len(particles) == 1:
        ((box, pixel),) = particles
        return works if box == frame.box_px else f"{works} (read: {box} px, {pixel:.6g} Å)"
    most = sorted(particles, key=lambda size: -particles[size])
    read = [f"{particles[size]:,} of {size[0]} px, {size[1]:.6g} Å" for size in most[:_SIZES_NAMED]]
    more = [f"{len(most) - _SIZES_NAMED} more sizes"] if len(most) > _SIZES_NAMED else []
    return f"{works} (read: {'; '.join([*read, *more])})"


def read_mask(path: Path, frame: Frame, read_size: tuple[int, float]) -> tuple[Volume, tuple[str, ...]]:
    """Read a mask for the frame of a run; one of the same field of view but another box is resampled.

    Returns
    -------
    tuple
        The mask in the working box, and notes for the user.

    Raises
    ------
    InputError
        If it covers another field of view, has values outside 0 to 1, or is empty.
    """
    mask, own_a = read_map(path)
    # Many programs write 0 or 1 when they do not know the size.
    known, n = own_a not in (0.0, 1.0), len(mask)
    side_a = frame.box_px * frame.pixel_size_a
    if n != frame.box_px and (n == read_size[0] or (known and abs(n * own_a / side_a - 1.0) <= _SAME_SIZE)):
        expected_a = side_a / n
        _require_pixel(path, own_a if known else expected_a, expected_a)
        check_mask(mask, n)
        note = f"The mask was resampled from {n} px of {expected_a:.4g} Å to the working size."
        return resample_mask(mask, expected_a, frame.box_px, frame.pixel_size_a), (note,)
    check_mask(mask, frame.box_px)
    if known:
        _require_pixel(path, own_a, frame.pixel_size_a)
    return mask, ()


def _require_pixel(path: Path, own_a: float, expected_a: float) -> None:
    if abs(own_a / expected_a - 1.0) > _SAME_SIZE:
        raise InputError(f"{path} has voxels of {own_a:g} Å; expected {expected_a:g} Å as the particles: resample it.")


def with_boxes(table: ParticleTable, stack: ImageStack) -> ParticleTable:
    """Return the table of images in memory with their box, whatever files it was made from."""
    return replace(table, optics=tuple(replace(group, box_px=stack.box_px) for group in table.optics))
