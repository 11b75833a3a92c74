"""What a run learns about its images before it begins: the checks of ``gemmap check``, as far as it has time."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gemmap.api.check import image_verdicts
from gemmap.api.plan import ReconstructionPlan
from gemmap.checks.image_verdicts import FEWEST, dead_images, noise
from gemmap.checks.sample import IMAGES, choose_rows, take_sample
from gemmap.checks.verdict import Verdict
from gemmap.errors import GemError
from gemmap.fit.progress import Progress, stage

#: Part of a run's time that checking may take.
SHARE = 0.045
#: Seconds of one core that a run takes at least, per pixel of its images and per voxel of its box, and how many times
#: less on a GPU; and that the whole check takes at most, in all and per image. Ratios hold on other processors too;
#: docs/decisions.md has the measurements.
_RUN_S_PER_PIXEL, _RUN_S_PER_VOXEL, _GPU_FACTOR = 1.0e-7, 1.4e-5, 10.0
_CHECK_S, _CHECK_S_PER_IMAGE = 1.3, 0.006
#: Images looked at for dead ones and for their noise where there is no time for more.
_FEW = 64
#: Memory of the check for each image.
_BYTES_PER_IMAGE = 300_000
#: What the run says by itself: it looks at all images.
_SAID_BY_THE_RUN = ("dead images",)


@dataclass(frozen=True)
class ParticleCheck:
    """Verdicts on the particles of a run.

    Attributes
    ----------
    verdicts
        On the table, then on the images of the sample.
    n_images, n_particles
        Images looked at, and particles of the run.
    complete
        Whether CTFs, poses, shifts and contrast were judged too.
    seconds
        Wall time of looking at images.
    notes
        The errors and warnings about images, one sentence each.
    """

    verdicts: tuple[Verdict, ...]
    n_images: int
    n_particles: int
    complete: bool
    seconds: float
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return plain values for job.json."""
        return {**asdict(self), "verdicts": [asdict(verdict) for verdict in self.verdicts]}


def affordable_images(box_px: int, n_particles: int, device: str, room_bytes: int) -> int:
    """Return how many images the whole check may look at to take at most :data:`SHARE` of a run; 0 if it takes more.

    The number follows from sizes alone, so that a run repeated looks at the same images.

    Parameters
    ----------
    box_px, n_particles
        Of the run.
    device
        On which it computes; the check uses the processor.
    room_bytes
        Memory that the run takes later.
    """
    run_s = _RUN_S_PER_PIXEL * n_particles * box_px**2 + _RUN_S_PER_VOXEL * box_px**3
    if device != "cpu":
        run_s /= _GPU_FACTOR
    n = min(math.floor((SHARE * run_s - _CHECK_S) / _CHECK_S_PER_IMAGE), IMAGES, room_bytes // _BYTES_PER_IMAGE)
    return n if n >= FEWEST else 0


def check_particles(plan: ReconstructionPlan, progress: Progress) -> ParticleCheck | None:
    """Look at a sample of the images of a plan, and tell what is wrong with them; None if that is not wanted.

    Nothing that the reconstruction uses is changed, and no verdict stops it.
    """
    if not plan.options.check:
        return None
    started = time.perf_counter()
    room_bytes = plan.memory.total_bytes - plan.memory.parts.get("program", 0)
    n_whole = affordable_images(plan.stack.box_px, len(plan.table), plan.config.device, room_bytes)
    n = min(n_whole or _FEW, len(plan.table))
    with stage(progress, "checking a sample of the images", n, "images"):
        try:
            found = _whole(plan, n) if n_whole else _quick(plan, n)
        except GemError as error:
            found = [Verdict("images", "unknown", f"Cannot be known: {error}")]
        progress.advance(n)
    notes = tuple(f"{v.text} (Check of {v.check}, on {n:,} images.)" for v in found if _is_news(v, plan))
    for note in notes:
        progress.note(f"WARNING: {note}")
    verdicts = (*plan.verdicts, *found)
    return ParticleCheck(verdicts, n, len(plan.table), bool(n_whole), time.perf_counter() - started, notes)


def with_notes(plan: ReconstructionPlan, check: ParticleCheck | None) -> ReconstructionPlan:
    """Return the plan with what the check found among its notes."""
    return plan if check is None else replace(plan, notes=(*plan.notes, *check.notes))


def _whole(plan: ReconstructionPlan, n: int) -> Sequence[Verdict]:
    return image_verdicts(plan.table, plan.stack, n, plan.options.seed, all_images=False)


def _quick(plan: ReconstructionPlan, n: int) -> Sequence[Verdict]:
    sample = take_sample(plan.table, plan.stack, choose_rows(plan.table, n, plan.options.seed))
    return [dead_images(sample.statistics, all_images=False), noise(sample)]


def _is_news(verdict: Verdict, plan: ReconstructionPlan) -> bool:
    if verdict.level not in ("warning", "error") or verdict.check in _SAID_BY_THE_RUN:
        return False
    # Normalised, the images of a run do not differ any more.
    return not (verdict.check == "noise" and plan.options.normalise)
