"""How a process was started beside others: what torchrun, or SLURM's srun, tells it by variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gemmap.errors import BackendError

#: Set by torchrun; whoever starts processes by hand sets them too.
_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: Set by srun for each task of a step, and not for the batch script around it.
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST")
#: Ports from here on are taken by the number of the job, so that two jobs on one machine do not meet.
_FIRST_PORT, _PORTS = 20000, 20000


@dataclass(frozen=True)
class Launch:
    """Number of this process and of all, and where the first one listens.

    ``by_agent`` says that an agent of torchrun listens there, which outlives the processes.
    """

    rank: int
    size: int
    host: str
    port: int
    by_agent: bool = False


def read_launch(variables: Mapping[str, str]) -> Launch | None:
    """Return how this process was started, None if alone.

    Raises
    ------
    BackendError
        If some of the variables are missing or no numbers, or the rank is beyond the size.
    """
    if "WORLD_SIZE" in variables:
        launch = _of_torchrun(variables)
    elif all(name in variables for name in _SLURM):
        launch = _of_slurm(variables)
    else:
        return None
    if launch.rank >= launch.size:
        raise BackendError(
            f"This is process {launch.rank} of {launch.size}; expected 0 to {launch.size - 1}, as torchrun and srun "
            "number them."
        )
    return None if launch.size == 1 else launch


def _of_torchrun(variables: Mapping[str, str]) -> Launch:
    size = variables["WORLD_SIZE"]
    if size == "1":
        return Launch(0, 1, "", 0)
    missing = [name for name in _TORCHRUN if name not in variables]
    if missing:
        raise BackendError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start the processes with torchrun, or set "
            f"{', '.join(_TORCHRUN)} for each."
        )
    return Launch(
        _number(variables, "RANK"),
        _number(variables, "WORLD_SIZE"),
        variables["MASTER_ADDR"],
        _number(variables, "MASTER_PORT"),
        variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _of_slurm(variables: Mapping[str, str]) -> Launch:
    host = variables.get("MASTER_ADDR") or _first_host(variables["SLURM_STEP_NODELIST"])
    if "MASTER_PORT" in variables:
        port = _number(variables, "MASTER_PORT")
    else:
        job, step = (variables.get(name, "0") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
        port = _FIRST_PORT + (int(job) * 31 + int(step)) % _PORTS if (job + step).isdecimal() else _FIRST_PORT
    return Launch(_number(variables, "SLURM_PROCID"), _number(variables, "SLURM_STEP_NUM_TASKS"), host, port)


def _first_host(nodes: str) -> str:
    """Return the first of a list as SLURM writes it, such as ``gpu[007-010,12],login``."""
    first = re.split(r",(?![^\[]*\])", nodes, maxsplit=1)[0]
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first)


def _number(variables: Mapping[str, str], name: str) -> int:
    if not variables[name].isdecimal():
        raise BackendError(f"{name} is {variables[name]!r}; expected a whole number, as torchrun and srun set it.")
    return int(variables[name])
