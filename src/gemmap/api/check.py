"""What can be known about particles before anything is computed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap.api.framing import with_boxes
from gemmap.api.reading import ReadingOptions, read
from gemmap.checks.agreement import SmallImages
from gemmap.checks.ctf_verdicts import judge_ctf
from gemmap.checks.facts import describe
from gemmap.checks.image_verdicts import FEWEST, agreement_verdicts, dead_images, handedness, noise
from gemmap.checks.neighbours import neighbours
from gemmap.checks.optics_verdicts import optics_verdicts, pixel_sizes
from gemmap.checks.sample import IMAGES, choose_rows, measure, take_sample
from gemmap.checks.table_verdicts import table_verdicts
from gemmap.checks.verdict import CheckReport, Verdict
from gemmap.errors import FormatError, InputError
from gemmap.io.choices import BFactorSign, CsAberrations
from gemmap.io.cryodrgn import read_rows
from gemmap.io.formats import file_kind, read_table
from gemmap.io.mrc import stack_problems
from gemmap.io.paths import project_folders
from gemmap.io.picks import read_picks
from gemmap.kernels import threads as kernel_threads
from gemmap.particles.frame import bring_to_frame, choose_frame
from gemmap.particles.picks import Picks
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable

#: Checks of :func:`quick_verdicts` that reading and splitting particles speak of by themselves.
_SAID_ELSEWHERE = ("half-sets", "envelope", "aberrations", "pixel size")


def check(
    particles: Path | str | tuple[ParticleTable, ImageStack],
    *,
    poses: Path | str | None = None,
    trans: Path | str | None = None,
    ctf: Path | str | None = None,
    ind: Path | str | None = None,
    passthrough: Sequence[Path | str] = (),
    no_ctf: bool = False,
    datadir: Path | str | None = None,
    strip_prefix: str | None = None,
    allow_outside: bool = False,
    first: int | None = None,
    invert: bool = False,
    pixel_size_a: float | None = None,
    class_number: int | None = None,
    bfactor_sign: BFactorSign = "file",
    cs_aberrations: CsAberrations = "refuse",
    all_images: bool = False,
    n_sample: int = IMAGES,
    seed: int = 0,
    threads: int | None = None,
) -> CheckReport:
    """Describe particles and judge whether a reconstruction from them can be right.

    Parameters
    ----------
    particles, poses, trans, ctf, ind, passthrough, no_ctf, datadir, strip_prefix, allow_outside, first, invert
        As :func:`gemmap.reconstruct` takes them.
    pixel_size_a, class_number, bfactor_sign, cs_aberrations
        As :func:`gemmap.reconstruct` takes them.
    all_images
        Look for dead images in all of them, not in a sample.
    n_sample
        Images to look at; 0 looks at none.
    seed
        Of the choice of the sample.
    threads
        Threads to use; None takes all cores of this process.

    Raises
    ------
    InputError, FormatError
        If there is no table of particles to speak of: one sentence that says what to do.
    """
    started = time.perf_counter()
    if n_sample < 0:
        raise InputError(f"The sample is {n_sample} images; expected 0 or more.")
    kernel_threads.configure(threads)
    options = ReadingOptions(
        particles=None if isinstance(particles, tuple) else Path(particles),
        poses=_path(poses),
        trans=_path(trans),
        ctf=_path(ctf),
        ind=_path(ind),
        passthrough=tuple(Path(file) for file in passthrough),
        no_ctf=no_ctf,
        datadir=_path(datadir),
        strip_prefix=strip_prefix,
        allow_outside=allow_outside,
        first=first,
        invert=invert,
        pixel_size_a=pixel_size_a,
        class_number=class_number,
        bfactor_sign=bfactor_sign,
        cs_aberrations=cs_aberrations,
    )
    read_ = _from_memory(*particles) if isinstance(particles, tuple) else _read(options)
    table, stack = read_.table, read_.stack
    box_px = _one_box_px(table)
    verdicts = [*read_.verdicts, *quick_verdicts(table, stack)]
    if read_.picks is not None:
        verdicts.append(neighbours(table, read_.picks))
    if stack is not None and n_sample:
        verdicts += image_verdicts(*bring_to_frame(table, stack, choose_frame(table)), n_sample, seed, all_images)
    verdicts.append(handedness())
    return CheckReport(
        read_.source, describe(table, box_px), tuple(verdicts), read_.notes, time.perf_counter() - started
    )


def quick_verdicts(table: ParticleTable, stack: ImageStack | None) -> list[Verdict]:
    """Everything that needs no pixel: below a second for 100,000 particles."""
    verdicts = [*table_verdicts(table, _one_box_px(table)), *optics_verdicts(table)]
    sizes_a = getattr(stack, "header_pixel_sizes_a", None)
    return verdicts if sizes_a is None else [*verdicts, pixel_sizes(table, sizes_a)]


def require_usable(table: ParticleTable, stack: ImageStack) -> tuple[Verdict, ...]:
    """Return those of :func:`quick_verdicts` that nothing else says, after making sure that there is no error.

    Raises
    ------
    InputError
        With the sentence of the first error.
    """
    verdicts = tuple(verdict for verdict in quick_verdicts(table, stack) if verdict.check not in _SAID_ELSEWHERE)
    for verdict in verdicts:
        if verdict.level == "error":
            raise InputError(verdict.text)
    return verdicts


def warnings_of(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the texts of the warnings among verdicts."""
    return tuple(verdict.text for verdict in verdicts if verdict.level == "warning")


def image_verdicts(
    table: ParticleTable, stack: ImageStack, n_sample: int, seed: int, all_images: bool
) -> list[Verdict]:
    """Everything that needs pixels, from a sample of them."""
    rows = choose_rows(table, n_sample, seed)
    everything = measure(stack, np.arange(len(table))) if all_images else None
    try:
        sample = take_sample(table, stack, rows)
    except InputError:
        return [dead_images(measure(stack, rows) if everything is None else everything, all_images)]
    verdicts = [dead_images(everything or sample.statistics, all_images), noise(sample)]
    if len(sample) < FEWEST:
        text = f"Cannot be known from {len(sample)} images; at least {FEWEST} are needed."
        names = ("CTF values", "CTF applied", "poses fit", "shifts", "contrast")
        return [*verdicts, *(Verdict(name, "unknown", text) for name in names)]
    images = SmallImages(sample)
    group = int(np.bincount(sample.table.optics_group).argmax())
    ctf = judge_ctf(sample, images, table.optics[group].ctf_applied)
    return [*verdicts, *ctf.verdicts, *agreement_verdicts(images, ctf.best, ctf.scores)]


@dataclass(frozen=True, eq=False)
class _Read:
    """What could be read: the images are missing where their files are."""

    table: ParticleTable
    stack: ImageStack | None
    source: str
    picks: Picks | None = None
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()


def _from_memory(table: ParticleTable, stack: ImageStack) -> _Read:
    if stack.n != len(table):
        raise InputError(f"The table has {len(table)} particles and the stack {stack.n} images; expected as many.")
    return _Read(with_boxes(table, stack), stack, "arrays in memory")


def _read(options: ReadingOptions) -> _Read:
    assert options.particles is not None
    kind = file_kind(options.particles)
    try:
        loaded = read(options)
    except (InputError, FormatError) as error:
        if kind not in ("star", "cs") or options.poses is not None:
            raise
        # A table without its images has much to tell; if the table is what is wrong, this raises again.
        return _table_alone(options, error)
    n_stacks = len(loaded.table.stacks)
    there = "The stack is" if n_stacks == 1 else f"All {n_stacks:,} are"
    problems = Verdict("image stacks", "ok", f"{there} there and long enough.")
    picks = None if options.poses is not None else _picks(options, loaded.table, loaded.n_in_file)
    source = f"{options.particles} ({loaded.format_name})"
    return _Read(loaded.table, loaded.stack, source, picks, (problems,), loaded.notes)


def _table_alone(options: ReadingOptions, error: InputError) -> _Read:
    path = options.particles
    assert path is not None
    table, notes, n_in_file = read_table(
        path,
        ind=options.ind,
        passthrough=options.passthrough,
        no_ctf=options.no_ctf,
        first=options.first,
        pixel_size_a=options.pixel_size_a,
        class_number=options.class_number,
        bfactor_sign=options.bfactor_sign,
        cs_aberrations=options.cs_aberrations,
    )
    name = "RELION" if file_kind(path) == "star" else "cryoSPARC"
    problems = stack_problems(table, project_folders(path), strip_prefix=options.strip_prefix, datadir=options.datadir)
    if problems:
        listed = "; ".join(f"{problem.path} {problem.reason}" for problem in problems)
        text = f"{len(problems):,} of {len(np.unique(table.stack_of)):,} cannot be used: {listed}."
        measured = {"problems": [{"path": problem.path, "reason": problem.reason} for problem in problems]}
        verdict = Verdict("image stacks", "error", text, measured)
    else:
        verdict = Verdict("image stacks", "error", str(error))
    picks = _picks(options, table, n_in_file)
    return _Read(table, None, f"{path} ({name})", picks, (verdict,), notes)


def _rows(options: ReadingOptions, n: int) -> np.ndarray:
    return (np.arange(n) if options.ind is None else read_rows(options.ind, n))[: options.first]


def _picks(options: ReadingOptions, table: ParticleTable, n_in_file: int) -> Picks | None:
    """Where the particles of a table were picked; None where the file does not say for all of its rows."""
    path = options.particles
    assert path is not None
    picks = read_picks(path, file_kind(path), options.passthrough)
    if picks is None or len(picks) != n_in_file:
        return None
    picks = picks.select(_rows(options, n_in_file))
    return picks if len(picks) == len(table) else None


def _one_box_px(table: ParticleTable) -> int | None:
    """Box of all images; None if they differ or nothing says it."""
    boxes = {group.box_px for group in table.optics}
    return boxes.pop() if len(boxes) == 1 else None


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
