"""``--help`` teaches: every command has examples that can be run, every option a panel and a sentence; wrong words
end with one sentence.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main

from gemmap.cli import panels
from gemmap.cli.main import app
from gemmap.cli.passed_on import values_of
from gemmap.cli.teaching import TeachingCommand, UsageError, commands_of, examples

GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = dict(GROUP.commands)
#: Titles of ``gemmap --help``, in order.
GROUPS = (
    panels.RECONSTRUCT, panels.JUDGE, panels.LOOK, panels.SUMS, panels.PROGRAMS, panels.PRACTICE,
)  # fmt: skip
#: From so many options on they stand in panels.
LARGE = 8
#: Values that no sentence has to explain where nothing is given.
UNITS = {"Å", "Å²", "PX", "kV", "mm", "DEG", "SECONDS", "N", "X", "RATIO", "FRACTION", "PART", "VALUE"}


def options_of(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def taught() -> Iterator[tuple[str, str]]:
    """Every example, with the command whose help it stands in."""
    for name, command in (("gemmap", GROUP), *COMMANDS.items()):
        for example in commands_of(command.epilog or ""):
            yield name, example


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_examples_of_itself_and_says_what_is_next(name: str) -> None:
    command = COMMANDS[name]
    own = [example for example in commands_of(command.epilog or "") if example.split()[1] == name]
    assert 1 <= len(own) <= 4
    assert len(own) == len(commands_of(command.epilog))
    assert "[bold]Next[/bold]" in command.epilog
    assert isinstance(command, TeachingCommand)
    assert command.rich_help_panel in GROUPS


@pytest.mark.parametrize(("name", "example"), list(taught()))
def test_an_example_can_be_given(name: str, example: str) -> None:
    """It is read as a shell reads it, and every word is one that its command knows."""
    words = shlex.split(example.partition(" > ")[0], comments=True)
    command = COMMANDS[words[1]]
    context = command.make_context(words[1], words[2:])
    if context.ignore_unknown_options:  # the others are those of gemmap reconstruct
        values_of(context.args, "The example has")
    else:
        assert context.args == []


def test_an_example_that_cannot_be_given_is_seen() -> None:
    for words in (["x.star", "-o", "run", "--no-such"], ["x.star", "y.star"], ["x.star", "--engine", "neural"]):
        with pytest.raises(UsageError):
            COMMANDS["reconstruct"].make_context("reconstruct", words)


@pytest.mark.parametrize("name", ["gemmap", *sorted(COMMANDS)])
def test_text_after_the_examples_names_what_is_there(name: str) -> None:
    epilog = GROUP.epilog if name == "gemmap" else COMMANDS[name].epilog
    text = " ".join(epilog.split("[bold]Next[/bold]")[1].split())
    for called, rest in re.findall(r"\bgemmap ([a-z-]+)([^.;,]*)", text):
        assert called in COMMANDS or called.startswith("--")
        known = {option for one in options_of(COMMANDS.get(called, GROUP)) for option in one.opts} | {"--help"}
        assert set(re.findall(r"--[a-z0-9-]+", rest)) <= known


def test_examples_fit_a_narrow_terminal() -> None:
    for command in (GROUP, *COMMANDS.values()):
        assert all(len(line) <= 78 for line in re.sub(r"\[/?\w+\]", "", command.epilog).splitlines()), command.name


def test_examples_are_found_again() -> None:
    text = examples(("one", "gemmap a -o b"), ("two", "gemmap a \\\n      --c d"), then="gemmap e does more.")
    assert commands_of(text) == ["gemmap a -o b", "gemmap a --c d"]
    assert text.splitlines() == [
        "[bold]Examples[/bold]",
        "  [dim]# one[/dim]",
        "  gemmap a -o b",
        "  [dim]# two[/dim]",
        "  gemmap a \\",
        "      --c d",
        "",
        "[bold]Next[/bold]",
        "  gemmap e does more.",
    ]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_parameter_is_explained(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith((".", "..")), parameter.name
        assert not parameter.help[0].isspace()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_have_units_and_say_what_happens_without_them(name: str) -> None:
    for option in options_of(COMMANDS[name]):
        if option.is_flag:
            continue
        given = option.metavar or option.display_type_rich(None)
        assert "|" in given or not given.startswith("<"), f"{option.name} shows {given}"  # choices, or a word of ours
        annotation = option.type_descriptor.annotation
        if annotation in (int, float):
            assert option.metavar in UNITS, option.name
        if option.metavar in {"Å", "Å²", "kV", "mm"}:
            assert f" {option.metavar} " in f"{option.help.translate(str.maketrans('.,;:', '    '))} ", option.name
        if option.default is None and not option.required:
            said = ("by default", "otherwise", "needed", "a .csg file names its own", "in place of")
            assert any(word in option.help.lower() for word in said), option.name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_of_large_commands_stand_in_panels(name: str) -> None:
    command = COMMANDS[name]
    found = [option.rich_help_panel for option in options_of(command)]
    if len(found) > LARGE or any(found):
        assert set(found) <= set(panels.ORDER), found
        assert found.count(panels.MOST_USED) <= 9
        assert found == sorted(found, key=panels.ORDER.index)
        context = command.make_context(name, [], resilient_parsing=True)
        assert command.get_params(context)[-1].rich_help_panel == panels.RUN


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_is_printed(gemmap: Callable, monkeypatch: pytest.MonkeyPatch, name: str, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    outcome = gemmap(name, "--help")
    assert outcome.code == 0
    assert "<bool>" not in outcome.out
    assert "<str>" not in outcome.out
    titles = re.findall(r"╭─ (.*?) ─", outcome.out)
    order = ["Arguments", "Options", *panels.ORDER]
    assert titles == sorted(titles, key=order.index)
    for example in commands_of(COMMANDS[name].epilog):
        assert example in commands_of(outcome.out)


def test_commands_are_grouped(gemmap: Callable) -> None:
    outcome = gemmap("--help")
    titles = re.findall(r"╭─ (.*?) ─", outcome.out)
    assert titles == ["Options", *GROUPS]
    assert "gemmap demo -o demo" in outcome.out
    assert "<bool>" not in outcome.out


def test_no_words_print_the_help(gemmap: Callable) -> None:
    outcome = gemmap()
    assert "gemmap demo -o demo" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "reconstruct x.star --particle-diametre 5",
            "gemmap reconstruct has no option --particle-diametre; did you mean --particle-diameter? "
            "(gemmap reconstruct --help lists all.)",
        ),
        ("reconstruct --particle_diameter 5", "did you mean --particle-diameter?"),
        ("reconstruct --angpix 5", "has no option --angpix; did you mean --pixel-size?"),
        ("reconstruct --j 5", "has no option --j; did you mean --threads?"),
        ("reconstruct --no-local-resolutions", "did you mean --no-local-resolution"),
        ("report run --angpix 5", "gemmap report has no option --angpix. (gemmap report --help lists all.)"),
        ("reconstruct --zzzz", "gemmap reconstruct has no option --zzzz. (gemmap reconstruct --help lists all.)"),
        ("reconstruct -z", "gemmap reconstruct has no option -z. (gemmap reconstruct --help lists all.)"),
        ("reconstruct --\x1b[31m", "has no option --?[31m."),
        ("--versoin", "gemmap has no option --versoin; did you mean --version?"),
        ("reconstuct x.star", "No such command 'reconstuct'. Did you mean 'reconstruct'"),
        ("xyzzy", "No such command 'xyzzy'; see gemmap --help."),
        ("simulate", "gemmap simulate needs -o FOLDER, for example: gemmap simulate -o sim --box 64"),
        ("export -o x", "gemmap export needs RUN, for example: gemmap export run1 -o for_others"),
        ("mask a b -o c", "(b); see gemmap mask --help."),
        ("reconstruct --mask", "Option '--mask' requires an argument; see gemmap reconstruct --help."),
        (
            "reconstruct --engine neural",
            "value for '--engine': 'neural' is not one of 'aggregate', 'images'; see gemmap reconstruct --help.",
        ),
        ("reconstruct --seed many", "Invalid value for '--seed': "),
    ],
)
def test_wrong_words_end_with_one_sentence(gemmap: Callable, words: str, sentence: str) -> None:
    outcome = gemmap(*words.split(" "))
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
