"""The turns of a watch: look, take what has settled, keep the sums, and fit when it is time."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from gemmap._types import Int
from gemmap.api.options import ReconstructionOptions
from gemmap.api.plan import resolve_device
from gemmap.api.sums import load_sums, save_sums
from gemmap.api.watch.intake import NotSettledError, take
from gemmap.api.watch.known_images import KnownImages
from gemmap.api.watch.options import WatchOptions
from gemmap.api.watch.results import recover_results, renew_results
from gemmap.api.watch.retries import Retries
from gemmap.api.watch.run_lock import LOCK_NAME, RunLock
from gemmap.api.watch.state import TakenFile, WatchState, digest_of
from gemmap.errors import GemError, InputError, reason_of
from gemmap.fit.kept_sums import KeptSums
from gemmap.fit.progress import Progress
from gemmap.fit.split import LEAST_PARTICLES
from gemmap.io.atomic import remove_unfinished
from gemmap.io.folders import prepare_folder
from gemmap.io.settling import Settling, Stamp
from gemmap.report.run_log import RunLog

STATE_NAME, LOG_NAME = "watch.json", "watch.log"
#: Sums of all particles so far, and what their images are recognised by, in the folder of a run.
SUMS_NAME, KNOWN_NAME = Path("sums") / "all.safetensors", Path("sums") / "known_images.safetensors"
#: Sums that were added are on disk after so long, however long a turn takes.
_KEEP_S = 60.0


@dataclass(frozen=True)
class WatchEnd:
    """What there is when a watch ends: particles, particles of the last fit, files set aside and why."""

    n_particles: int
    n_fitted: int
    set_aside: dict[str, str]
    waiting: dict[str, int]


class Watch:
    """Takes particle files of a folder as they appear, and keeps sums and results in the folder of a run.

    Parameters
    ----------
    options
        What is watched.
    reconstruction
        How particles are read, inserted and fitted; its ``particles`` are replaced by each file in turn.
    progress
        Told what happens inside a turn.
    say
        Told one line for everything of interest; ``watch.log`` has them too.

    Raises
    ------
    InputError, FormatError, OutputError, BackendError
        If the folder of the run is that of something else or of another watch that is running, its particles were added
        with other options, its sums are damaged, or the device is not there.
    """

    def __init__(
        self,
        options: WatchOptions,
        reconstruction: ReconstructionOptions,
        progress: Progress,
        say: Callable[[str], None],
    ) -> None:
        self._options, self._progress, self._tell = options, progress, say
        resolve_device(reconstruction.device)
        self._reconstruction = reconstruction
        run = options.run
        _require_ours(run)
        prepare_folder(run, [])
        self._lock = RunLock(run)
        try:
            prepare_folder(run / SUMS_NAME.parent, [])
            self._log = RunLog(run / LOG_NAME)
            self._sums_path, self._known_path = run / SUMS_NAME, run / KNOWN_NAME
            self._state = WatchState.open(run / STATE_NAME, reconstruction)
            self._state.set_aside.clear()
            remove_unfinished([self._sums_path, self._known_path, self._state.path])
            recover_results(run)
            self._known = KnownImages.load(self._known_path)
            self._total: KeptSums | None = None
            self._ids: Int[np.ndarray, " n"] = np.zeros(0, np.int64)
            self._halves = (0, 0)
            if self._sums_path.exists():
                self._hold(load_sums(self._sums_path))
                self._total = None
            self._state.save()
        except BaseException:
            self._lock.release()
            raise
        self._settling, self._retries = Settling(options.settle_s), Retries(options.settle_s)
        self._waiting: dict[str, tuple[Stamp, int]] = {}
        self._n_fitted, self._fitted_at = 0, -np.inf
        self._unsaved = False

    @property
    def n_particles(self) -> int:
        """Particles added so far."""
        return len(self._ids)

    def close(self) -> None:
        """Let other processes watch into the same folder."""
        self._lock.release()

    def run(self) -> WatchEnd:
        """Take turns until the end that was asked for.

        Raises
        ------
        KeyboardInterrupt
            When it is stopped, with a sentence about what is kept.
        OutputError, InputError
            If the last fit fails; what was there before stays.
        """
        options = self._options
        with closing(self):
            last_news = time.monotonic()
            if self.n_particles:
                self._say(f"going on with {self.n_particles:,} particles that were added before")
            try:
                while True:
                    n_before = self.n_particles
                    pending = self._turn()
                    if self.n_particles > n_before or pending:
                        last_news = time.monotonic()
                    full = options.until is not None and self.n_particles >= options.until
                    idle = options.idle_s is not None and time.monotonic() - last_news >= options.idle_s
                    if full or idle or (options.once and not pending):
                        break
                    if time.monotonic() - self._fitted_at >= options.every_s:
                        self._try_to_fit()
                    time.sleep(options.settle_s)
                if self._can_fit():
                    self._fit()
            except KeyboardInterrupt:
                self._keep()
                raise KeyboardInterrupt(self._stopped()) from None
            waiting = {name: n for name, (_, n) in self._waiting.items()}
            return WatchEnd(self.n_particles, self._n_fitted, dict(self._state.set_aside), waiting)

    def _turn(self) -> bool:
        """Look at all files, and take those that can be; True if some are being written or will be tried again."""
        pending, kept_at = False, time.monotonic()
        try:
            for path in self._files():
                pending |= self._look(path)
                if time.monotonic() - kept_at > _KEEP_S:
                    self._keep()
                    kept_at = time.monotonic()
        finally:
            self._keep()
            self._total = None
        return pending

    def _files(self) -> Iterator[Path]:
        folder, run = self._options.folder, self._options.run
        for path in sorted(folder.glob(self._options.pattern)):
            if path.is_file() and not path.name.startswith(".") and run not in path.parents:
                yield path

    def _look(self, path: Path) -> bool:
        """Take a file if it is time; True if it is being written, or bad and not yet set aside."""
        name = path.relative_to(self._options.folder).as_posix()
        taken, waiting = self._state.files.get(name), self._waiting.get(name)
        stamp = self._settling.settled(path)
        if stamp is None:
            return True
        if (taken is not None and taken.stamp == stamp) or (waiting is not None and waiting[0] == stamp):
            return False
        if not self._retries.may_try(name, stamp):
            return not self._retries.is_set_aside(name)
        try:
            done = self._take(name, path, stamp)
        except NotSettledError:
            return not self._retries.is_set_aside(name)
        except Exception as error:
            # Whatever a file holds, the others are taken.
            if not isinstance(error, GemError):
                self._log.write(traceback.format_exc().rstrip())
            return self._failed(name, stamp, error)
        if done:
            self._retries.succeeded(name)
            self._state.set_aside.pop(name, None)
        return not done

    def _take(self, name: str, path: Path, stamp: Stamp) -> bool:
        """Add a file's new particles; False if it was changed meanwhile."""
        digest, taken = digest_of(path), self._state.files.get(name)
        if taken is not None and taken.digest == digest:
            self._state.files[name] = replace(taken, size_bytes=stamp.size_bytes, modified_ns=stamp.modified_ns)
            self._unsaved = True
            return True
        options = replace(self._reconstruction, particles=path)
        intake = take(options, self._settling, self._known, self._ids, self._progress)
        if Stamp.of(path) != stamp:
            return False
        if intake.n_new and intake.sums is None:
            self._waiting[name] = (stamp, intake.n_new)
            return True
        if intake.sums is not None:
            self._add(intake.sums, path)
        self._waiting.pop(name, None)
        self._state.files[name] = TakenFile(
            stamp.size_bytes, stamp.modified_ns, digest, intake.n_particles, intake.n_new, intake.n_dead, _now()
        )
        self._unsaved = True
        dead = f", {intake.n_dead:,} dead images left out" if intake.n_dead else ""
        self._say(f"{name}: {intake.n_new:,} new particles, {self.n_particles:,} in all{dead}")
        return True

    def _failed(self, name: str, stamp: Stamp, error: Exception) -> bool:
        if self._retries.failed(name, stamp):
            reason = reason_of(error)
            self._state.set_aside[name] = reason
            self._unsaved = True
            self._say(f"{name} is set aside, and tried again when it changes and now and then: {reason}")
        return not self._retries.is_set_aside(name)

    def _add(self, part: KeptSums, path: Path) -> None:
        if self._total is None and self._sums_path.exists():
            self._total = load_sums(self._sums_path)
        self._unsaved = True
        total = part if self._total is None else self._total.joined(part, ("The sums so far", str(path)))
        self._hold(total)

    def _hold(self, total: KeptSums) -> None:
        self._total, self._ids = total, total.members.ids
        self._halves = (int((total.members.half == 1).sum()), int((total.members.half == 2).sum()))

    def _keep(self) -> None:
        """Bring what was added to disk: the sums first, which alone decide what was added."""
        if not self._unsaved:
            return
        if self._total is not None:
            save_sums(self._sums_path, self._total)
        self._known.save(self._known_path)
        self._state.save()
        self._unsaved = False

    def _can_fit(self) -> bool:
        return self.n_particles != self._n_fitted and min(self._halves) >= LEAST_PARTICLES

    def _try_to_fit(self) -> None:
        """Fit if there is something new; a fit that fails is said, and the watch goes on."""
        if not self._can_fit():
            return
        try:
            self._fit()
        except Exception as error:
            self._log.write(traceback.format_exc().rstrip())
            self._fitted_at = time.monotonic()
            self._say(f"the fit failed, earlier results stay: {reason_of(error)}")

    def _fit(self) -> None:
        run = self._options.run
        summary = renew_results(run, self._sums_path, self._reconstruction, self._progress)
        self._n_fitted, self._fitted_at = summary.n_particles, time.monotonic()
        self._say(f"{summary.n_particles:,} particles fitted: {summary.resolution}; {run}/report.html")

    def _say(self, line: str) -> None:
        self._log.write(line)
        self._tell(f"{datetime.now():%H:%M:%S}  {line}")

    def _stopped(self) -> str:
        if not self.n_particles:
            return "Stopped; no particles were added."
        fitted = (
            f"the results are of {self._n_fitted:,} of them" if self._n_fitted else "none were fitted yet this time"
        )
        return f"Stopped; {self._sums_path} keeps {self.n_particles:,} particles, {fitted}: the same command goes on."


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _require_ours(run: Path) -> None:
    """Refuse a folder that holds something else."""
    if run.exists() and not (run / LOCK_NAME).exists() and (not run.is_dir() or any(run.iterdir())):
        raise InputError(f"{run} exists and is not of gemmap watch ({LOCK_NAME} is not there); choose another folder.")
