"""Tensors with a JSON description in one safetensors file: no pickle, so opening one runs nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gemmap.errors import FormatError, InputError, OutputError
from gemmap.io.atomic import atomic_path

#: The one key of the file's text metadata; its value is JSON.
_METADATA_KEY = "gemmap"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able description, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    text = {_METADATA_KEY: json.dumps(dict(metadata), allow_nan=False, sort_keys=True)}
    with atomic_path(Path(path)) as temporary:
        temporary.touch()
        usual_mode = temporary.stat().st_mode
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, text)
            temporary.chmod(usual_mode)  # the library writes files that only their owner may read
        except SafetensorError as error:  # it wraps errors of the operating system
            raise OutputError(f"Cannot write {path}: {error}; free space or choose another output folder.") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors (on the CPU) and the description.

    Raises
    ------
    InputError
        If the file cannot be read.
    FormatError
        If it is damaged, cut short, or was not written by GEM.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise FormatError(f"{path} is damaged or no safetensors file ({error}); write it again.") from error
    try:
        return tensors, dict(json.loads(metadata[_METADATA_KEY]))
    except (KeyError, ValueError, TypeError):
        raise FormatError(
            f"{path} is a safetensors file without GEM's description; expected one written by GEM."
        ) from None
