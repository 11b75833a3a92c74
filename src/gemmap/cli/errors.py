"""What a user sees when a command cannot go on: one sentence, and an exit code.

0: done. 1: an error of ours, with its traceback. 2: something the user can change. 130: stopped with Ctrl-C or SIGTERM.
"""

import errno
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from gemmap.errors import GemError, SaidElsewhereError

USER_ERROR, INTERRUPTED = 2, 130
#: Refusals of the operating system that the user can do something about, and what.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOMEM)
_NAMES = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE, errno.ENXIO)
_ADVICE = {
    **dict.fromkeys(_FULL, "free space or choose another folder"),
    **dict.fromkeys(_NAMES, "check the path, and the disk that it is on"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "allow more open files (ulimit -n)"),
}

#: Characters of a sentence on the screen.
_LONGEST = 2000

_P = ParamSpec("_P")
_R = TypeVar("_R")


def reports_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn the expected exceptions of a command into a sentence on stderr and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as error:
            typer.secho(str(error) or "Interrupted; nothing was written.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except SaidElsewhereError as said:
            raise typer.Exit(INTERRUPTED if said.interrupted else USER_ERROR) from None
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None:
                raise
            typer.secho(f"Error: {sentence}", err=True, fg=typer.colors.RED)
            raise typer.Exit(USER_ERROR) from None

    return wrapped


def _sentence(error: Exception) -> str | None:
    """What to tell the user, or None for an error that is ours."""
    if isinstance(error, GemError):
        sentence = " ".join(str(error).split())
        if len(sentence) > _LONGEST:  # it quotes a file without end
            return f"{sentence[: _LONGEST // 2]} ... {sentence[-_LONGEST // 2 :]}"
        return sentence
    # PyTorch has no exception of its own for the memory of the CPU.
    out_of_memory = type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )
    if out_of_memory and "CUDA" in str(error):
        return (
            "The memory of the GPU is exhausted; give --device cpu, fewer images at a time (--batch-size), or "
            "downsample the particles."
        )
    if isinstance(error, MemoryError) or out_of_memory:
        return "Memory is exhausted; close other programs, use a larger machine or downsample the particles."
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; {_ADVICE[error.errno]}."
    return None
