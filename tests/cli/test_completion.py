"""The Tab key in real shells: commands, options, choices and files; nothing numerical is loaded for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_import import HEAVY

TOOLS = Path(sys.executable).parent


def shell(name: str, script: str, folder: Path) -> str:
    """Standard output of a script in a shell that finds ``gemmap``."""
    program = shutil.which(name)
    if program is None or not (TOOLS / "gemmap").is_file():
        pytest.skip(f"{name} or the program gemmap is not installed here")
    plain = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    done = subprocess.run(
        [program, *plain, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BASH = """
eval "$(_GEMMAP_COMPLETE=source_bash gemmap)"
complete -p gemmap
for line in "gemmap rec" "gemmap reconstruct --eng" "gemmap reconstruct --engine im" \
    "gemmap reconstruct x.star -o r --sha" "gemmap reconstruct --mask " "gemmap reconstruct par" \
    "gemmap export run1 --which h"; do
    IFS=" " read -ra COMP_WORDS <<<"$line"
    case "$line" in *" ") COMP_WORDS+=("");; esac
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _gemmap_completion gemmap
    echo "$line: ${COMPREPLY[*]}"
done
"""


def test_bash(tmp_path: Path) -> None:
    first, *others = shell("bash", BASH, tmp_path).splitlines()
    # Where the program says nothing, bash completes names of files.
    assert first == "complete -o default -F _gemmap_completion gemmap"
    assert others == [
        "gemmap rec: reconstruct",
        "gemmap reconstruct --eng: --engine",
        "gemmap reconstruct --engine im: images",
        "gemmap reconstruct x.star -o r --sha: --shape",
        "gemmap reconstruct --mask : ",
        "gemmap reconstruct par: ",
        "gemmap export run1 --which h: half1 half2",
    ]


FISH = """
_GEMMAP_COMPLETE=source_fish gemmap | source
touch particles.star
for line in "gemmap rec" "gemmap reconstruct --eng" "gemmap reconstruct --engine im" "gemmap reconstruct part"
    echo $line: (complete -C $line | string split -f 1 \\t)
end
"""


def test_fish(tmp_path: Path) -> None:
    assert shell("fish", FISH, tmp_path).splitlines() == [
        "gemmap rec: reconstruct",
        "gemmap reconstruct --eng: --engine",
        "gemmap reconstruct --engine im: images",
        "gemmap reconstruct part: particles.star",
    ]


#: What the completion function asks zsh to do: offer words, or files.
ZSH = """
compdef() { :; }
_arguments() { echo "words $*"; }
_files() { echo files; }
eval "$(_GEMMAP_COMPLETE=source_zsh gemmap)"
for line in "gemmap reconstruct --eng" "gemmap reconstruct --engine im" "gemmap reconstruct part"; do
    words=(${(z)line}); CURRENT=$#words
    _gemmap_completion
done
"""


def test_zsh(tmp_path: Path) -> None:
    option, choice, file = shell("zsh", ZSH, tmp_path).splitlines()
    assert '"--engine"' in option
    assert "images" in choice
    assert file == "files"


def test_it_can_be_installed(tmp_path: Path) -> None:
    # Not the last command, which bash would become: the program looks for the shell that it was started from.
    shell("bash", "gemmap --install-completion; exit $?", tmp_path)
    assert ".bash_completions/gemmap.sh" in (tmp_path / ".bashrc").read_text()
    assert "complete -o default -F _gemmap_completion gemmap" in shell(
        "bash", "gemmap --show-completion; exit $?", tmp_path
    )


@pytest.mark.parametrize("words", ["gemmap ", "gemmap reconstruct --", "gemmap reconstruct --engine "])
def test_nothing_numerical_is_loaded(words: str) -> None:
    script = (
        "import sys\nfrom gemmap.cli.main import app\n"
        "try: app(prog_name='gemmap')\nexcept SystemExit as end: assert not end.code\n"
        f"print('loaded', *[m for m in {HEAVY} if m in sys.modules])"
    )
    environment = os.environ | {
        "_GEMMAP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    *offered, loaded = done.stdout.splitlines()
    assert offered
    assert loaded == "loaded"
