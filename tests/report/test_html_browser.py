"""The report of a real run in a real browser: nothing fails, plots hold data, controls do what they say.

Pictures of the page at both widths, light and dark, are left in the folder of the test (pytest --basetemp=FOLDER).
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, find_chromium
from run_folders import write_run
from typer.testing import CliRunner

from gemmap.cli.main import app
from gemmap.report.html.page import write_report

pytestmark = pytest.mark.browser
WIDTHS = (1280, 390)
#: Text and its ground must differ by this much (WCAG 2.2, AA).
LEAST_CONTRAST = 4.5
READY = """new Promise((done, fail) => {
  const since = Date.now();
  const look = () => {
    if (document.getElementById("scene-view").dataset.state === "ready") requestAnimationFrame(() => done(true));
    else if (Date.now() - since > 60000) fail("the scene is not ready");
    else setTimeout(look, 30);
  };
  look();
})"""
#: Waits until the surface was drawn again.
DRAWN = """new Promise((done) => {
  const view = document.getElementById("scene-view");
  const watch = new MutationObserver(() => { watch.disconnect(); requestAnimationFrame(() => setTimeout(done, 30)); });
  watch.observe(view, { attributes: true, attributeFilter: ["data-level", "data-triangles"] });
  %s
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a reconstruction, with what validation says about its half-maps beside it."""
    folder = tmp_path_factory.mktemp("real")
    run, validation = folder / "run1", folder / "validation"
    halves = [run / f"run_half{half}_class001_unfil.mrc" for half in (1, 2)]
    commands = [
        ["simulate", "-o", folder / "sim", "--box", 40, "--pixel-size", 6, "--n-particles", 200, "--snr", 0.2],
        ["reconstruct", folder / "sim" / "particles.star", "-o", run, "--max-steps", 3, "--n-gaussians", 300, "-q"],
        ["validate", *halves, "-o", validation, "--guinier-from", 40, "-q"],
    ]
    for command in commands:
        outcome = CliRunner().invoke(app, [str(word) for word in command])
        assert outcome.exit_code == 0, outcome.output
    assert (run / "report.html").is_file()
    for name in ("fsc.star", "locres.mrc", "direction.csv"):
        if not (run / name).exists():
            shutil.copy(validation / name, run / name)
    if not (run / "run_class001_sharpened.mrc").exists():
        shutil.copy(validation / "sharpened.mrc", run / "run_class001_sharpened.mrc")
    return write_report(run)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    executable = find_chromium()
    assert executable is not None
    with Chromium(executable, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Chromium, report: Path) -> Iterator[Chromium]:
    """The report, open in a wide window; afterwards nothing may have gone wrong."""
    browser.problems.clear()
    browser.requests.clear()
    browser.open(report, WIDTHS[0])
    browser.value(READY)
    yield browser
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file://", "data:"))] == []


def scene(page: Chromium) -> dict[str, str]:
    return json.loads(page.value('JSON.stringify(document.getElementById("scene-view").dataset)'))


def pixels(page: Chromium) -> dict[str, Any]:
    """What the canvas shows: pixels that are not empty, their mean colour, and the ellipsoids' pixels."""
    return json.loads(
        page.value("""(() => {
          const from = document.querySelector("#scene-view canvas");
          const to = document.createElement("canvas");
          [to.width, to.height] = [from.width, from.height];
          const context = to.getContext("2d");
          context.drawImage(from, 0, 0);
          const data = context.getImageData(0, 0, to.width, to.height).data;
          let n = 0, r = 0, g = 0, b = 0, vermilion = 0;
          for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] <= 128) continue;
            n++;
            r += data[i];
            g += data[i + 1];
            b += data[i + 2];
            if (data[i] > data[i + 1] + 40 && data[i + 1] > data[i + 2] + 20) vermilion++;
          }
          return JSON.stringify({ n, vermilion, r: r / n, g: g / n, b: b / n });
        })()""")
    )


def change(page: Chromium, script: str) -> None:
    page.value(DRAWN % script)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_shown_whole(browser: Chromium, report: Path, tmp_path: Path, width: int, dark: bool) -> None:
    browser.problems.clear()
    browser.open(report, width, dark=dark)
    browser.value(READY)
    browser.screenshots(tmp_path, f"{width}_{'dark' if dark else 'light'}")
    assert browser.problems == []
    assert browser.value("document.documentElement.scrollWidth") == width  # nothing hangs out on the right
    assert all(picture.stat().st_size > 10_000 for picture in tmp_path.glob("*.png"))
    ground, ink, soft = (
        [float(c) / 255 for c in browser.value(f"getComputedStyle({of}).{what}").strip("rgb()").split(",")]
        for of, what in (
            ("document.body", "backgroundColor"),
            ("document.body", "color"),
            ("document.querySelector('figcaption')", "color"),
        )
    )
    assert (luminance(ground) < 0.1) == dark
    for text in (ink, soft):
        light, low = sorted((luminance(text), luminance(ground)), reverse=True)
        assert (light + 0.05) / (low + 0.05) > LEAST_CONTRAST


def luminance(rgb: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_plot_has_data(page: Chromium) -> None:
    plots = json.loads(
        page.value("""JSON.stringify([...document.querySelectorAll(".plot")].map((box) => ({
          id: box.id, points: Number(box.dataset.points),
          drawn: box.querySelectorAll("path.curve[d^=M], rect.block").length,
          bad: /NaN|undefined|Infinity/.test(box.innerHTML),
        })))""")
    )
    assert len(plots) >= 7  # no Guinier plot: no shell of this run lies beyond 10 Å
    for plot in plots:
        assert plot["points"] > 0, plot
        assert plot["drawn"] > 0, plot
        assert not plot["bad"], plot
    assert page.value("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_the_slider_changes_the_surface(page: Chromium) -> None:
    before, seen = scene(page), pixels(page)
    assert int(before["triangles"]) > 100
    assert seen["n"] > 1000
    slider = "const s = document.getElementById('scene-level'); s.value = %s; s.dispatchEvent(new Event('input'));"
    change(page, slider % "Number(s.value) + 250")
    after, now = scene(page), pixels(page)
    assert float(after["level"]) > float(before["level"])
    assert after["triangles"] != before["triangles"]
    assert 0 < now["n"] < seen["n"]  # a higher level encloses less


def test_the_map_and_its_colours_can_be_chosen(page: Chromium) -> None:
    by_resolution, first = pixels(page), scene(page)
    assert by_resolution["vermilion"] == 0
    change(page, "document.querySelector('input[value=half1]').click();")
    assert scene(page)["triangles"] != first["triangles"]
    change(page, "document.querySelector('input[value=map]').click();")
    assert scene(page)["triangles"] == first["triangles"]
    page.value("document.getElementById('scene-local').click()")
    page.value("new Promise((done) => setTimeout(done, 300))")
    plain = pixels(page)
    assert math.dist(*([p[c] for c in "rgb"] for p in (by_resolution, plain))) > 20
    assert plain["b"] > plain["r"]
    assert page.value("document.getElementById('scene-legend').hidden")


def test_the_gaussians_are_shown(page: Chromium) -> None:
    page.value("document.getElementById('scene-gaussians').click()")
    page.value("new Promise((done) => setTimeout(done, 500))")
    many = pixels(page)
    shown = int(scene(page)["gaussians"])
    assert 0 < shown <= 300
    page.value(
        "const c = document.getElementById('scene-count'); c.value = 1; c.dispatchEvent(new Event('input'));"
        "new Promise((done) => setTimeout(done, 300))"
    )
    assert scene(page)["gaussians"] == "1"
    assert many["vermilion"] > 500
    assert pixels(page)["vermilion"] < 0.1 * many["vermilion"]


def drawn(page: Chromium, wanted: Callable[[str], bool]) -> bool:
    """Whether the map is drawn as is wanted, within some seconds."""
    for _ in range(50):
        if wanted(page.value("document.querySelector('#scene-view canvas').toDataURL()")):
            return True
        page.value("new Promise((done) => setTimeout(done, 200))")
    return False


def test_keys_read_values_and_turn_the_map(page: Chromium) -> None:
    page.value("document.querySelector('#plot-fsc svg[tabindex]').focus()")
    page.press("End", 35)
    page.press("ArrowLeft", 37)
    spoken = page.value("document.querySelector('#plot-fsc .reading').textContent")
    assert spoken.startswith("Spatial frequency ")
    assert "Å" in spoken
    shell = 19 / (40 * 6)
    assert f"{1 / shell:.2f} Å" in spoken
    values = page.value("[...document.querySelectorAll('#plot-fsc .value')].map((v) => v.textContent).join(' ')")
    assert len(values.split()) == 5  # one for each curve that is shown

    before = page.value("document.querySelector('#scene-view canvas').toDataURL()")
    page.value("document.querySelector('#scene-view canvas').focus()")
    page.press("ArrowRight", 39)
    assert drawn(page, lambda picture: picture != before)
    page.value("document.getElementById('scene-reset').click()")
    assert drawn(page, lambda picture: picture == before)


def test_every_control_is_reached_by_tab(page: Chromium) -> None:
    wanted = page.value("""(() => {
      const all = [...document.querySelectorAll("a, button, input, summary, [tabindex='0']")];
      // Of radio buttons one is in the order, and what is folded or disabled is not.
      return all.filter((e) => !e.disabled && e.checkVisibility() && !(e.type === "radio" && !e.checked)).length;
    })()""")
    page.value("document.activeElement.blur(); window.scrollTo(0, 0); window.reached = new Set()")
    for _ in range(wanted + 5):
        page.press("Tab", 9)
        page.value("document.activeElement !== document.body && reached.add(document.activeElement); 0")
    assert page.value("reached.size") >= wanted


def test_curves_are_switched_by_their_names(page: Chromium) -> None:
    count = "document.querySelectorAll('#plot-fsc path.curve').length"
    before = page.value(count)
    page.value("document.querySelector('#plot-fsc .legend button').click()")
    assert page.value(count) == before - 1
    assert page.value("document.querySelector('#plot-fsc .legend button').ariaPressed") == "false"


def test_the_button_changes_light_and_dark(page: Chromium) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.value(ground)
    page.value("document.getElementById('theme').click()")
    assert page.value(ground) != light
    page.value("document.getElementById('theme').click(); localStorage.clear()")
    assert page.value(ground) == light


def test_it_prints(page: Chromium) -> None:
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type/Page") <= 30


@pytest.mark.parametrize(
    "removed", [["locres.mrc", "gaussians.safetensors"], ["mask.mrc", "fsc.csv", "particles.star"]]
)
def test_pages_of_less_work_too(browser: Chromium, tmp_path: Path, removed: list[str]) -> None:
    folder = write_run(tmp_path / "run1")
    for name in removed:
        (folder / name).unlink()
    browser.problems.clear()
    browser.open(write_report(folder), WIDTHS[1])
    browser.value(READY)
    assert browser.problems == []
    assert int(scene(browser)["triangles"]) > 100


def test_names_with_markup_do_nothing(browser: Chromium, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run1", notes=["<script>window.broken = 1</script><img src=x onerror='broken=1'>"])
    particles = (folder / "particles.star").read_text().replace(" group1 ", " <script>window.broken=1</script> ")
    (folder / "particles.star").write_text(particles)
    browser.problems.clear()
    browser.open(write_report(folder), WIDTHS[0])
    browser.value(READY)
    assert browser.value("window.broken === undefined")
    assert browser.problems == []
