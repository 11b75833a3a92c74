"""Puts the page together: sections of what is there, styles, scripts and data in one file."""

from importlib.resources import files
from pathlib import Path
from string import Template

from gemmap.io.atomic import atomic_path
from gemmap.report.html import checked, course, curves, judged, origin, scene, slices, views
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, join, json_script, printable, tag
from gemmap.report.html.section import Section
from gemmap.report.html.volumes import Volumes
from gemmap.report.record import gemmap_version
from gemmap.report.summary import duration_text
from gemmap.units import memory_text

REPORT_NAME = "report.html"
#: Scripts in the order in which they run.
_SCRIPTS = ("data.js", "plots.js", "surface.js", "viewer.js", "theme.js")
_ASSETS, _LIBRARY = "assets", "three.min.js"


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a run and return its path.

    Parameters
    ----------
    folder
        A run's; parts whose files are missing are left out, and the page says so.
    output
        ``report.html`` in the folder by default.

    Raises
    ------
    InputError, FormatError
        If it is not the folder of a run.
    OutputError
        If the page cannot be written.
    """
    path = folder / REPORT_NAME if output is None else output
    text = report_html(RunFiles(folder))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def report_html(run: RunFiles) -> str:
    """Return the page of a run."""
    sections = _sections(run)
    shown = [(section, section.body) for section in sections if section.body is not None]
    data = {identity: of for section in sections for identity, of in section.data.items()}
    name = printable(run.folder.resolve().name)
    main = [
        tag("section", tag("h2", section.title), body, id=section.identity, aria_label=section.title)
        for section, body in shown
    ]
    main += _missing([section for section in sections if section.body is None], run.problems)
    library = _asset("vendor", _LIBRARY) if "scene-view" in data else ""
    return Template(_asset(_ASSETS, "page.html")).substitute(
        title=tag("title", f"{name}: report of the reconstruction"),
        style=_asset(_ASSETS, "page.css"),
        header=_header(run, name),
        navigation=join(tag("a", section.title, href=f"#{section.identity}") for section, _ in shown),
        main=join(main),
        footer=tag("footer", f"Written by gemmap {gemmap_version()}. This page loads nothing from anywhere."),
        data=json_script("report-data", data),
        library=library,
        script="\n".join(_asset(_ASSETS, script) for script in _SCRIPTS),
    )


def _sections(run: RunFiles) -> list[Section]:
    volumes = Volumes(run)
    return [
        curves.resolution(run),
        *course.growth(run),
        scene.scene(volumes),
        slices.slices(volumes),
        *judged.validation(run),
        *judged.evidence(run),
        views.directions(run),
        views.optics(run),
        curves.noise(run),
        curves.guinier(run),
        course.fits(run),
        origin.inputs(run),
        checked.checks(run),
        course.cost(run),
        origin.record(run),
    ]


def _header(run: RunFiles, name: str) -> Html:
    n_particles, n_excluded = run.number("results", "n_particles"), run.number("results", "n_excluded")
    box_px, pixel_size_a = run.number("results", "box_px"), run.number("results", "pixel_size_a")
    total_s = run.number("seconds", "total")
    stated = run.part("resolutions", "map")
    tiles: list[tuple[str, str, str]] = []
    if stated:
        small = f"{stated.get('estimator', '')} {stated.get('threshold', '')}, {stated.get('mask', '')}"
        tiles.append(("Resolution", curves.value_text(stated), small))
    if n_particles is not None:
        tiles.append(("Particles", f"{n_particles:,.0f}", f"{n_excluded or 0:,.0f} excluded"))
    if box_px is not None and pixel_size_a is not None:
        tiles.append(("Box", f"{box_px:.0f} px", f"{pixel_size_a:g} Å per pixel"))
    if total_s is not None:
        peak = run.job.get("peak_memory_bytes")
        small = f"{memory_text(peak)} peak memory" if isinstance(peak, int) else ""
        tiles.append(("Wall time", duration_text(total_s), small))
    status = run.job["status"]
    badge = None if status == "finished" else tag("span", status, class_="badge")
    cells = [
        tag("div", tag("span", label), tag("strong", value), tag("small", small), class_="tile")
        for label, value, small in tiles
    ]
    when = origin.started_text(run)
    return tag(
        "header",
        tag("p", "Report of a reconstruction", class_="kicker"),
        tag("h1", name, " ", badge),
        tag("p", f"Started {when}", class_="when") if when else None,
        tag("div", *cells, class_="tiles") if cells else None,
        checked.banner(run),
    )


def _missing(sections: list[Section], problems: list[str]) -> list[Html]:
    """What is left out and why."""
    rows = [tag("li", tag("strong", section.title), ": ", section.missing) for section in sections]
    rows += [tag("li", problem) for problem in dict.fromkeys(problems)]
    if not rows:
        return []
    body = [tag("h2", "Left out"), tag("ul", *rows, class_="notes")]
    return [tag("section", *body, id="left-out", aria_label="Left out")]


def _asset(folder: str, name: str) -> str:
    return (files("gemmap.report.html") / folder / name).read_text(encoding="utf-8")
