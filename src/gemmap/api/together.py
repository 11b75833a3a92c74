"""One reconstruction by several processes: the first has the run, the others help it and write only to resume.

What they say to each other, in this order: what is to be done; that it can be done, before any file is written; that
the folder is ready.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction
from gemmap.errors import InputError
from gemmap.fit.half_maps import reconstruct_together
from gemmap.fit.progress import Silent
from gemmap.fit.team import Team
from gemmap.io.checkpoint import Checkpoint
from gemmap.particles.table import ParticleTable
from gemmap.report.record import gemmap_version


@dataclass(frozen=True)
class _Task:
    """What to reconstruct, and where the first process keeps how far it is."""

    options: ReconstructionOptions
    checkpoint: Path


def announce(options: ReconstructionOptions, checkpoint: Path, team: Team) -> None:
    """Tell the other processes of a team what is to be done; the first one's part."""
    if team.size > 1:
        team.gather(_Task(options, checkpoint.absolute()))


def dismiss(team: Team) -> None:
    """Tell the other processes of a team that nothing is left for them to do; the first one's part."""
    if team.size > 1:
        team.gather(None)


def take_part(team: Team) -> None:
    """Do what the first process asks for, in any other one.

    Raises
    ------
    GemError
        As :func:`gemmap.reconstruct`.
    """
    task: _Task | None = team.gather(None)[0]
    if task is None:
        return
    plan = plan_reconstruction(task.options, team=team)
    if not agree(plan):
        return
    await_folder(team)
    interval_s = task.options.checkpoint_interval_s
    keeper = Checkpoint(member_checkpoint(task.checkpoint, team.rank), interval_s)
    reconstruct_together(plan.table, plan.stack, plan.config, Silent(), team, plan.mask, keeper)


def agree(plan: ReconstructionPlan, go_on: bool = True) -> bool:
    """Wait until all processes have planned; return whether the first one goes on.

    Raises
    ------
    InputError
        If they do not see the same particles, or are of different versions.
    """
    if plan.team.size == 1:
        return go_on
    own = (gemmap_version(), len(plan.table), _fingerprint(plan.table))
    everyone = plan.team.gather((own, go_on))
    first, goes_on = everyone[0]
    for rank, (its, _) in enumerate(everyone):
        for what, ours, theirs in zip(("gemmap", "particles", "poses and half-sets"), first, its, strict=True):
            if ours != theirs:
                raise InputError(
                    f"Process 0 has {what} {ours} and process {rank} {theirs}; expected the same on all machines: let "
                    "all of them see the same files and installation."
                )
    return bool(goes_on)


def await_folder(team: Team) -> None:
    """Meet all processes once the first one has made the folder of the run."""
    if team.size > 1:
        team.gather(None)


def member_checkpoint(checkpoint: Path, rank: int) -> Path:
    """Return where a process keeps how far it is, if the first one does so in ``checkpoint``."""
    return checkpoint / f"rank{rank}" if rank else checkpoint


def _fingerprint(table: ParticleTable) -> str:
    """A number that is the same for the same particles only, in all likelihood."""
    value = 0
    for array in (table.rotations, table.shifts_a, table.index_in_stack, table.half):
        value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
    return f"{value:08x}"
