"""What torchrun and srun tell a process about the others."""

import pytest

from gemmap.errors import BackendError
from gemmap.fit.launch import Launch, read_launch

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "node7", "MASTER_PORT": "29500"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": "gpu[007-010,12],login"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": "1"},
        # The batch script itself, outside of srun.
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "5"},
        {**SRUN, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_alone(variables: dict[str, str]) -> None:
    assert read_launch(variables) is None


def test_torchrun() -> None:
    assert read_launch(TORCHRUN) == Launch(1, 4, "node7", 29500, by_agent=False)
    assert read_launch({**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True"}) == Launch(1, 4, "node7", 29500, True)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[007-010,12],login", "gpu007"),
        ("gpu[3,5-7]", "gpu3"),
        ("node-1,node-2", "node-1"),
        ("alone", "alone"),
        ("r[1-2]n[3-4]", "r1n3"),
        ("a,b[1-2]", "a"),
        ("n[01-02].cluster", "n01.cluster"),
    ],
)
def test_srun_names_the_first_host(nodes: str, first: str) -> None:
    launch = read_launch({**SRUN, "SLURM_STEP_NODELIST": nodes})
    assert launch is not None
    assert (launch.rank, launch.size, launch.host) == (3, 8, first)


def test_srun_chooses_a_port_by_the_job() -> None:
    """All of a job the same, other jobs and steps another; what the user says wins."""
    job = {**SRUN, "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0"}
    ports = {read_launch({**job, "SLURM_PROCID": str(rank)}).port for rank in range(8)}  # type: ignore[union-attr]
    others = [{**job, "SLURM_JOB_ID": "4712"}, {**job, "SLURM_STEP_ID": "1"}]
    assert len(ports) == 1
    assert all(read_launch(other).port not in ports for other in others)  # type: ignore[union-attr]
    assert 1024 < ports.pop() < 65536
    told = read_launch({**job, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "555"})
    assert told is not None
    assert (told.host, told.port) == ("10.0.0.1", 555)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(
        BackendError, match="WORLD_SIZE is 4, but RANK, MASTER_PORT is not set; start the processes with"
    ):
        read_launch({"WORLD_SIZE": "4", "MASTER_ADDR": "node7"})


@pytest.mark.parametrize(("name", "value"), [("RANK", "-1"), ("WORLD_SIZE", "many"), ("MASTER_PORT", "")])
def test_what_is_no_number_is_named(name: str, value: str) -> None:
    with pytest.raises(BackendError, match=f"{name} is '{value}'; expected a whole number"):
        read_launch({**TORCHRUN, name: value})


def test_a_rank_beyond_the_others_is_refused() -> None:
    with pytest.raises(BackendError, match="This is process 4 of 4; expected 0 to 3"):
        read_launch({**TORCHRUN, "RANK": "4"})
