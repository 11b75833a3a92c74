"""Everything that is read, checked and decided before a reconstruction computes anything."""

import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from gemmap._types import Int, Volume
from gemmap.api.check import require_usable, warnings_of
from gemmap.api.framing import FramedParticles, as_stated, frame_particles, read_mask, with_boxes
from gemmap.api.gpu import gpu_text, plan_gpu
from gemmap.api.options import ReconstructionOptions
from gemmap.api.reading import read
from gemmap.checks.verdict import Verdict
from gemmap.errors import BackendError, InputError
from gemmap.fit.config import FitConfig
from gemmap.fit.extent import diameter_in_pixels
from gemmap.fit.gpu_memory import GpuMemoryPlan
from gemmap.fit.memory import MemoryPlan, plan_memory, require_memory
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.fit.team import Alone, Team
from gemmap.kernels import threads
from gemmap.particles.frame import SMALLEST_BOX_PX
from gemmap.particles.halves import HalfSplit, assign_halves, rows_of_part
from gemmap.particles.stack import ImageStack, SelectedStack
from gemmap.particles.table import ParticleTable
from gemmap.physics.noise import background_window
from gemmap.report.summary import label_lines
from gemmap.units import memory_text
from gemmap.validate.local_resolution import place_windows


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
        Particles, each in half 1 or 2, and their images, all in the working box.
    table_as_read
        The same particles with the boxes and pixel sizes of their files.
    images_text
        Box and pixel size, in words.
    split
        Where the half-sets come from.
    mask
        Region to fit, if one was given.
    n_threads
        Threads in use.
    memory
        Needed and available.
    gpu_memory
        Allowed of a GPU and how it is used; None where the user does not say.
    source
        File and format of the particles, in words.
    n_excluded
        Particles of the file left out.
    inputs
        Files that are read.
    stack_files
        The image stacks among them, in the order of the table's stacks; none for images in memory.
    local_sampling_a
        Distance of the windows of local resolution; None where it is not measured.
    notes
        What was assumed or is not modelled, one sentence each.
    verdicts
        Of the checks that need no pixels.
    seconds
        Time it took to read and check.
    team
        The processes that do it together.
    """

    options: ReconstructionOptions
    config: FitConfig
    table: ParticleTable
    stack: ImageStack
    table_as_read: ParticleTable
    images_text: str
    split: HalfSplit
    mask: Volume | None
    n_threads: int
    memory: MemoryPlan
    gpu_memory: GpuMemoryPlan | None
    source: str
    n_excluded: int
    inputs: tuple[Path, ...]
    stack_files: tuple[Path, ...]
    local_sampling_a: float | None
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float
    team: Team = field(default_factory=Alone)

    @property
    def split_text(self) -> str:
        """Sizes of the half-sets and where they come from."""
        origin = "from the file" if self.split.from_file else f"drawn at random with seed {self.split.seed}"
        return f"{self.split.n_half1:,} + {self.split.n_half2:,}, {origin}"

    @property
    def can_resume(self) -> bool:
        """Whether another process could go on: particles in memory are gone with this one."""
        return self.options.particles is not None

    def select(self, rows: Int[np.ndarray, " k"], half: Int[np.ndarray, " k"] | None = None) -> Self:
        """Return the plan of some of the particles.

        Parameters
        ----------
        rows
            Which.
        half
            Their half-sets, 1 or 2, in the place of those of the plan.

        Raises
        ------
        InputError
            If a half of them is too small to be reconstructed.
        """
        table, as_read = self.table.select(rows), self.table_as_read.select(rows)
        if half is not None:
            table, as_read = replace(table, half=half), replace(as_read, half=half)
        _require_enough(table, self.config)
        return replace(
            self, table=table, stack=SelectedStack(self.stack, rows), table_as_read=as_read, split=self.split.of(table)
        )

    def part(self, number: int, n_parts: int) -> Self:
        """Return the plan of part 1 .. ``n_parts`` of the particles; half-sets and working size are those of all.

        Raises
        ------
        InputError
            If there is no such part, or a half of it is too small.
        """
        rows = rows_of_part(self.table.original_image, number, n_parts)
        return replace(self.select(rows), source=f"{self.source}, part {number} of {n_parts}")

    def lines(self) -> list[str]:
        """Return the plan in words."""
        parts = ", ".join(f"{name} {memory_text(size)}" for name, size in self.memory.parts.items())
        symmetry = self.config.group
        excluded = f" ({self.n_excluded:,} left out)" if self.n_excluded else ""
        rows = [
            ("Particles", f"{len(self.table):,}{excluded} of {self.source}"),
            ("Images", self.images_text),
            ("Half-sets", self.split_text),
            *([] if symmetry.is_trivial else [("Symmetry", f"{symmetry.name}, {len(symmetry)} views per particle")]),
            ("Device", f"{self.config.device}, {self.n_threads} thread{'s' if self.n_threads > 1 else ''}"),
            *([] if self.team.size == 1 else [("Processes", self._team_text)]),
            (
                "Memory",
                f"{memory_text(self.memory.total_bytes)} needed, {memory_text(self.memory.available_bytes)} available"
                f"{self._limit} ({parts})",
            ),
            *([] if self.gpu_memory is None else [("GPU memory", gpu_text(self.gpu_memory))]),
        ]
        if self.options.evidence is not None:
            rows.append(("Evidence", f"{self.options.evidence.replace(',', ', ')}, when the run is finished"))
        return [*label_lines(rows), *(f"Note: {note}" for note in self.notes)]

    @property
    def _team_text(self) -> str:
        return f"{self.team.size}, {self.team.local_size} of them on this machine; device and memory are of each"

    @property
    def _limit(self) -> str:
        return "" if self.memory.limit_bytes is None else f", {memory_text(self.memory.limit_bytes)} allowed"


def plan_reconstruction(
    options: ReconstructionOptions,
    arrays: tuple[ParticleTable, ImageStack] | None = None,
    team: Team | None = None,
) -> ReconstructionPlan:
    """Read the particles' files, check everything but the pixels, and decide what is left to decide.

    Parameters
    ----------
    options
        Options; ``particles`` is None if ``arrays`` is given.
    arrays
        Table and images already in memory.
    team
        The processes that do it together, each with its part of the cores, the memory and the GPUs of its machine; None
        for this one alone.

    Raises
    ------
    InputError, FormatError, BackendError
        One sentence that says what was got, what was expected and what to do.
    """
    started = time.perf_counter()
    team = team or Alone()
    config = options.fit_config(resolve_device(options.device, team.local_rank))
    loaded = _load(options, arrays)
    stated = as_stated(loaded.table, options)
    verdicts = require_usable(stated, loaded.stack)
    as_read, split = assign_halves(stated, options.seed)
    framed = frame_particles(as_read, loaded.stack, options)
    table, stack = framed.table, framed.stack
    _check_frame(framed, config)
    _require_enough(table, config)
    mask, mask_notes = (None, ()) if options.mask is None else read_mask(options.mask, framed.frame, framed.read_size)
    batch_size = 0 if config.schedule is None else config.schedule.batch_size
    local_sampling_a, local_notes = _local_sampling(options, framed)
    memory = plan_memory(stack.box_px, len(table), batch_size, options.memory_bytes, team.local_size)
    require_memory(memory)
    gpu_memory = plan_gpu(options, config.device, stack.box_px, batch_size)
    return ReconstructionPlan(
        options=options,
        config=replace(
            config,
            chunk_bytes=memory.chunk_bytes,
            device_images=None if gpu_memory is None else gpu_memory.batch_images,
        ),
        table=table,
        stack=stack,
        # What is said to be dark is so in the record too.
        table_as_read=replace(as_read, image_sign=-as_read.image_sign) if options.invert else as_read,
        images_text=framed.images_text,
        split=split,
        mask=mask,
        n_threads=threads.configure(options.threads, team.n_cores),
        memory=memory,
        gpu_memory=gpu_memory,
        source=loaded.source,
        n_excluded=loaded.n_in_source - len(table),
        inputs=(*options.input_files, *loaded.stack_files),
        stack_files=loaded.stack_files,
        local_sampling_a=local_sampling_a,
        notes=(*loaded.notes, *framed.notes, *mask_notes, *local_notes, *warnings_of(verdicts)),
        verdicts=verdicts,
        seconds=time.perf_counter() - started,
        team=team,
    )


def resolve_device(name: str, number: int = 0) -> str:
    """Return the device to compute on; ``auto`` is a GPU if there is one.

    Of several processes on one machine each, by its ``number`` there, takes a GPU of its own as long as there are any.

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
        name = "cuda" if n_gpus else "cpu"
    if name == "cuda" and n_gpus and number:
        return f"cuda:{number % n_gpus}"
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
        if options.evidence is not None:
            raise InputError(
                "The tests of a run read its particles again, and these are in memory only; give a file, or leave "
                "the evidence out."
            )
        if stack.n != len(table):
            raise InputError(f"The table has {len(table)} particles and the stack {stack.n} images; expected as many.")
        return _Particles(with_boxes(table, stack), stack, "arrays in memory", len(table))
    loaded = read(options)
    source = f"{options.particles} ({loaded.format_name})"
    notes = loaded.notes
    if loaded.format_name.startswith("cryoSPARC") and options.fit_config("cpu").group.cryosparc_differs:
        notes += (
            f"{options.sym} has a 2-fold axis on x, as in RELION; cryoSPARC's {options.sym} has it on y: give --sym "
            f"{options.sym}y if the poses are from its refinement with that symmetry.",
        )
    return _Particles(loaded.table, loaded.stack, source, loaded.n_in_file, loaded.stack.paths, notes)


def _check_frame(framed: FramedParticles, config: FitConfig) -> None:
    """Refuse boxes, pixel sizes and diameters that the fit would only stumble over later."""
    box_px, _ = framed.read_size
    if box_px < SMALLEST_BOX_PX:
        raise InputError(f"The images are {box_px} px wide; expected a box of at least {SMALLEST_BOX_PX} px.")
    if config.particle_diameter_a is not None:
        diameter_px = diameter_in_pixels(config.particle_diameter_a, framed.frame.pixel_size_a)
        background_window(framed.frame.box_px, 0.5 * diameter_px)


def _local_sampling(options: ReconstructionOptions, framed: FramedParticles) -> tuple[float | None, tuple[str, ...]]:
    """Distance of the windows of local resolution; None if it is not wanted, or with a note if none fits the box."""
    if not options.local_resolution:
        return None, ()
    try:
        place_windows(framed.frame.box_px, framed.frame.pixel_size_a, options.local_sampling_a)
    except InputError as error:
        return None, (f"Local resolution is left out: {error}",)
    return options.local_sampling_a, ()


def _require_enough(table: ParticleTable, config: FitConfig) -> None:
    """Refuse halves too small to be cut once more into particles to fit and particles to judge the fit by."""
    rows = [table.half == half for half in (1, 2)]
    smallest = min(len(np.unique(table.original_image[mine])) for mine in rows)
    if smallest < LEAST_PARTICLES:
        raise InputError(
            f"The smaller half-set has {smallest} particles; expected at least {LEAST_PARTICLES}: give more particles."
        )
    if config.schedule is not None:
        config.schedule.require_batch(min(int(mine.sum()) for mine in rows))
