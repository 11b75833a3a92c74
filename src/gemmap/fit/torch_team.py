"""A team of processes that torchrun or SLURM's srun started: torch.distributed underneath."""

import os
import signal
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from gemmap.errors import BackendError, GemError, SaidElsewhereError
from gemmap.fit.keeper import Piece
from gemmap.fit.launch import Launch, read_launch
from gemmap.fit.team import Alone, Team

#: All processes start within this time; another one may then still be reading when this one waits for it.
_START, _PATIENCE = timedelta(minutes=10), timedelta(hours=12)
#: Numbers added up at a time: 64 MiB, so that a sum needs no second copy of a large grid.
_ADDED_AT_ONCE = 2**24
#: So long the first process, which knows most of the run, has to speak for all.
_COURTESY_S = 1.0
#: The first process, which may keep what they tell each other, waits so long for the others to have asked.
_FAREWELL_S, _GLANCE_S = 5.0, 0.05
_SAID, _REASON, _ASKED = "gemmap/said", "gemmap/reason", "gemmap/asked"


class TorchTeam:
    """The processes of a group of torch.distributed, all of them or a crew, which talk on CPUs (Gloo): a ``Team``."""

    def __init__(self, store: Store, group: dist.ProcessGroup | None) -> None:
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self._store, self._group = store, group
        cores = os.sched_getaffinity(0)
        everyone = self.gather((socket.gethostname(), cores))
        here = [rank for rank, (host, _) in enumerate(everyone) if host == everyone[self.rank][0]]
        self.local_rank, self.local_size = here.index(self.rank), len(here)
        # A batch system may have given each process cores of its own.
        sharing = sum(bool(cores & everyone[rank][1]) for rank in here)
        self.n_cores: int | None = max(1, len(cores) // sharing)

    def add_up(self, array: np.ndarray) -> None:
        """Replace an array by the sum over all processes."""
        flat = torch.from_numpy(array.reshape(-1))
        assert np.shares_memory(array, flat.numpy()), "the array is not contiguous"
        with self._told():
            for start in range(0, len(flat), _ADDED_AT_ONCE):
                dist.all_reduce(flat[start : start + _ADDED_AT_ONCE], group=self._group)

    def pass_on(self, array: np.ndarray) -> None:
        """Replace an array by that of process 0."""
        with self._told():
            dist.broadcast(torch.from_numpy(array), group=self._group, group_src=0)

    def gather(self, value: Any) -> Sequence[Any]:
        """Return the values of all processes."""
        values: list[Any] = [None] * self.size
        with self._told():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def send(self, piece: Piece, to: int) -> None:
        """Hand a piece to another process."""
        tensors, values = piece
        arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        layout = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in arrays.items()}
        with self._told():
            dist.send_object_list([layout, dict(values)], group=self._group, group_dst=to)
            for tensor in arrays.values():
                if tensor.numel():
                    dist.send(tensor, group=self._group, group_dst=to)

    def receive(self, of: int) -> Piece:
        """Return the piece that another process sends."""
        told: list[Any] = [None, None]
        with self._told():
            dist.recv_object_list(told, group=self._group, group_src=of)
            layout, values = told
            tensors = {name: torch.empty(shape, dtype=kind) for name, (shape, kind) in layout.items()}
            for tensor in tensors.values():
                if tensor.numel():
                    dist.recv(tensor, group=self._group, group_src=of)
        return tensors, values

    def divide(self, crews: int) -> Team:
        """Deal the processes out to crews in turn, and return this process's."""
        ranks = [list(range(crew, self.size, crews)) for crew in range(min(crews, self.size))]
        with self._told():
            groups = [dist.new_group(crew, timeout=_PATIENCE) if len(crew) > 1 else None for crew in ranks]
        mine = groups[self.rank % crews]
        return Alone() if mine is None else TorchTeam(self._store, mine)

    @contextmanager
    def _told(self) -> Generator[None, None, None]:
        """Turn the loss of a process into a sentence: the one it left, if any."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            with suppress(RuntimeError):
                if self._store.check([_REASON]):
                    reason = self._store.get(_REASON).decode()
            raise BackendError(
                f"Another process of this run ended or cannot be reached ({reason}); see what it said, and go on "
                "with --resume."
            ) from error


@contextmanager
def joined(environment: Mapping[str, str] | None = None) -> Generator[Team, None, None]:
    """Join the processes that were started together; alone if this one was started by itself.

    What ends the block is raised in one of the processes only, so that one sentence is printed, whoever fails first.

    Parameters
    ----------
    environment
        ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``, as torchrun sets them, or srun's variables; None
        for this process's.

    Raises
    ------
    BackendError
        If some of the variables are missing or wrong, or the others cannot be reached.
    SaidElsewhereError
        Instead of what ends the block, if another process says why the run ends.
    """
    launch = read_launch(os.environ if environment is None else environment)
    if launch is None:
        yield Alone()
        return
    try:
        store = _meet(launch)
        dist.init_process_group("gloo", store=store, rank=launch.rank, world_size=launch.size, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"The {launch.size} processes of this run could not be joined "
            f"({str(error).strip().splitlines()[-1][:200]}); check that each can reach {launch.host}, port "
            f"{launch.port}."
        ) from error
    try:
        yield TorchTeam(store, dist.group.WORLD)
    except BaseException as error:
        with _undisturbed():
            if not _speaks(store, launch, error):
                raise SaidElsewhereError(isinstance(error, KeyboardInterrupt)) from error
        raise
    finally:
        dist.destroy_process_group()


def _meet(launch: Launch) -> Store:
    place = "env://" if launch.by_agent else f"tcp://{launch.host}:{launch.port}"
    store: Store = next(iter(rendezvous(place, launch.rank, launch.size, timeout=_START)))[0]
    return store


def _speaks(store: Store, launch: Launch, error: BaseException) -> bool:
    """Whether this process is the one that says why the run ends."""
    try:
        if isinstance(error, GemError):
            store.set(_REASON, str(error))
        if launch.rank:
            time.sleep(_COURTESY_S)
        is_first = bool(store.add(_SAID, 1) == 1)
        store.add(_ASKED, 1)
        if launch.rank == 0 and not launch.by_agent:
            # Those that were killed never ask.
            until = time.monotonic() + _FAREWELL_S
            while store.add(_ASKED, 0) < launch.size and time.monotonic() < until:
                time.sleep(_GLANCE_S)
        return is_first
    except RuntimeError:
        # The first process kept the store, and is gone.
        return launch.rank == 1


@contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Ignore signals: torchrun ends all processes as soon as one has failed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
