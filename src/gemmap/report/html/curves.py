"""Parts of the page that are curves over Fourier shells: resolution, noise, Guinier plot."""

from collections.abc import Mapping
from typing import Any

from gemmap.errors import FormatError
from gemmap.report.guinier import read_guinier
from gemmap.report.html.files import RunFiles
from gemmap.report.html.markup import Html, table, tag
from gemmap.report.html.section import Section, Series, figure, lines, paragraph
from gemmap.validate.resolution import HALF_MAP_THRESHOLD, TRUTH_THRESHOLD

_FREQUENCY = "Spatial frequency (1/Å)"
#: Name, colour, dashed, shown at first. Curves of fsc.csv that are not here are drawn under their own names, off.
_FSC: Mapping[str, tuple[str, int, bool, bool]] = {
    "cross_fsc_map": ("Final map with the truth, estimated (cross-FSC)", 0, False, True),
    "half_maps_corrected": ("Half-maps, masked and corrected", 1, False, True),
    "half_maps_unmasked": ("Half-maps, no mask", 2, False, True),
    "backprojection_corrected": ("Back-projection, masked and corrected", 3, True, True),
    "backprojection_unmasked": ("Back-projection, no mask", 4, True, True),
    "half_maps_masked": ("Half-maps, masked", 1, True, False),
    "half_maps_phase_randomised": ("Half-maps, phases randomised", 5, True, False),
    "cross_fsc_half_map": ("One half-map with the truth, estimated", 0, True, False),
    "backprojection_masked": ("Back-projection, masked", 3, False, False),
    "backprojection_phase_randomised": ("Back-projection, phases randomised", 6, True, False),
    "half_maps_spherical": ("Half-maps, soft sphere", 2, True, False),
    "backprojection_spherical": ("Back-projection, soft sphere", 4, True, False),
    "half_bit": ("Half a bit", 5, True, False),
}
_COLOURS = 7
NOT_RESOLVED = "not resolved"
_HALF_MAP_WORDS = {
    "half_maps_masked": "Fitted half-maps, corrected for the mask by phase randomisation",
    "half_maps_unmasked": "Fitted half-maps, without a mask",
    "backprojection_masked": "Back-projections of the same halves, corrected for the mask: the baseline",
    "backprojection_unmasked": "Back-projections of the same halves, without a mask: the baseline",
}


def resolution(run: RunFiles) -> Section:
    """Resolution in words, and all curves it is read from."""
    found = run.part("resolutions")
    stated = found.get("map")
    children: list[Html] = []
    if isinstance(stated, Mapping):
        children += [tag("p", value_text(stated), class_="stated"), _in_words(stated)]
    rows = [
        (words, value_text(found[name]), f"{found[name].get('threshold', '')}", str(found[name].get("mask", "")))
        for name, words in _HALF_MAP_WORDS.items()
        if isinstance(found.get(name), Mapping)
    ]
    if rows:
        children += [
            paragraph("Half-map FSC stands beside it, as RELION measures it:"),
            table(rows, ("", "Resolution", "FSC", "Mask"), "words wide"),
        ]
    data = _fsc_plot(run, stated)
    if data is not None:
        caption = (
            "Fourier shell correlations. Names switch curves on and off; move over the plot, or focus it and use the "
            "arrow keys, to read values. All of them are in fsc.csv."
        )
        children.append(figure("plot-fsc", caption, "Fourier shell correlations over spatial frequency"))
    if not children:
        return Section("resolution", "Resolution", None, "fsc.csv is missing, and job.json states no resolution.")
    return Section("resolution", "Resolution", tag("div", *children), data={"plot-fsc": data} if data else {})


def value_text(resolution: Mapping[str, Any]) -> str:
    """Return a resolution of job.json: ``4.12 Å``, ``at Nyquist (2.80 Å)`` or ``not resolved``."""
    value_a = resolution.get("value_a")
    if not isinstance(value_a, int | float):
        return NOT_RESOLVED
    return f"at Nyquist ({value_a:.2f} Å)" if resolution.get("at_nyquist") else f"{value_a:.2f} Å"


def _in_words(stated: Mapping[str, Any]) -> Html:
    estimator, threshold = stated.get("estimator", "FSC"), stated.get("threshold")
    mask = stated.get("mask", "mask not stated")
    what = (
        "the estimated correlation of the final map with the noise-free density"
        if estimator == "cross-FSC"
        else f"the {estimator}"
    )
    where = {"no mask": "without a mask"}.get(str(mask), f"within the {str(mask).removeprefix('the ')}")
    if value_text(stated) == NOT_RESOLVED:
        return paragraph(f"From the first shell on, {what} is below {threshold}, {where}.")
    if stated.get("at_nyquist"):
        sentences = [f"Up to the end, {what} never falls below {threshold}, {where}. The pixel size limits it."]
    else:
        sentences = [f"This is where {what} falls to {threshold}, {where}."]
    if estimator == "cross-FSC":
        sentences.append(
            "It is measured against the back-projection of the other half-set, which shares neither particles nor "
            "fit with it; 0.5 with the truth corresponds to 0.143 between half-maps."
        )
    interval = stated.get("interval")
    if isinstance(interval, Mapping) and all(isinstance(interval.get(k), int | float) for k in ("better_a", "worse_a")):
        sentences.append(f"95 % interval: {interval['better_a']:.2f} to {interval['worse_a']:.2f} Å.")
    return paragraph(" ".join(sentences))


def _fsc_plot(run: RunFiles, stated: Any) -> dict[str, Any] | None:
    found = run.table("fsc.csv")
    if found is None or "spatial_frequency" not in found or not found.curves:
        return None
    x, curves = found["spatial_frequency"], found.curves
    known = [Series(text, x, curves[name], c, d, on) for name, (text, c, d, on) in _FSC.items() if name in curves]
    others = [name for name in curves if name not in _FSC]
    known += [Series(n, x, curves[n], (5 + i) % _COLOURS, True, not known) for i, n in enumerate(others)]
    marker = None
    if isinstance(stated, Mapping) and isinstance(stated.get("value_a"), int | float):
        marker = {"x": 1.0 / stated["value_a"], "y": stated.get("threshold"), "label": value_text(stated)}
    thresholds = [{"y": y, "label": f"{y:g}"} for y in (HALF_MAP_THRESHOLD, TRUTH_THRESHOLD)]
    return lines(_FREQUENCY, "Correlation", known, resolution=True, yMax=1.0, rules=thresholds, marker=marker)


def noise(run: RunFiles) -> Section:
    """Noise power of the images."""
    title = "Noise spectra"
    found = run.table("noise.csv")
    if found is None or "spatial_frequency" not in found or not found.curves:
        return Section("noise", title, None, "noise.csv is missing.")
    x = found["spatial_frequency"]
    # Half 1 is drawn through, half 2 dashed; colours tell optics groups apart.
    groups = list(dict.fromkeys(name.partition("_")[2] for name in found.curves))
    series = [
        Series(
            name.replace("half", "Half ", 1).replace("_", ", ", 1),
            x[1:],
            values[1:],
            groups.index(name.partition("_")[2]) % _COLOURS,
            name.startswith("half2"),
        )
        for name, values in found.curves.items()
    ]
    caption = (
        "Noise power outside the particle, by half-set and optics group. Images are weighted by its inverse: a curve "
        "that stands out belongs to images that count more or less than others."
    )
    body = figure("plot-noise", caption, "Noise power over spatial frequency")
    plot = lines(_FREQUENCY, "Power", series, resolution=True, log=True)
    return Section("noise", title, body, data={"plot-noise": plot})


def guinier(run: RunFiles) -> Section:
    """Fall-off of amplitudes and the B-factor that levels it."""
    title = "Guinier plot"
    try:
        plot = read_guinier(run.star("fsc.star"))
    except FormatError as error:
        return Section("guinier", title, None, str(error))
    if plot is None:
        return Section("guinier", title, None, "fsc.star, with the Guinier plot of the sharpened map, is missing.")
    series = []
    for name, y, colour in (("Map", plot.original, 2), ("Map, weighted by FSC", plot.weighted, 0)):
        seen = plot.seen(y)
        series.append(Series(name, plot.inverse_d2[seen], y[seen], colour))
    words = ["Logarithm of the mean amplitude of each shell over 1/d²."]
    line = plot.line()
    if line is not None:
        series.append(Series("Fitted line", *line, 1, True))
    if plot.bfactor_a2 is not None:
        words.append(f"The map was sharpened with a B-factor of {plot.bfactor_a2:.0f} Å²".replace(" -", " −") + ".")
    body = figure("plot-guinier", " ".join(words), "Logarithm of amplitudes over the square of spatial frequency")
    return Section("guinier", title, body, data={"plot-guinier": lines("1/d² (1/Å²)", "ln amplitude", series)})
