"""Help that teaches: options in panels, examples that can be copied, and one sentence for wrong usage."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from textwrap import fill
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from gemmap.cli import panels

#: Of words that cannot be read as a command; typer has it under this name only.
UsageError = cast(type[Exception], typer.BadParameter.__base__)

#: A command line below what it does, and the lines that it goes on in.
_EXAMPLE = re.compile(r"^\s*(?:\[dim\])?# .*\n\s*(gemmap (?:.*\\\s*\n)*.*)$", re.MULTILINE)
#: Names that RELION, cryoSPARC and cryoDRGN give to options of ours that are not spelled alike.
_ELSEWHERE = {
    "--angpix": "--pixel-size",
    "--apix": "--pixel-size",
    "--Apix": "--pixel-size",
    "--psize": "--pixel-size",
    "--j": "--threads",
    "--gpu": "--device",
    "--o": "--output",
    "--outdir": "--output",
}


def examples(*taught: tuple[str, str], then: str) -> str:
    """Return the end of a command's help.

    Parameters
    ----------
    taught
        What an example does, and its command line, in lines of at most 76 characters.
    then
        What to do next, in sentences.
    """
    lines = [f"  [dim]# {purpose}[/dim]\n  {command}" for purpose, command in taught]
    title = "Example" if len(taught) == 1 else "Examples"
    following = fill(then, 76, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([f"[bold]{title}[/bold]", *lines, "", "[bold]Next[/bold]", following])


def commands_of(epilog: str) -> list[str]:
    """Return the command lines of the examples, each in one line."""
    return [" ".join(found.replace("\\", " ").split()) for found in _EXAMPLE.findall(epilog)]


class TeachingCommand(TyperCommand):
    """A command whose options stand in the panels of :mod:`gemmap.cli.panels`, in their order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.sort(key=_place)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, ``--help`` last and in the last panel where there are panels."""
        parameters = _without_empty_types(super().get_params(ctx))
        if any(_panel(parameter) for parameter in self.params):
            parameters[-1].rich_help_panel = panels.RUN
        return parameters


class TeachingGroup(TyperGroup):
    """The command ``gemmap``: wrong usage of it and of what it holds is one sentence, and exit code 2."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _without_empty_types(super().get_params(ctx))

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before the command."""
        with _one_sentence():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the words of the command, and run it."""
        with _one_sentence(ctx):
            return super().invoke(ctx)


def _without_empty_types(parameters: Sequence[Any]) -> list[Any]:
    """Parameters, and no ``<bool>`` in the help of those that take no value."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return list(parameters)


def _panel(parameter: Any) -> str | None:
    return getattr(parameter, "rich_help_panel", None)


def _place(parameter: Any) -> int:
    """Where a parameter stands: arguments, then options without a panel, then panels in order."""
    panel = _panel(parameter)
    if panel is None:
        return -1
    return panels.ORDER.index(panel) if panel in panels.ORDER else len(panels.ORDER)


@contextmanager
def _one_sentence(ctx: Any = None) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed
            raise
        typer.secho(f"Error: {_sentence(error, ctx)}", err=True, fg=typer.colors.RED)
        raise typer.Exit(2) from None


def _sentence(error: Any, outer: Any) -> str:
    """What is wrong with the words, and what they should be."""
    ctx, kind, parameter = error.ctx, type(error).__name__, getattr(error, "param", None)
    if ctx is not None:
        path = ctx.command_path
    else:  # an option without its value
        path = "gemmap" if outer is None else f"{outer.command_path} {outer.invoked_subcommand}"
    if kind == "NoSuchOption":
        name = "".join(letter if letter.isprintable() else "?" for letter in error.option_name)
        meant = " or ".join(_meant(name, ctx.command.params))
        return f"{path} has no option {name}{f'; did you mean {meant}?' if meant else '.'} ({path} --help lists all.)"
    if kind == "MissingParameter" and parameter is not None:
        known = commands_of(ctx.command.epilog or "")
        return f"{path} needs {_written(parameter)}{f', for example: {known[0]}' if known else f'; see {path} --help.'}"
    message = " ".join(error.format_message().replace("Value error, ", "").split())
    if message.endswith("?"):
        return f"{message} ({path} --help lists all.)"
    return f"{message.rstrip('.')}; see {path} --help."


def _written(parameter: Any) -> str:
    """How a parameter is written on the command line."""
    value = parameter.metavar or parameter.name.upper()
    return value if parameter.param_type_name == "argument" else f"{min(parameter.opts, key=len)} {value}"


def _meant(name: str, parameters: Sequence[Any]) -> list[str]:
    """Return the options that somebody who wrote ``name`` may have meant."""
    known = [
        option
        for parameter in parameters
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    ]
    if _ELSEWHERE.get(name) in known:
        return [_ELSEWHERE[name]]
    return get_close_matches(name.replace("_", "-"), known, n=2, cutoff=0.65)
