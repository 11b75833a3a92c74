"""Part of the page about the particles as they were given: what `gemmap check` says of them, as far as it was run."""

from collections.abc import Mapping
from typing import Any

from gemmap.report.check_text import WORDS
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, details, paragraph

_IDENTITY, _TITLE = "checks", "Check of the particles"
#: The worst first.
_ORDER = ("error", "warning", "unknown", "ok")
#: Signs beside the words: nothing is said by a colour alone.
_SIGNS = {"error": "✕", "warning": "!", "unknown": "?", "ok": "✓"}


def checks(run: RunFiles) -> Section:
    """Verdicts, what is wrong first; what is right is folded."""
    found = run.part("results", "checks")
    verdicts = _verdicts(run)
    if not verdicts:
        why = (
            "the run was told not to (--no-check)."
            if run.part("config").get("check") is False
            else "job.json holds no verdicts: the run ended before, or an older version made it."
        )
        return Section(_IDENTITY, _TITLE, None, f"{why[0].upper()}{why[1:]} gemmap check looks at the particles.")
    wrong = [v for v in verdicts if v["level"] in ("error", "warning")]
    right = [v for v in verdicts if v["level"] == "ok"]
    unknown = [v for v in verdicts if v["level"] == "unknown"]
    parts: list[Html | None] = [paragraph(_looked_at(found), " ", _verdict_text(len(wrong)))]
    parts += [_table(wrong)] if wrong else []
    parts += [details(f"Cannot be known ({len(unknown)})", _table(unknown))] if unknown else []
    parts += [details(f"Found right ({len(right)})", _table(right))] if right else []
    return Section(_IDENTITY, _TITLE, tag("div", *parts))


def banner(run: RunFiles) -> Html | None:
    """What stands at the top of the page if something is wrong with the particles."""
    counts = [sum(v["level"] == level for v in _verdicts(run)) for level in ("error", "warning")]
    if not any(counts):
        return None
    words = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in zip(counts, ("error", "warning"), strict=True) if n]
    link = tag("a", "Check of the particles", href=f"#{_IDENTITY}")
    return tag("p", link, f": {' and '.join(words)}. Read this before the resolution.", class_="warning", role="note")


def _verdicts(run: RunFiles) -> list[Mapping[str, Any]]:
    found = [v for v in run.listed("results", "checks", "verdicts") if isinstance(v, Mapping)]
    known = [v for v in found if v.get("level") in _ORDER]
    return sorted(known, key=lambda v: _ORDER.index(str(v["level"])))


def _looked_at(found: Mapping[str, Any]) -> str:
    n, of = found.get("n_images"), found.get("n_particles")
    if not isinstance(n, int) or not isinstance(of, int):
        return "The table was checked."
    looked = f"The table and {n:,} of {of:,} images were looked at before the reconstruction."
    if found.get("complete"):
        return looked
    return (
        f"{looked} To stay within a twentieth of the run's time CTFs, poses, shifts and contrast were not compared "
        "with the images; gemmap check does."
    )


def _verdict_text(n_wrong: int) -> str:
    return "Nothing is wrong with them." if n_wrong == 0 else "This is what may be wrong:"


def _table(verdicts: list[Mapping[str, Any]]) -> Html:
    rows = [(v.get("check", ""), _level(str(v["level"])), v.get("text", "")) for v in verdicts]
    return table(rows, ("Check", "", "What was found"), "words")


def _level(level: str) -> Html:
    word = next(word for name, word in WORDS.items() if name == level)
    return tag("span", tag("span", _SIGNS[level], aria_hidden="true"), f" {word}", class_=f"level {level}")
