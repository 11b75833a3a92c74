"""Pickles of arrays are read; pickles of anything else are refused before they can do it."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemmap.errors import FormatError, InputError
from gemmap.io.pickles import load_arrays


class Attack:
    """Writes a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.target, "pwned"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i8", "u4", "?"])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int, dtype: str) -> None:
    arrays = np.arange(18).reshape(2, 3, 3).astype(dtype), np.asfortranarray(np.arange(4.0).reshape(2, 2))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
    got = load_arrays(tmp_path / "a.pkl")
    assert len(got) == 2
    for mine, theirs in zip(got, arrays, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_modules_as_numpy_1_called_them(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3.0), protocol=2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "a.pkl").write_bytes(content)
    assert load_arrays(tmp_path / "a.pkl")[0].tolist() == [0, 1, 2]


def test_list_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([3, 1, 2]))
    assert load_arrays(tmp_path / "a.pkl")[0].tolist() == [3, 1, 2]


def test_attack_is_named_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((np.zeros((1, 3, 3)), Attack(target))))
    with pytest.raises(FormatError, match=r"was not opened because it asks for pathlib.*\.npz"):
        load_arrays(tmp_path / "a.pkl")
    assert not target.exists()
    pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert target.exists()  # the same file does run in an ordinary unpickler


def test_attack_inside_an_object_array(tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(np.array([Attack(target)], dtype=object)))
    with pytest.raises(FormatError, match="was not opened"):
        load_arrays(tmp_path / "a.pkl")
    assert not target.exists()


@pytest.mark.parametrize("content", [{"a": 1}, "text", (), (1, 2), [[1], [1, 2]], [2**80], ["a"], None])
def test_other_content(tmp_path: Path, content: object) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(FormatError, match="expected NumPy arrays"):
        load_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize("keep", [0, 1, 20, 100])
def test_damaged_file(tmp_path: Path, keep: int) -> None:
    buffer = io.BytesIO()
    pickle.dump(np.arange(100.0), buffer)
    (tmp_path / "a.pkl").write_bytes(buffer.getvalue()[:keep])
    with pytest.raises(FormatError, match="not a readable pickle"):
        load_arrays(tmp_path / "a.pkl")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(tmp_path / "a.pkl")
