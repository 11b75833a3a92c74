"""Readers survive what is not a file of theirs: the inputs that once broke them, and new ones."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_targets import NAMES, SEEDS, check, prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutate

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made))
        yield Path(made)
        os.chdir(before)


@pytest.mark.parametrize("name", list(SEEDS))
def test_seeds_are_read(folder: Path, name: str) -> None:
    assert [check(name, seed, folder) for seed in SEEDS[name]] == [""] * len(SEEDS[name])


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(folder: Path, path: Path) -> None:
    """The name of a file begins with that of its reader."""
    check(path.name.partition("-")[0], path.read_bytes(), folder)


def test_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS) < 10**6


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(NAMES)), seed=st.integers(0, 2**32))
def test_changed_files(folder: Path, name: str, seed: int) -> None:
    rng = random.Random(seed)
    check(name, mutate(rng.choice(SEEDS[name]), rng, rng.choice(SEEDS[name])), folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(NAMES)), data=st.binary(max_size=3000))
def test_any_bytes(folder: Path, name: str, data: bytes) -> None:
    check(name, data, folder)
