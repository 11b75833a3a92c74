"""Takes up a run that ended before it was finished, whatever ended it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import ReconstructionPlan, plan_reconstruction, resolve_device
from gemmap.api.result import ReconstructionResult
from gemmap.api.run import carry_out, used_options
from gemmap.api.run_evidence import evidence_left, finish_evidence
from gemmap.api.together import agree, announce
from gemmap.errors import InputError
from gemmap.fit.progress import Progress, Silent
from gemmap.fit.team import Team
from gemmap.io.checkpoint import remove_checkpoint
from gemmap.kernels import threads as cores
from gemmap.report.record import InputFile, RunRecord, describe_software, gemmap_version, to_plain
from gemmap.report.run_folder import JOB_NAME, RunFolder


def resume(
    run_folder: Path | str,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
    device: str | None = None,
    checkpoint_interval_s: float | None = None,
) -> ReconstructionResult:
    """Finish a reconstruction that was interrupted, killed, or failed.

    On CPUs, with the same number of threads, the files are those of a run that was left alone, to the bit.

    Parameters
    ----------
    run_folder
        ``output`` of :func:`gemmap.reconstruct`.
    progress
        Told what happens.
    threads, device, checkpoint_interval_s
        As for :func:`gemmap.reconstruct`; None keeps the run's own.

    Raises
    ------
    InputError
        If it is no folder of a run, the run is finished, or particles or GEM's version changed since it began.
    OutputError
        If another process is writing to the folder, or a file cannot be written.
    FormatError
        If the checkpoint is damaged.
    """
    path, shown = Path(run_folder), Silent() if progress is None else progress
    with UnfinishedRun(path) as run:
        plan = run.plan(threads, device, checkpoint_interval_s)
        result = run.finish(plan, shown)
    return replace(result, evidence=finish_evidence(path, shown, threads, device))


class UnfinishedRun:
    """A run to take up; no other process can until the block ends.

    Attributes
    ----------
    options
        Its own; threads and device are those that were used.

    Raises
    ------
    InputError, OutputError
        As `resume`.
    """

    def __init__(self, path: Path) -> None:
        _read_job(path)  # before anything is written where no run is
        self._folder = RunFolder(path, goes_on=True)
        try:
            # Now that no other process can change it.
            self._job = _read_job(path)
            if self._job["status"] == "finished":
                remove_checkpoint(self._folder.checkpoint_path)
                raise InputError(_finished_text(path))
            self.options = self._read_options()
            self._require_unchanged()
        except BaseException:
            self._folder.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.close()

    def plan(
        self,
        threads: int | None,
        device: str | None,
        checkpoint_interval_s: float | None,
        team: Team | None = None,
    ) -> ReconstructionPlan:
        """Read the particles again; None keeps the run's own choice, as far as this machine allows it."""
        own, before = self.options, self._job["config"]
        interval_s = own.checkpoint_interval_s if checkpoint_interval_s is None else checkpoint_interval_s
        device = before["device"] if device is None else device
        options = replace(
            own,
            gpu_memory=None if resolve_device(device) == "cpu" else own.gpu_memory,
            threads=min(before["threads"], cores.available()) if threads is None else threads,
            device=device,
            checkpoint_interval_s=interval_s,
        )
        if team is not None:
            announce(options, self._folder.checkpoint_path, team)
        plan = plan_reconstruction(options, team=team)
        now = used_options(plan)
        changed = [name for name in ("threads", "device") if now[name] != before[name]]
        changes = [f"{name} {now[name]} instead of {before[name]}" for name in changed]
        changes += [f"another {name}" for name in _changed_software(self._job["software"])]
        if not changes:
            return plan
        note = f"Resumed with {', '.join(changes)}: maps may differ from those of an uninterrupted run by rounding."
        return replace(plan, notes=(*plan.notes, note))

    def finish(self, plan: ReconstructionPlan, progress: Progress) -> ReconstructionResult:
        """Do what is left to do."""
        agree(plan)
        job = self._job
        record = RunRecord(
            argv=job["argv"],
            config=used_options(plan),
            seeds={"seed": plan.options.seed},
            inputs=[InputFile.of(file) for file in plan.inputs],
            started=datetime.fromisoformat(job["started"]),
            resumed=[*map(datetime.fromisoformat, job["resumed"]), datetime.now().astimezone()],
            notes=plan.notes,
        )
        self._folder.log.write(f"Resumed; the run began on {job['started']}.")
        return carry_out(plan, self._folder, record, progress)

    def _read_options(self) -> ReconstructionOptions:
        job = self._folder.path / JOB_NAME
        if self._job["config"].get("particles") is None:
            raise InputError(
                f"The particles of the run in {job.parent} were in memory; there is nothing to resume from."
            )
        return ReconstructionOptions.from_values(self._job["config"], str(job))

    def _require_unchanged(self) -> None:
        version = self._job["software"]["gemmap"]
        if version != gemmap_version():
            raise InputError(
                f"The run in {self._folder.path} was begun by gemmap {version} and this is {gemmap_version()}; resume "
                "with that version, or start again with --overwrite."
            )
        for before in self._job["inputs"]:
            now = to_plain(InputFile.of(Path(before["path"])))
            if now != before:
                what = "is not there any more" if now["size_bytes"] is None else "has changed"
                raise InputError(
                    f"{before['path']} {what} since the run began; put it back as it was, or start again with "
                    "--overwrite."
                )


def _read_job(path: Path) -> dict[str, Any]:
    """Return the record of a run."""
    file = path / JOB_NAME
    try:
        job = json.loads(file.read_text(encoding="utf-8"))
        wanted: Mapping[str, type] = {"argv": list, "config": dict, "inputs": list, "resumed": list, "software": dict}
        if not all(isinstance(job[name], kind) for name, kind in wanted.items()):
            raise ValueError(file)
        return dict(job)
    except OSError as error:
        raise InputError(
            f"{path} is no folder of a run: {JOB_NAME} cannot be read ({error.strerror or error}); give the folder "
            "that reconstruct -o made."
        ) from error
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} is not the record of a run; give the folder that reconstruct -o made.") from None


def _finished_text(path: Path) -> str:
    left = evidence_left(path)
    if not left:
        return f"The run in {path} is finished; there is nothing to resume."
    return (
        f"The run in {path} is finished but for its evidence; gemmap evidence {shlex.quote(str(path))} --test "
        f"{','.join(left)} goes on, or gather_evidence."
    )


def _changed_software(before: Mapping[str, Any]) -> Sequence[str]:
    """Names of libraries, and Python, of another version than in the record."""
    now = describe_software()
    names = [name for name in now["libraries"] if now["libraries"][name] != before["libraries"].get(name)]
    return [*names, *(["python"] if now["python"] != before["python"] else [])]
