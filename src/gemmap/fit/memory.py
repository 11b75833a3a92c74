"""How much memory a reconstruction needs, worked out before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gemmap.errors import InputError
from gemmap.fit.aggregate import grid_size
from gemmap.fit.one_pass import CHUNK_BYTES
from gemmap.particles.batches import images_per_chunk
from gemmap.units import memory_text

#: Interleaved real part, imaginary part and weight, float32.
_ACCUMULATOR_BYTES = 12
#: While half 2 is tried: all of half 1, and half 2 in three parts, one seen by trial fits and two held out.
_ACCUMULATORS = 4
#: Chunks of images read ahead or in use, and the transforms and weighted slices of the one in use, in chunks.
_CHUNKS = 8
#: Beside the aggregates while a half is fitted, bytes per point of the oversampled grid. Measured: 92 at 96 and
#: 192 px.
FIT_BYTES = 96
#: Batches of images read ahead or in use, projections, and transforms of those.
_BATCHES = 10
#: Maps of the box's size kept to the end: three fits, each with its map and baselines, and the masks; float32.
_MAPS_KEPT = 12
#: Python, the numerical libraries and compiled kernels; measured, 0.46 to 0.49 GB.
_PROGRAM_BYTES = 520 * 10**6

_GROUP_ROOT, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


#: Smaller chunks would be slower.
_LEAST_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class MemoryPlan:
    """Memory by purpose, in bytes, and what the machine has left for this process.

    Attributes
    ----------
    limit_bytes
        Most that the user allows; None for all that is left.
    chunk_bytes
        Images read at a time where the limit asks for less than usual, None otherwise.
    """

    parts: Mapping[str, int]
    available_bytes: int
    limit_bytes: int | None = None
    chunk_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """Sum over all purposes."""
        return sum(self.parts.values())


def plan_back_projection(box_px: int, n_particles: int) -> MemoryPlan:
    """Return what back-projecting the half-sets of particles of this box needs at its peak."""
    parts = _parts(box_px, n_particles, 0, CHUNK_BYTES)
    return MemoryPlan({name: size for name, size in parts.items() if name != "fit"}, available_memory_bytes())


def plan_memory(
    box_px: int, n_particles: int, batch_size: int = 0, limit_bytes: int | None = None, n_processes: int = 1
) -> MemoryPlan:
    """Return what a reconstruction of particles of this box needs at its peak, in each of ``n_processes`` on a machine.

    Particles are read in chunks, so their number matters only where all of them are less than a chunk. ``batch_size``
    is that of the images engine. With a limit, chunks are as small as it takes, if that is enough.
    """
    parts, chunk_bytes = _parts(box_px, n_particles, batch_size, CHUNK_BYTES), None
    beyond = 0 if limit_bytes is None else sum(parts.values()) - limit_bytes
    if beyond > 0:
        chunk_bytes = max(_LEAST_CHUNK_BYTES, min(CHUNK_BYTES, (parts["images"] - beyond) // _CHUNKS))
        parts = _parts(box_px, n_particles, batch_size, chunk_bytes)
    return MemoryPlan(parts, available_memory_bytes() // n_processes, limit_bytes, chunk_bytes)


def _parts(box_px: int, n_particles: int, batch_size: int, chunk_bytes: int) -> dict[str, int]:
    """Bytes by purpose."""
    m = grid_size(box_px)
    points = m * m * (m // 2 + 1)
    parts = {
        "aggregates": _ACCUMULATORS * _ACCUMULATOR_BYTES * points,
        "images": _CHUNKS * min(images_per_chunk(box_px, chunk_bytes), n_particles) * 4 * box_px**2,
        "fit": FIT_BYTES * points,
        "maps": _MAPS_KEPT * 4 * box_px**3,
        "batches": batch_bytes(box_px, min(batch_size, n_particles)),
        "program": _PROGRAM_BYTES,
    }
    return {name: size for name, size in parts.items() if size}


def batch_bytes(box_px: int, batch_size: int) -> int:
    """Bytes of a batch of the images engine, and of what is made of it."""
    return _BATCHES * batch_size * 4 * box_px**2


def require_memory(plan: MemoryPlan) -> None:
    """Raise InputError if the plan needs more than the user allows, or than the machine has left."""
    if plan.limit_bytes is not None and plan.total_bytes > plan.limit_bytes:
        raise InputError(
            f"This box needs at least {memory_text(plan.total_bytes)} of memory and --memory allows "
            f"{memory_text(plan.limit_bytes)}; allow more or downsample the particles."
        )
    if plan.total_bytes > plan.available_bytes:
        raise InputError(
            f"This box needs about {memory_text(plan.total_bytes)} of memory and {memory_text(plan.available_bytes)} "
            "are available; free memory, use a larger machine or downsample the particles."
        )


def available_memory_bytes() -> int:
    """Return the memory this process may still take: of the machine, or of its control group if that allows less."""
    free = _meminfo_available()
    return min([free, *_group_rests()])


def _meminfo_available() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable; Linux has had it since 3.14.")


def _group_rests() -> list[int]:
    """Bytes left in the control groups of this process, which batch systems and containers limit."""
    rests = []
    for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, files = _GROUP_ROOT, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, files = _GROUP_ROOT / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        # In a container the named folder is often mounted as the root.
        for folder in dict.fromkeys((root / name.lstrip("/"), root)):
            limit, used = (_read_int(folder / file) for file in files)
            if limit is not None and used is not None:
                rests.append(max(limit - used + _reclaimable(folder), 0))
    return rests


def _reclaimable(folder: Path) -> int:
    """Bytes of cached files, which count as used but are given back when needed."""
    try:
        rows = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    stat = dict(row.split(" ", 1) for row in rows)
    return int(stat.get("total_inactive_file", stat.get("inactive_file", "0")))


def _read_int(path: Path) -> int | None:
    """Content of a one-number file; None if it is not there or says ``max``."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
