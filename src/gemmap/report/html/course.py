"""Parts of the page about the computation: how the fits went, and what they cost."""

from typing import Any

from gemmap.report.fit_curves import FITS, KINDS, fit_curves
from gemmap.report.history import HISTORY_NAME
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, Series, figure, lines, paragraph
from gemmap.report.summary import duration_text
from gemmap.units import memory_text

#: Elements of the curves, by kind.
_PLOTS = {"loss": "plot-loss", "score": "plot-score", "n_gaussians": "plot-gaussians", "seconds": "plot-time"}
#: Stages that contain others.
_SUMS = ("total", "reconstruction")


def fits(run: RunFiles) -> Section:
    """Loss, held-out score, Gaussians and time of every fit over its steps."""
    title = "Fits"
    found = run.part("results", "fits")
    if not found:
        return Section("fits", title, None, "job.json holds no fits: the run did not end, or an older version made it.")
    rows = []
    for name, label in FITS.items():
        fit = run.part("results", "fits", name)
        if fit:
            numbers = (fit.get("n_particles"), fit.get("n_gaussians"), fit.get("n_steps"))
            rows.append((label, *(_count(n) for n in numbers), fit.get("stopped_because", "")))
    parts: list[Html] = [table(rows, ("Fit", "Particles", "Gaussians", "Steps", "Stopped because"), "words wide")]
    data: dict[str, Any] = {}
    figures = []
    for kind, (y_label, caption) in KINDS.items():
        curves = fit_curves(run.part("results"), kind)
        if curves:
            identity = _PLOTS[kind]
            series = [Series(curve.label, curve.steps, curve.values, curve.colour) for curve in curves]
            data[identity] = lines("Step", y_label, series, points=True)
            figures.append(figure(identity, caption, caption.partition(";")[0]))
    if figures:
        parts.append(tag("div", *figures, class_="pair"))
    else:
        parts.append(
            paragraph("job.json holds no steps of the fits: an older version made it, so there are no curves.")
        )
    return Section("fits", title, tag("div", *parts), data=data)


def growth(run: RunFiles) -> list[Section]:
    """Resolution against the number of particles, as ``gemmap watch`` saw it; nothing of other runs."""
    found = run.table(HISTORY_NAME)
    if found is None or not {"n_particles", "resolution_a", "half_maps_masked_a"} <= set(found.columns):
        return []
    n = found["n_particles"]
    series = [
        Series("final map, cross-FSC", n, found["resolution_a"], 0),
        Series("half-maps, soft mask", n, found["half_maps_masked_a"], 1, dashed=True),
    ]
    caption = f"{len(n)} fit{'s' if len(n) > 1 else ''} as particles came in; what was not resolved is left out."
    data = {"plot-growth": lines("Particles", "Resolution (Å)", series, points=True)}
    return [
        Section("growth", "As it grew", figure("plot-growth", caption, "Resolution by number of particles"), data=data)
    ]


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


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
