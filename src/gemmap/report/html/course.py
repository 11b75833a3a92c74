"""Parts of the page about the computation: how the fits went, and what they cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, Series, figure, lines, paragraph
from gemmap.report.summary import duration_text
from gemmap.units import memory_text

_FITS = {"half1": ("Half 1", 0), "half2": ("Half 2", 1), "full": ("All particles", 2)}
#: Stages that contain others.
_SUMS = ("total", "reconstruction")


def fits(run: RunFiles) -> Section:
    """Loss, held-out score, Gaussians and time of every fit over its steps."""
    title = "Fits"
    found = run.part("results", "fits")
    if not found:
        return Section("fits", title, None, "job.json holds no fits: the run did not end, or an older version made it.")
    rows = []
    for name, (label, _) in _FITS.items():
        fit = run.part("results", "fits", name)
        if fit:
            numbers = (fit.get("n_particles"), fit.get("n_gaussians"), fit.get("n_steps"))
            rows.append((label, *(_count(n) for n in numbers), fit.get("stopped_because", "")))
    parts: list[Html] = [table(rows, ("Fit", "Particles", "Gaussians", "Steps", "Stopped because"), "words wide")]
    plots = {
        "plot-loss": ("loss", "Loss less that of the start (nats)", "Loss of the fits: the data term."),
        "plot-gaussians": ("n_gaussians", "Gaussians", "Number of Gaussians of the map."),
        "plot-time": ("seconds", "Time (s)", "Time since the first step."),
    }
    data: dict[str, Any] = {}
    figures = []
    for identity, (column, y_label, caption) in plots.items():
        series = _series(run, column)
        if series:
            data[identity] = lines("Step", y_label, series, points=True)
            figures.append(figure(identity, caption, caption))
    scores = _scores(run)
    if scores:
        caption = (
            "Score of the trial fits on particles of their own half that they have not seen; it decides how long the "
            "fits go on."
        )
        data["plot-score"] = lines("Step", "Held-out score", scores, points=True)
        figures.insert(1, figure("plot-score", caption, "Held-out score of the trial fits"))
    if figures:
        parts.append(tag("div", *figures, class_="pair"))
    else:
        parts.append(
            paragraph("job.json holds no steps of the fits: an older version made it, so there are no curves.")
        )
    return Section("fits", title, tag("div", *parts), data=data)


def cost(run: RunFiles) -> Section:
    """Wall time by stage, memory and machine."""
    title = "Time and memory"
    seconds = {k: float(v) for k, v in run.part("seconds").items() if isinstance(v, int | float)}
    if not seconds:
        return Section("cost", title, None, "job.json holds no times: the run did not end.")
    stages = sorted((name for name in seconds if name not in _SUMS), key=lambda name: -seconds[name])
    longest = max((seconds[name] for name in stages), default=1.0) or 1.0
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", duration_text(seconds[name])),
            tag(
                "td", tag("span", class_="bar", style=f"width:{100 * seconds[name] / longest:.1f}%"), class_="bar-cell"
            ),
        )
        for name in stages
    ]
    hardware = run.part("hardware")
    facts = [("Wall time", duration_text(seconds["total"]))] if "total" in seconds else []
    peak = run.job.get("peak_memory_bytes")
    if isinstance(peak, int):
        facts.append(("Peak memory", memory_text(peak)))
    rate = run.part("results").get("images_per_second")
    if isinstance(rate, int | float):
        facts.append(("Rate of the pass over the particles", f"{rate:,.0f} particles/s"))
    memory = hardware.get("memory_bytes")
    facts += [
        ("Processor", f"{hardware.get('cpu', 'unknown')}, {hardware.get('cores_usable', '?')} cores usable"),
        ("GPUs", ", ".join(map(str, hardware.get("gpus") or [])) or "none"),
        ("Memory of the machine", memory_text(memory) if isinstance(memory, int) else "unknown"),
        ("System", hardware.get("os", "unknown")),
    ]
    stages_table = tag("div", tag("table", tag("tbody", *rows), class_="stages"), class_="scroll", tabindex=0)
    return Section("cost", title, tag("div", stages_table, table(facts, class_="words"), class_="pair"))


def _series(run: RunFiles, column: str) -> list[Series]:
    series = []
    for name, (label, colour) in _FITS.items():
        steps = [s for s in run.listed("results", "fits", name, "steps") if isinstance(s, Mapping)]
        points = [(s.get("step"), s.get(column)) for s in steps]
        xy = np.array([(x, y) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)], float)
        if len(xy):
            y = xy[:, 1] - xy[0, 1] if column == "loss" else xy[:, 1]
            series.append(Series(label, xy[:, 0], y, colour))
    return series


def _scores(run: RunFiles) -> list[Series]:
    series = []
    for name, (label, colour) in _FITS.items():
        pairs = run.listed("results", "trial_scores", name)
        xy = np.array([p for p in pairs if isinstance(p, list) and len(p) == 2 and None not in p], float)
        if len(xy):
            series.append(Series(label, xy[:, 0], xy[:, 1], colour))
    return series


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
