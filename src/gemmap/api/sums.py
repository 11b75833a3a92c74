"""Sums of particles as files: made part by part, added, and particles taken out again."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from gemmap.api.framing import as_stated
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan
from gemmap.api.reading import read
from gemmap.errors import InputError
from gemmap.fit.keeper import Forgetful, RunState
from gemmap.fit.kept_sums import KeptSums, Members, Part
from gemmap.fit.kept_tensors import sums_from_tensors, sums_to_tensors
from gemmap.fit.progress import Progress, Silent
from gemmap.fit.source import ImageSource
from gemmap.fit.split import places
from gemmap.fit.taking_out import sums_of_members
from gemmap.io.tensors import load_tensors, save_tensors
from gemmap.kernels import threads as kernel_threads
from gemmap.particles.frame import Frame, bring_to_frame
from gemmap.particles.identity import IdentifiedStack
from gemmap.particles.micrographs import rows_of_micrographs
from gemmap.particles.stack import ImageStack, SelectedStack
from gemmap.particles.table import ParticleTable
from gemmap.report.record import gemmap_version


def save_sums(path: Path | str, sums: KeptSums) -> None:
    """Write sums as a safetensors file with checksums, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    save_tensors(Path(path), *sums_to_tensors(sums))


def load_sums(path: Path | str) -> KeptSums:
    """Read sums written by `save_sums`.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is damaged, cut short, or something else.
    """
    return sums_from_tensors(*load_tensors(Path(path)), str(path))


def aggregate(plan: ReconstructionPlan, progress: Progress | None = None) -> KeptSums:
    """Insert particles, each half weighed by its own noise, and keep what is needed to fit or to take them out.

    Parameters
    ----------
    plan
        Of the particles (:func:`gemmap.api.plan.plan_reconstruction`); its options of the fit do not matter.
    progress
        Told what happens.

    Raises
    ------
    InputError
        If the images cannot be used, or copies of one image lie in different stacks of the file.
    """
    shown = Silent() if progress is None else progress
    identified = IdentifiedStack(plan.stack)
    source = ImageSource.measure(plan.table, identified, plan.config, shown, RunState(Forgetful(), shown))
    splits = {half: source.split(half) for half in (1, 2)}
    table = plan.table
    place = np.zeros(len(table), np.int64)
    for rows in source.rows.values():
        place[rows] = places(table.original_image[rows])
    living = source.dead.living(np.arange(len(table)))
    _require_one_image_each(identified.ids[living], table.original_image[living], plan.source)
    members = Members(identified.ids, table.half, place, np.zeros(len(table), np.int64), table.optics_group)
    part = Part(
        source=plan.source,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        version=gemmap_version(),
        groups=tuple(group.name for group in table.optics),
        noise=np.stack([source.noise[half] for half in (1, 2)]),
        extents=source.extents,
    )
    treatment = {"normalise": plan.config.normalise, "window": plan.config.window}
    return KeptSums(splits, members.select(living), (part,), treatment)


def merge(paths: Sequence[Path | str]) -> KeptSums:
    """Add the sums in several files, of different particles.

    Raises
    ------
    InputError
        If there are fewer than two, they differ in box, pixel size, symmetry or treatment, or share particles.
    FormatError
        If a file is damaged.
    """
    if len(paths) < 2:
        raise InputError(f"{len(paths)} file of sums was given; expected two or more to add.")
    total, names = load_sums(paths[0]), str(paths[0])
    for path in paths[1:]:
        total = total.joined(load_sums(path), (names, str(path)))
        names = f"the sum of {paths[0]} to {path}"
    return total


def subtract(
    path: Path | str,
    options: ReconstructionOptions,
    threads: int | None = None,
    progress: Progress | None = None,
    micrographs: Sequence[str] = (),
) -> KeptSums:
    """Take particles out of a file of sums; parameters and errors as of `leave_out`."""
    kernel_threads.configure(threads)
    return leave_out(load_sums(path), str(path), options, progress, micrographs)


def leave_out(
    sums: KeptSums,
    path: str,
    options: ReconstructionOptions,
    progress: Progress | None = None,
    micrographs: Sequence[str] = (),
) -> KeptSums:
    """Take particles out of sums, by reading their images once more.

    Parameters
    ----------
    sums
        They are not changed.
    path
        What they are called in messages.
    options
        Which particles, and how they are read: as they were when they were added.
    progress
        Told what happens.
    micrographs
        Take out the particles of these alone (:func:`gemmap.particles.micrographs.rows_of_micrographs`).

    Raises
    ------
    InputError
        If some of them are not in the sums, or too few particles would be left.
    """
    table, stack = _as_added(sums, options)
    if micrographs:
        rows = rows_of_micrographs(table, micrographs)
        table, stack = table.select(rows), SelectedStack(stack, rows)
    taken = sums_of_members(sums, table, stack, Silent() if progress is None else progress)
    rest = sums.without(taken.sums, taken.ids)
    for half in (1, 2):
        if not all(one.n_particles for one in rest.splits[half].sets()):
            raise InputError(
                f"Without these particles a set of half {half} of {path} is empty; expected some left: take fewer out."
            )
    return rest


def _as_added(sums: KeptSums, options: ReconstructionOptions) -> tuple[ParticleTable, ImageStack]:
    """Particles and images in the frame of sums."""
    loaded = read(options)
    stated = as_stated(loaded.table, options)
    return bring_to_frame(stated, loaded.stack, Frame(sums.box_px, sums.pixel_size_a))


def _require_one_image_each(ids: np.ndarray, images: np.ndarray, source: str) -> None:
    """Refuse one image under two names: it would be counted twice."""
    n_ids, n_images = len(np.unique(ids)), len(np.unique(images))
    if n_ids < n_images:
        raise InputError(
            f"{n_images - n_ids:,} images of {source} are in its stacks twice or more, under other names; each may be "
            "counted once: remove the duplicates."
        )
