"""Parts of the page that say how far to believe it: the validation's figures, and tests on changed particles."""

import base64
from collections.abc import Mapping
from typing import Any

from gemmap.report.evidence_files import FIGURE_NAME
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, paragraph

_TESTS = {
    "noise-substitution": "Noise in the place of signal",
    "held-out": "Particles never fitted",
    "pure-noise": "Noise without a particle",
    "particle-count": "Fewer particles",
}


def validation(run: RunFiles) -> list[Section]:
    """Interval, local and directional resolution of half-maps and back-projections, B-factor, warnings, if measured."""
    found = run.part("results", "validation")
    if not found:
        return []
    baseline = found.get("backprojections")
    baseline = baseline if isinstance(baseline, Mapping) else {}
    rows = [
        ("Local resolution in the mask, median and quartiles", _local(found), _local(baseline)),
        ("cFAR (1: no preferred direction)", _figure(found, "cfar"), _figure(baseline, "cfar")),
        ("Sphericity of the resolution", _figure(found, "sphericity"), _figure(baseline, "sphericity")),
        (
            "95 % interval of the half-map resolution",
            _interval(found.get("interval_95")),
            _interval(baseline.get("interval_95")),
        ),
    ]
    parts: list[Html] = [table(rows, ("", "Half-maps", "Back-projections"), "words wide")]
    stated = _interval(run.part("resolutions", "map").get("interval"))
    said = [f"The stated resolution lies between {stated} with 95 %."] if stated else []
    if isinstance(found.get("bfactor_a2"), int | float):
        said.append(f"The sharpened map was made with a B-factor of {found['bfactor_a2']:.0f} Å².".replace(" -", " −"))
    said += [str(found["caution"])] if found.get("caution") else []
    held_out = run.part("results", "held_out").get("text")
    said += [f"{held_out}.".replace("+-", "±")] if isinstance(held_out, str) else []
    parts += [paragraph(text) for text in said]
    warnings = found.get("warnings")
    if isinstance(warnings, list) and warnings:
        parts.append(tag("ul", *(tag("li", str(text)) for text in warnings), class_="notes"))
    return [Section("validation", "Validation", tag("div", *parts))]


def evidence(run: RunFiles) -> list[Section]:
    """What ``gemmap evidence`` found; nothing if it was not asked."""
    found = run.part("results", "evidence")
    rows = [
        (label, str(found[name].get("text", "")))
        for name, label in _TESTS.items()
        if isinstance(found.get(name), Mapping)
    ]
    if not rows:
        return []
    words = "The whole reconstruction was repeated on particles that were changed, to see what it makes of them."
    parts: list[Html] = [paragraph(words), table(rows, ("Test", "What was found"), "words wide")]
    picture = run.folder / FIGURE_NAME
    if picture.is_file():
        source = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")
        caption = "Tests of the last call: noise substitution, held-out particles, pure noise, fewer particles."
        parts.append(tag("figure", tag("img", src=source, alt=caption, class_="wide"), tag("figcaption", caption)))
    return [Section("evidence", "Is it real?", tag("div", *parts))]


def _local(found: Mapping[str, Any]) -> str:
    local = found.get("local_resolution_a")
    quartiles = local.get("quartiles") if isinstance(local, Mapping) else None
    if not (isinstance(quartiles, list) and len(quartiles) == 3 and all(isinstance(q, int | float) for q in quartiles)):
        return "not measured"
    low, middle, high = quartiles
    return f"{middle:.2f} Å ({low:.2f} to {high:.2f})"


def _figure(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return f"{value:.2f}" if isinstance(value, int | float) else "not measured"


def _interval(found: Any) -> str:
    if not isinstance(found, Mapping) or not isinstance(found.get("better_a"), int | float):
        return ""
    worse = found.get("worse_a")
    return (
        f"{found['better_a']:.2f} and {worse:.2f} Å"
        if isinstance(worse, int | float)
        else f"{found['better_a']:.2f} Å and not resolved"
    )
