"""The memory plan by hand, and the limits of control groups from files made for the purpose."""

from pathlib import Path

import pytest

from gemmap.errors import InputError
from gemmap.fit import memory
from gemmap.fit.memory import MemoryPlan, available_memory_bytes, plan_memory, require_memory
from gemmap.fit.one_pass import CHUNK_BYTES


def test_the_four_accumulators() -> None:
    # A box of 64 has a grid of 96: 96 x 96 x 49 points of 12 bytes, for half 1 and the three parts of half 2.
    plan = plan_memory(64, 1000)
    assert plan.parts["aggregates"] == 4 * 12 * 96 * 96 * 49
    assert plan.total_bytes == sum(plan.parts.values())
    assert plan_memory(128, 1000).total_bytes > plan.total_bytes


def test_more_particles_than_a_chunk_need_no_more_memory() -> None:
    few, many, more = (plan_memory(128, n).parts["images"] for n in (10, 10**5, 10**6))
    assert few == 8 * 10 * 4 * 128 * 128
    assert few < many == more == 8 * CHUNK_BYTES


def test_batches_are_counted_for_the_engine_that_has_them() -> None:
    without, small, large = (plan_memory(128, 1000, batch) for batch in (0, 32, 5000))
    assert "batches" not in without.parts
    assert small.total_bytes - without.total_bytes == 10 * 32 * 4 * 128**2
    assert large.parts["batches"] == 10 * 1000 * 4 * 128**2


def test_too_much_is_refused() -> None:
    require_memory(MemoryPlan({"a": 5, "b": 5}, 10))
    with pytest.raises(InputError, match=r"needs about 11\.0 GB of memory and 10\.0 GB are available"):
        require_memory(MemoryPlan({"a": 5 * 10**9, "b": 6 * 10**9}, 10**10))


def test_this_machine() -> None:
    assert 10**7 < available_memory_bytes() < 10**14


def write_group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("line", "place", "files", "left"),
    [
        ("0::/job/step", "job/step", {"memory.max": "1000\n", "memory.current": "300\n"}, [700]),
        ("0::/job/step", "", {"memory.max": "1000\n", "memory.current": "300\n"}, [700]),
        ("0::/job", "job", {"memory.max": "max\n", "memory.current": "300\n"}, []),
        ("0::/job", "job", {"memory.max": "1000", "memory.current": "900",
                            "memory.stat": "anon 1\ninactive_file 250\n"}, [350]),
        ("0::/job", "job", {"memory.max": "1000", "memory.current": "1200"}, [0]),
        ("4:memory:/job", "memory/job", {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "400",
                                         "memory.stat": "total_inactive_file 50\ninactive_file 20"}, [650]),
        ("3:cpu,cpuacct:/job", "cpu/job", {"memory.max": "1000", "memory.current": "300"}, []),
    ],
)  # fmt: skip
def test_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, place: str, files: dict[str, str], left: list[int]
) -> None:
    monkeypatch.setattr(memory, "_GROUP_ROOT", tmp_path)
    (tmp_path / "own").write_text(line + "\n")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    write_group(tmp_path / place, files)
    assert memory._group_rests() == left


def test_a_limit_makes_chunks_smaller_before_it_refuses() -> None:
    usual = plan_memory(64, 10**6)
    enough = plan_memory(64, 10**6, limit_bytes=usual.total_bytes)
    assert (enough.parts, enough.chunk_bytes) == (usual.parts, None)
    less = plan_memory(64, 10**6, limit_bytes=usual.total_bytes - 8 * 2**24)
    assert less.total_bytes <= usual.total_bytes - 8 * 2**24
    assert less.chunk_bytes == 2**24
    require_memory(less)
    least = plan_memory(64, 10**6, limit_bytes=10**6)
    assert least.parts["images"] == 8 * 2**20
    with pytest.raises(InputError, match=r"at least \d\d\d MB of memory and --memory allows 1 MB; allow more or"):
        require_memory(least)
