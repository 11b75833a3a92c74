"""Options of ``gemmap reconstruct`` that another command takes and passes on."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import typer

from gemmap.cli.reconstruct import reconstruct
from gemmap.errors import InputError

if TYPE_CHECKING:
    from gemmap.api.options import ReconstructionOptions

#: Settings of a command whose words, those that it does not know itself, are read by `values_of`.
CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
#: Of words that cannot be read as options; typer has it under this name only.
_UsageError = cast(type[Exception], typer.BadParameter.__base__)


def values_of(words: Sequence[str], source: str) -> dict[str, Any]:
    """Return the options of ``reconstruct`` in words, by name; ``verbose``, ``quiet`` and ``config`` are among them.

    Parameters
    ----------
    words
        Of the command line.
    source
        Who gives them, for messages.

    Raises
    ------
    InputError
        If there is no such option, its value is wrong, or it says what the calling command decides.
    """
    from gemmap.api.options import ReconstructionOptions

    reader = typer.Typer()
    reader.command()(reconstruct)
    # The particles are given, so that a stray word is one too many and not taken for them.
    try:
        ctx = typer.main.get_command(reader).make_context("reconstruct", ["particles", *words])
    except _UsageError as error:
        reason = cast(Any, error).format_message().rstrip(".")
        raise InputError(
            f"{source} {shlex.join(words)}, which is wrong: {reason}; correct it, these are options of gemmap "
            "reconstruct."
        ) from error
    explicit = {}
    for name, value in ctx.params.items():
        origin = ctx.get_parameter_source(name)
        if name != "particles" and origin is not None and origin.name == "COMMANDLINE":
            explicit[name] = value
    allowed = {"config", "verbose", "quiet", *(field.name for field in fields(ReconstructionOptions))}
    refused = [name for name in explicit if name not in allowed]
    if refused:
        raise InputError(f"{source} --{refused[0].replace('_', '-')}, which has no meaning here; leave it out.")
    return explicit


def options_of(values: Mapping[str, Any], source: str) -> "ReconstructionOptions":
    """Return options from those that are given, and from a ``config.yaml`` if one is among them.

    Raises
    ------
    InputError
        As `ReconstructionOptions.from_values`.
    """
    from gemmap.api.options import ReconstructionOptions, read_config

    given = dict(values)
    config = given.pop("config", None)
    before = {} if config is None else read_config(config)
    return ReconstructionOptions.from_values({**before, **given}, source)
