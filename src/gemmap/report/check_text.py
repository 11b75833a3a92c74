"""A check's report as lines of text, and as a file for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gemmap.checks.verdict import CheckReport, Level, Verdict
from gemmap.io.atomic import atomic_path
from gemmap.report.summary import duration_text, label_lines

WORDS: Mapping[Level, str] = {"ok": "OK", "warning": "WARNING", "error": "ERROR", "unknown": "unknown"}


def check_lines(report: CheckReport) -> list[str]:
    """Return the table, the verdicts and a last line that counts them."""
    n = {level: len(report.of(level)) for level in WORDS}
    plural = {level: "" if n[level] == 1 else "s" for level in WORDS}
    counts = (
        f"{n['error']} error{plural['error']}, {n['warning']} warning{plural['warning']}, {n['ok']} OK, "
        f"{n['unknown']} cannot be known; {duration_text(report.seconds)}"
    )
    notes = (f"Note: {note}" for note in report.notes)
    return [*label_lines(fact_rows(report)), *notes, "", *verdict_lines(report.verdicts), "", counts]


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line for each verdict, their texts below one another."""
    width = max((len(verdict.check) for verdict in verdicts), default=0)
    return [f"{WORDS[v.level]:<7}  {v.check:<{width}}  {v.text}" for v in verdicts]


def write_check(path: Path, report: CheckReport) -> None:
    """Write a report as JSON.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fact_rows(report: CheckReport) -> list[tuple[str, str]]:
    """Label and text of every fact."""
    facts = report.facts
    copies = f" of {facts['images']:,} images" if facts["images"] != facts["particles"] else ""
    pixels = ", ".join(f"{size:g}" for size in facts["pixel_sizes_a"])
    box = "unknown box" if facts["box_px"] is None else f"{facts['box_px']} px"
    halves = facts["half_sets"]
    rows = [
        ("Particles", f"{facts['particles']:,}{copies}, from {report.source}"),
        ("Micrographs", "not named" if facts["micrographs"] is None else f"{facts['micrographs']:,}"),
        ("Images", f"{box}, {pixels} Å per pixel, in {facts['stacks']:,} stack{'s' if facts['stacks'] != 1 else ''}"),
        *(("Optics" if number == 0 else "", text) for number, text in enumerate(map(_optics, facts["optics"]))),
        ("Half-sets", f"{halves[0]:,} + {halves[1]:,}, without {facts['without_half_set']:,}"),
    ]
    ctf = facts["ctf"]
    if ctf is None:
        rows.append(("CTF", "none"))
    else:
        rows += [
            ("Defocus", f"{_range(ctf['defocus_a'], 'Å')}; astigmatism {_range(ctf['astigmatism_a'], 'Å')}"),
            ("Phase shift", _range(ctf["phase_shift_deg"], "degrees")),
            ("B-factor", f"{_range(ctf['bfactor_a2'], 'Å²')}; CTF scale {_range(ctf['scale'], '')}"),
        ]
    shift = facts["shift_a"]
    rows += [
        ("Scale", _range(facts["scale"], "")),
        ("Shifts", f"{shift['rms']:.2f} Å rms, up to {shift['largest']:.1f} Å"),
        ("Orientations", _orientations(facts["orientations"])),
    ]
    return rows


def _orientations(seen: Mapping[str, Any]) -> str:
    views = f"{seen['views_seen']:.0%} of 512 views seen"
    if seen["scf_star"] is None:
        return f"{views}; too few for their evenness"
    return (
        f"SCF* {seen['scf_star']:.2f} (1 is uniform, below 0.81 preferred), {seen['empty_directions']:.0%} of Fourier "
        f"space without a view, {views}"
    )


def _optics(group: Mapping[str, Any]) -> str:
    parts = [f"{group['name']}: {group['particles']:,} particles, {group['pixel_size_a']:g} Å"]
    if group["box_px"] is not None:
        parts.append(f"{group['box_px']} px")
    if "voltage_kv" in group:
        parts += [
            _range(group["voltage_kv"], "kV"),
            f"Cs {_range(group['cs_mm'], 'mm')}",
            f"Q0 {_range(group['amplitude_contrast'], '')}",
        ]
    if group["ctf_applied"] != "none":
        parts.append(f"images {group['ctf_applied']}")
    return ", ".join([*parts, *group["aberrations"]])


def _range(three: Sequence[float], unit: str) -> str:
    low, middle, high = (f"{value:,.5g}" if abs(value) < 1000 else f"{value:,.0f}" for value in three)
    text = low if low == high else f"{low} to {high} (median {middle})"
    return f"{text} {unit}".rstrip()
