import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemmap.errors import FormatError, InputError, OutputError
from gemmap.io.tensors import load_tensors, save_tensors

TENSORS = {
    "a": torch.arange(6, dtype=torch.float64).reshape(2, 3),
    "view": torch.arange(12.0).reshape(3, 4).T,
    "complex": torch.tensor([1 + 2j], dtype=torch.complex64),
    "empty": torch.zeros(0, 3),
}
METADATA = {"schema": "x", "n": 3, "list": [1.5, None], "text": "Å"}


def test_round_trip(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", TENSORS, METADATA)
    tensors, metadata = load_tensors(tmp_path / "a.safetensors")
    assert metadata == METADATA
    assert set(tensors) == set(TENSORS)
    for name, wanted in TENSORS.items():
        assert tensors[name].dtype == wanted.dtype
        assert torch.equal(tensors[name], wanted)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_whoever_may_read_new_files_may_read_these(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", TENSORS, METADATA)
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_any_safetensors_reader_reads_it(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", TENSORS, METADATA)
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], TENSORS["a"])


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "a.safetensors"
    save_tensors(file, TENSORS, METADATA)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(FormatError, match="is damaged or no safetensors file"):
        load_tensors(file)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {"gemmap": "not json"}, {"gemmap": "3"}])
def test_file_of_another_program(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(FormatError, match="without GEM's description"):
        load_tensors(tmp_path / "a.safetensors")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_tensors(path)


def test_metadata_that_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_tensors(tmp_path / "a.safetensors", {}, {"x": float("nan")})
    json.dumps(METADATA)
    assert not list(tmp_path.iterdir())


def test_full_disk(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OutputError, match=r"Cannot write .*a\.safetensors"):
            save_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not list(tmp_path.iterdir())
