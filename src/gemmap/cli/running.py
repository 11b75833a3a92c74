"""What ``gemmap reconstruct`` does once its options are known: a new run, one gone on with, alone or with others."""

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemmap.cli import live as live_page
from gemmap.errors import InputError

if TYPE_CHECKING:
    from gemmap.cli.screen import Screen
    from gemmap.fit.team import Team


@dataclass(frozen=True)
class Manner:
    """How a run is carried out, which changes nothing of its result.

    Attributes
    ----------
    screen
        What is said on the terminal.
    page
        Where the run can be watched, if anywhere.
    team
        The processes that do it together; this one is the first.
    """

    screen: "Screen"
    page: live_page.LivePage | None
    team: "Team"


@contextmanager
def joined_processes() -> "Generator[Team, None, None]":
    """The processes that were started together with this one.

    Raises
    ------
    BackendError
        If they cannot be reached; see :func:`gemmap.fit.torch_team.joined`.
    """
    from gemmap.fit.launch import read_launch
    from gemmap.fit.team import Alone

    # A mistake in the options is said at once, before torch is loaded.
    if read_launch(os.environ) is None:
        yield Alone()
        return
    from gemmap.fit.torch_team import joined

    with joined() as team:
        yield team


def begin(
    given: Mapping[str, Any],
    explicit: Mapping[str, Any],
    output: Path | None,
    config: Path | None,
    overwrite: bool,
    dry_run: bool,
    manner: Manner,
) -> None:
    """Do a run from its beginning: with the values of its options, those on the command line over a file's."""
    if output is None:
        raise InputError("No folder for the results was given; give -o FOLDER.")

    from gemmap.api.options import ReconstructionOptions, read_config
    from gemmap.api.plan import plan_reconstruction
    from gemmap.api.run import run_plan, summarise
    from gemmap.api.together import agree, announce
    from gemmap.io.folders import require_free
    from gemmap.report.run_folder import CHECKPOINT_NAME
    from gemmap.report.summary import summary_lines

    require_free(output, overwrite)
    if config is not None:
        options = ReconstructionOptions.from_values({**read_config(config), **explicit}, str(config))
    else:
        options = ReconstructionOptions(**given)
    if options.particles is None:
        raise InputError("No particle file was given; give PARTICLES, or --config with the config.yaml of a run.")
    screen, team = manner.screen, manner.team
    announce(options, output / CHECKPOINT_NAME, team)
    plan = plan_reconstruction(options, team=team)
    screen.plan(plan.lines(), asdict(options))
    if dry_run:
        agree(plan, go_on=False)
        return
    # Maps of the run are not kept in memory while its evidence is gathered.
    with live_page.watched(manner.page, screen, output, plan.table.pixel_size_a) as progress:
        summary = summarise(run_plan(plan, output, progress, ["gemmap", *sys.argv[1:]]))
        screen.result(summary_lines(summary))
    _gather_evidence(output, screen)


def go_on(folder: Path, explicit: Mapping[str, Any], manner: Manner) -> None:
    """Finish an interrupted run, or the tests of one that is finished."""
    from gemmap.api.resume import UnfinishedRun
    from gemmap.api.run import summarise
    from gemmap.api.run_evidence import evidence_left
    from gemmap.api.together import dismiss
    from gemmap.report.summary import summary_lines

    screen, team = manner.screen, manner.team
    threads, device = explicit.get("threads"), explicit.get("device")
    if evidence_left(folder):
        dismiss(team)
        _gather_evidence(folder, screen, threads, device)
        return
    with UnfinishedRun(folder) as run:
        plan = run.plan(threads, device, explicit.get("checkpoint_interval_s"), team)
        screen.plan(plan.lines(), asdict(plan.options))
        with live_page.watched(manner.page, screen, folder, plan.table.pixel_size_a) as progress:
            summary = summarise(run.finish(plan, progress))
            screen.result(summary_lines(summary))
    _gather_evidence(folder, screen, threads, device)


def _gather_evidence(run: Path, screen: "Screen", threads: int | None = None, device: str | None = None) -> None:
    """Do what tests are left that the run was asked for."""
    from gemmap.api.run_evidence import evidence_left, finish_evidence, run_evidence_lines
    from gemmap.report.summary import label_lines

    if evidence_left(run):
        finish_evidence(run, screen.progress(), threads, device)
        screen.result(label_lines(run_evidence_lines(run)))
