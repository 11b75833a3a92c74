"""Everything that is read, checked and decided before a reconstruction computes anything."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from gemmap._types import Volume
from gemmap.api.check import require_usable
from gemmap.api.options import ReconstructionOptions
from gemmap.errors import BackendError, InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.memory import MemoryPlan, plan_memory, require_memory
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.io.formats import read_particles
from gemmap.io.mrc import read_map
from gemmap.kernels import threads
from gemmap.particles.halves import HalfSplit, assign_halves
from gemmap.particles.stack import ImageStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.noise import background_window
from gemmap.report.summary import label_lines, memory_text
from gemmap.validate.masks import check_mask

_SMALLEST_BOX_PX = 16


@dataclass(frozen=True, eq=False)
class ReconstructionPlan:
    """Particles, and the choices made for their reconstruction.

    Attributes
    ----------
    options
        As given.
    config
        Of the fit, with a device that exists.
    table, stack
        Particles, each in half 1 or 2, and their images.
    split
        Where the half-sets come from.
    mask
        Region to fit, if one was given.
    n_threads
        Threads in use.
    memory
        Needed and available.
    source
        File and format of the particles, in words.
    n_excluded
        Particles of the file left out.
    inputs
        Files that are read.
    notes
        What was assumed or is not modelled, one sentence each.
    seconds
        Time it took to read and check.
    """

    options: ReconstructionOptions
    config: FitConfig
    table: ParticleTable
    stack: ImageStack
    split: HalfSplit
    mask: Volume | None
    n_threads: int
    memory: MemoryPlan
    source: str
    n_excluded: int
    inputs: tuple[Path, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def split_text(self) -> str:
        """Sizes of the half-sets and where they come from."""
        origin = "from the file" if self.split.from_file else f"drawn at random with seed {self.split.seed}"
        return f"{self.split.n_half1:,} + {self.split.n_half2:,}, {origin}"

    @property
    def can_resume(self) -> bool:
        """Whether another process could go on: particles in memory are gone with this one."""
        return self.options.particles is not None

    def lines(self) -> list[str]:
        """Return the plan in words."""
        parts = ", ".join(f"{name} {memory_text(size)}" for name, size in self.memory.parts.items())
        excluded = f" ({self.n_excluded:,} left out)" if self.n_excluded else ""
        rows = [
            ("Particles", f"{len(self.table):,}{excluded} of {self.source}"),
            ("Images", f"{self.stack.box_px} px, {self.table.pixel_size_a:g} Å per pixel"),
            ("Half-sets", self.split_text),
            ("Device", f"{self.config.device}, {self.n_threads} thread{'s' if self.n_threads > 1 else ''}"),
            (
                "Memory",
                f"{memory_text(self.memory.total_bytes)} needed, {memory_text(self.memory.available_bytes)} available "
                f"({parts})",
            ),
        ]
        return [*label_lines(rows), *(f"Note: {note}" for note in self.notes)]


def plan_reconstruction(
    options: ReconstructionOptions, arrays: tuple[ParticleTable, ImageStack] | None = None
) -> ReconstructionPlan:
    """Read the particles' files, check everything but the pixels, and decide what is left to decide.

    Parameters
    ----------
    options
        Options; ``particles`` is None if ``arrays`` is given.
    arrays
        Table and images already in memory.

    Raises
    ------
    InputError, FormatError, BackendError
        One sentence that says what was got, what was expected and what to do.
    """
    started = time.perf_counter()
    config = options.fit_config(resolve_device(options.device))
    loaded = _load(options, arrays)
    table, stack = loaded.table, loaded.stack
    _check_frame(table, stack, config)
    warnings = require_usable(table, stack)
    table, split = assign_halves(table, options.seed)
    _require_enough(split, config)
    mask = None if options.mask is None else _read_mask(options.mask, stack.box_px, table.pixel_size_a)
    memory = plan_memory(stack.box_px, len(table), 0 if config.schedule is None else config.schedule.batch_size)
    require_memory(memory)
    return ReconstructionPlan(
        options=options,
        config=config,
        table=table,
        stack=stack,
        split=split,
        mask=mask,
        n_threads=threads.configure(options.threads),
        memory=memory,
        source=loaded.source,
        n_excluded=loaded.n_in_source - len(table),
        inputs=(*options.input_files, *loaded.stack_files),
        notes=(*loaded.notes, *warnings),
        seconds=time.perf_counter() - started,
    )


def resolve_device(name: str) -> str:
    """Return the device to compute on; ``auto`` is a GPU if there is one.

    Raises
    ------
    InputError
        If the name is none of ``auto``, ``cpu``, ``cuda`` and ``cuda:N``.
    BackendError
        If a GPU is asked for and not there.
    """
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if n_gpus else "cpu"
    if name == "cpu":
        return name
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise InputError(f"The device is {name!r}; expected auto, cpu, cuda or cuda:N with the number of a GPU.")
    if int(match[1] or 0) >= n_gpus:
        raise BackendError(
            f"The device {name} was asked for, but PyTorch sees {n_gpus or 'no'} GPU{'s' if n_gpus > 1 else ''}; give "
            "--device cpu, or install a PyTorch that fits the driver."
        )
    return name


@dataclass(frozen=True, eq=False)
class _Particles:
    """Particles from files or from memory, alike."""

    table: ParticleTable
    stack: ImageStack
    source: str
    n_in_source: int
    stack_files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def _load(options: ReconstructionOptions, arrays: tuple[ParticleTable, ImageStack] | None) -> _Particles:
    if arrays is not None:
        table, stack = arrays
        if stack.n != len(table):
            raise InputError(f"The table has {len(table)} particles and the stack {stack.n} images; expected as many.")
        return _Particles(table, stack, "arrays in memory", len(table))
    if options.particles is None:
        raise InputError("There are no particles; give a particle file.")
    loaded = read_particles(
        options.particles,
        poses=options.poses,
        ctf=options.ctf,
        ind=options.ind,
        passthrough=options.passthrough,
        no_ctf=options.no_ctf,
        first=options.first,
        pixel_size_a=options.pixel_size_a,
        datadir=options.datadir,
        strip_prefix=options.strip_prefix,
        invert=options.invert,
    )
    source = f"{options.particles} ({loaded.format_name})"
    return _Particles(loaded.table, loaded.stack, source, loaded.n_in_file, loaded.stack.paths, loaded.notes)


def _check_frame(table: ParticleTable, stack: ImageStack, config: FitConfig) -> None:
    """Refuse boxes, pixel sizes and diameters that the fit would only stumble over later."""
    box_px = stack.box_px
    if box_px % 2 or box_px < _SMALLEST_BOX_PX:
        raise InputError(f"The images are {box_px} px wide; expected an even box of at least {_SMALLEST_BOX_PX} px.")
    pixel_size_a = table.pixel_size_a
    if config.particle_diameter_a is not None:
        background_window(box_px, 0.5 * config.particle_diameter_a / pixel_size_a)


def _require_enough(split: HalfSplit, config: FitConfig) -> None:
    """Refuse halves too small to be cut once more into particles to fit and particles to judge the fit by."""
    smallest = min(split.n_half1, split.n_half2)
    if smallest < LEAST_PARTICLES:
        raise InputError(
            f"The smaller half-set has {smallest} particles; expected at least {LEAST_PARTICLES}: give more particles."
        )
    if config.schedule is not None:
        config.schedule.require_batch(smallest)


def _read_mask(path: Path, box_px: int, pixel_size_a: float) -> Volume:
    mask, mask_pixel_size_a = read_map(path)
    check_mask(mask, box_px)
    # Many programs write 0 or 1 when they do not know the size.
    if mask_pixel_size_a not in (0.0, 1.0) and abs(mask_pixel_size_a / pixel_size_a - 1.0) > 1e-2:
        raise InputError(
            f"{path} has voxels of {mask_pixel_size_a:g} Å; expected {pixel_size_a:g} Å as the particles: resample it."
        )
    return mask
