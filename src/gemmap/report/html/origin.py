"""Parts of the page about where the result comes from: inputs, notes, command, versions, how to cite."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, details, paragraph
from gemmap.units import memory_text

#: Dead images that are named, and last lines of the log that are shown.
_MOST_NAMES, _MOST_LINES = 50, 400


def inputs(run: RunFiles) -> Section:
    """What was read, what was left out and why, and what was noted."""
    results = run.part("results")
    rows: list[tuple[object, ...]] = []
    if "n_particles" in results:
        rows.append(("Particles used", _count(results["n_particles"])))
    if "n_excluded" in results:
        rows.append(("Particles excluded", _excluded(run)))
    if "n_half1" in results:
        origin = "from the file" if results.get("halves_from_file") else "drawn at random"
        rows.append(("Half-sets", f"{_count(results['n_half1'])} + {_count(results.get('n_half2'))}, {origin}"))
    box_px, pixel_size_a = run.number("results", "box_px"), run.number("results", "pixel_size_a")
    if box_px is not None and pixel_size_a is not None:
        rows.append(("Working box", f"{box_px:.0f} px of {pixel_size_a:g} Å"))
    diameter_a = run.number("results", "particle_diameter_a")
    if diameter_a is not None:
        rows.append(("Particle diameter", f"{diameter_a:.0f} Å"))
    symmetry = run.part("config").get("sym")
    if symmetry:
        rows.append(("Symmetry", symmetry))
    files = [file for file in run.listed("inputs") if isinstance(file, Mapping)]
    parts: list[Html] = [table(rows, class_="words")] if rows else []
    parts.append(_notes(run))
    if files:
        listed = [(file.get("path", ""), _size(file.get("size_bytes")), file.get("modified") or "") for file in files]
        parts.append(details(f"Files read ({len(files):,})", table(listed, ("File", "Size", "Changed"), "words")))
    dead = run.part("results", "dead_images")
    if dead:
        shown = [(number, name) for number, name in list(dead.items())[:_MOST_NAMES]]
        more = paragraph(f"{len(dead) - _MOST_NAMES:,} more are in job.json.") if len(dead) > _MOST_NAMES else None
        parts.append(details(f"Dead images ({len(dead):,})", table(shown, ("Particle", "Image")), more))
    return Section("inputs", "What was read", tag("div", *parts))


def record(run: RunFiles) -> Section:
    """Command, versions, options and log."""
    software = run.part("software")
    versions = [("gemmap", software.get("gemmap", "unknown"))]
    if software.get("git_commit"):
        versions.append(("commit", software["git_commit"]))
    versions.append(("Python", software.get("python", "unknown")))
    versions += sorted((str(k), str(v)) for k, v in run.part("software", "libraries").items())
    command = run.text("command.txt") or " ".join(map(str, run.listed("argv")))
    config = sorted((key, "" if value is None else value) for key, value in run.part("config").items())
    seeds = sorted(run.part("seeds").items())
    parts: list[Html | None] = [
        tag("h3", "Command"),
        tag("pre", command.rstrip(), tabindex=0),
        tag("h3", "How to cite"),
        paragraph(
            f"Maps were reconstructed with GEM (gemmap {software.get('gemmap', 'unknown')}), which fits 3D Gaussians "
            "to particle images with known poses. Name the version, and give the half-maps, the mask and fsc.csv with "
            "the map. How each figure of this page is defined, with references: docs/validation.md of that version."
        ),
        details("Versions", table(versions)),
        details("Options", table(config, class_="words")) if config else None,
        details("Seeds", table(seeds)) if seeds else None,
    ]
    log = run.text("run.log")
    if log:
        lines = log.splitlines()
        cut = f"The last {_MOST_LINES} of {len(lines):,} lines." if len(lines) > _MOST_LINES else None
        parts.append(
            details("Log", paragraph(cut) if cut else None, tag("pre", "\n".join(lines[-_MOST_LINES:]), tabindex=0))
        )
    return Section("record", "Command and versions", tag("div", *parts))


def started_text(run: RunFiles) -> str:
    """When the run began, for its title."""
    try:
        return datetime.fromisoformat(str(run.job.get("started"))).strftime("%d %B %Y, %H:%M %Z").strip()
    except ValueError:
        return ""


def _notes(run: RunFiles) -> Html:
    notes = [str(note) for note in run.listed("notes")]
    if run.job["status"] != "finished":
        notes.insert(0, f'This run is not finished: its status is "{run.job["status"]}".')
    if not notes:
        return paragraph("The run noted nothing unusual. gemmap check looks at the particles more closely.")
    return tag("div", tag("h3", "Notes and warnings"), tag("ul", *(tag("li", note) for note in notes), class_="notes"))


def _excluded(run: RunFiles) -> str:
    n, dead = run.part("results")["n_excluded"], len(run.part("results", "dead_images"))
    if not n:
        return "none"
    if not dead:
        return f"{_count(n)}, by the options of the run"
    rest = f"; {n - dead:,} by the options of the run" if isinstance(n, int) and n > dead else ""
    return f"{_count(n)}: {dead:,} because their images show nothing{rest}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _size(value: Any) -> str:
    if not isinstance(value, int):
        return "not there"
    return memory_text(value)
