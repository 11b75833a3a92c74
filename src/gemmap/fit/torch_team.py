"""A team of processes that torchrun, or SLURM with its variables, started: torch.distributed underneath."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from gemmap.errors import BackendError
from gemmap.fit.keeper import Piece
from gemmap.fit.team import Alone, Team

#: Another process may still be reading when this one waits for it.
_PATIENCE = timedelta(hours=12)
#: Numbers added up at a time: 64 MiB, so that a sum needs no second copy of a large grid.
_ADDED_AT_ONCE = 2**24
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class TorchTeam:
    """The processes of the default group of torch.distributed, which talk on CPUs (Gloo): implements ``Team``."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def add_up(self, array: np.ndarray) -> None:
        """Replace an array by the sum over all processes."""
        flat = torch.from_numpy(array.reshape(-1))
        assert np.shares_memory(array, flat.numpy()), "the array is not contiguous"
        with _told():
            for start in range(0, len(flat), _ADDED_AT_ONCE):
                dist.all_reduce(flat[start : start + _ADDED_AT_ONCE])

    def gather(self, value: Any) -> Sequence[Any]:
        """Return the values of all processes."""
        values: list[Any] = [None] * self.size
        with _told():
            dist.all_gather_object(values, value)
        return values

    def send(self, piece: Piece, to: int) -> None:
        """Hand a piece to another process."""
        tensors, values = piece
        arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        layout = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in arrays.items()}
        with _told():
            dist.send_object_list([layout, dict(values)], to)
            for tensor in arrays.values():
                if tensor.numel():
                    dist.send(tensor, to)

    def receive(self, of: int) -> Piece:
        """Return the piece that another process sends."""
        told: list[Any] = [None, None]
        with _told():
            dist.recv_object_list(told, of)
            layout, values = told
            tensors = {name: torch.empty(shape, dtype=kind) for name, (shape, kind) in layout.items()}
            for tensor in tensors.values():
                if tensor.numel():
                    dist.recv(tensor, of)
        return tensors, values


@contextmanager
def _told() -> Generator[None, None, None]:
    """Turn the loss of a process into a sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BackendError(
            f"Another process of this run ended or cannot be reached ({reason[:200]}); see what it said, and go on "
            "with --resume."
        ) from error


@contextmanager
def joined(environment: Mapping[str, str] | None = None) -> Generator[Team, None, None]:
    """Join the processes that were started together; alone if this one was started by itself.

    Parameters
    ----------
    environment
        ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``, as torchrun sets them; None for this process's.

    Raises
    ------
    BackendError
        If some of the variables are missing or wrong, or the others cannot be reached.
    """
    variables = os.environ if environment is None else environment
    size = variables.get("WORLD_SIZE", "1")
    if size == "1":
        yield Alone()
        return
    missing = [name for name in _VARIABLES if name not in variables]
    if missing:
        raise BackendError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start the processes with torchrun, or set "
            f"{', '.join(_VARIABLES)} for each."
        )
    try:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"The {size} processes of WORLD_SIZE could not be joined ({str(error).strip().splitlines()[-1][:200]}); "
            "check MASTER_ADDR and MASTER_PORT."
        ) from error
    try:
        yield TorchTeam()
    finally:
        dist.destroy_process_group()
