"""The live page in a real browser: nothing fails, curves and slices appear, and the end leads to the report.

Pictures at both widths, light and dark, are left in the folder of the test (pytest --basetemp=FOLDER).
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import live_news
import pytest
from chromium import Chromium, find_chromium

from gemmap.fit.progress import Silent
from gemmap.report.live.progress import LiveProgress
from gemmap.report.live.server import LiveServer

pytestmark = pytest.mark.browser
WIDTHS = (1280, 390)
#: Waits until an expression is true.
UNTIL = """new Promise((done, fail) => {
  const since = Date.now();
  const look = () => (%s) ? requestAnimationFrame(() => done(true))
    : Date.now() - since > 30000 ? fail("it never came") : setTimeout(look, 30);
  look();
})"""
HEARD = "document.getElementById('status').textContent === 'running'"
IMAGES = "document.querySelectorAll('.planes img').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    executable = find_chromium()
    assert executable is not None
    with Chromium(executable, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveProgress:
    monkeypatch.setattr("gemmap.report.live.progress.INTERVAL_S", 0.0)
    monkeypatch.setattr("gemmap.report.live.progress.MOST_OF_TIME", 1e9)
    live = LiveProgress(Silent(), tmp_path / "run1", 5.0)
    live_news.half_a_run(live)
    return live


@pytest.fixture
def page(browser: Chromium, live: LiveProgress) -> Iterator[tuple[Chromium, LiveServer]]:
    """A browser and a server; afterwards nothing may have gone wrong, and nobody else was asked for anything."""
    browser.problems.clear()
    browser.requests.clear()
    with LiveServer(live) as server:
        yield browser, server
        # Stops asking before the server is gone.
        browser.open("about:blank", WIDTHS[0])
        assert browser.problems == []
        ours = (f"http://127.0.0.1:{server.port}/", "data:", "about:")
        assert [url for url in browser.requests if not url.startswith(ours)] == []


def opened(page: tuple[Chromium, LiveServer], width: int = WIDTHS[0], dark: bool = False) -> Chromium:
    browser, server = page
    browser.open(server.url, width, dark=dark)
    browser.value(UNTIL % HEARD)
    return browser


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_shown_whole(
    page: tuple[Chromium, LiveServer], live: LiveProgress, tmp_path: Path, width: int, dark: bool
) -> None:
    browser = opened(page, width, dark)
    live_news.trials(live, "half2")
    browser.value(UNTIL % f"{IMAGES} === 6 && [...document.images].every((image) => image.naturalWidth > 0)")
    browser.screenshots(tmp_path, f"{width}_{'dark' if dark else 'light'}")
    assert browser.value("document.documentElement.scrollWidth") == width  # nothing hangs out on the right


def test_the_plots_have_data_and_grow(page: tuple[Chromium, LiveServer], live: LiveProgress) -> None:
    browser = opened(page)
    plots = """JSON.stringify(Object.fromEntries([...document.querySelectorAll(".plot")].map((box) => [box.id, {
      points: Number(box.dataset.points), drawn: box.querySelectorAll("path.curve[d^=M]").length,
      bad: /NaN|undefined|Infinity/.test(box.innerHTML) }])))"""
    before = json.loads(browser.value(plots))
    assert before == {
        "plot-loss": {"points": 11, "drawn": 2, "bad": False},
        "plot-score": {"points": 4, "drawn": 1, "bad": False},
        "plot-gaussians": {"points": 11, "drawn": 2, "bad": False},
    }
    # Curves that are not there yet: what is left is read without harm.
    browser.value("document.querySelector('#plot-loss .legend button').click()")
    browser.value("document.querySelector('#plot-loss svg[tabindex]').focus()")
    browser.press("End", 35)
    assert browser.value("document.querySelector('#plot-loss .reading').textContent") == "Step 6"
    live_news.trials(live, "half2")
    live_news.fit(live, "half2")
    browser.value(UNTIL % "document.getElementById('plot-score').dataset.points === '8'")
    after = json.loads(browser.value(plots))
    assert after["plot-gaussians"] == {"points": 22, "drawn": 4, "bad": False}
    assert after["plot-loss"] == {"points": 18, "drawn": 3, "bad": False}  # half 1 stays hidden
    assert browser.value("document.querySelector('#plot-loss .reading').textContent") == "Step 6"
    assert browser.value("document.activeElement === document.querySelector('#plot-loss svg[tabindex]')")


def test_slices_come_when_a_fit_goes_on(page: tuple[Chromium, LiveServer], live: LiveProgress) -> None:
    browser = opened(page)
    assert browser.value(IMAGES) == 3  # of half 1, which is finished
    live_news.trials(live, "half2")
    browser.value(UNTIL % f"{IMAGES} === 6")
    captions = "JSON.stringify([...document.querySelectorAll('.slices figcaption')].map((c) => c.textContent))"
    assert json.loads(browser.value(captions)) == ["Half 1 finished, 3 steps", "Half 2 trial, Gaussians, step 6"]
    live_news.fit(live, "half2")
    browser.value(UNTIL % f"{captions}.includes('Half 2 finished, 3 steps')")


def test_the_stage_and_the_log(page: tuple[Chromium, LiveServer], live: LiveProgress) -> None:
    browser = opened(page)
    assert browser.value("document.getElementById('stage').textContent") == "reading and inserting particles of half 2"
    assert browser.value("document.getElementById('bar').value / document.getElementById('bar').max") == 0.4
    assert browser.value("document.getElementById('words').textContent").startswith("2,000 of 5,000 particles, ")
    log = browser.value("document.getElementById('lines').textContent")
    assert live_news.MARKUP in log
    assert "Fit of half1: 3 Gaussians, 3 steps" in log
    assert browser.value("window.broken === undefined")


def test_a_page_before_anything_is_known(page: tuple[Chromium, LiveServer], tmp_path: Path) -> None:
    browser, _ = page
    empty = LiveProgress(Silent(), tmp_path / "run2", 5.0)
    with LiveServer(empty) as server:
        browser.open(server.url, WIDTHS[1])
        browser.value(UNTIL % HEARD)
        assert browser.value("document.getElementById('stage').textContent") == "Reading"
        assert browser.value("document.querySelectorAll('.plot svg').length") == 0
        assert browser.value("document.getElementById('no-slices').checkVisibility()")
        browser.screenshots(tmp_path, "empty")
        browser.open("about:blank", WIDTHS[0])
    browser.requests.clear()


def arrive(browser: Chromium, path: str) -> None:
    """Wait until the browser has gone to a page; what runs in the one before is lost on the way."""
    until = time.monotonic() + 30.0
    while time.monotonic() < until:
        with suppress(RuntimeError):
            if browser.value(f"location.pathname === '{path}' && document.readyState === 'complete'"):
                return
        time.sleep(0.05)
    raise TimeoutError(path)


def end(live: LiveProgress, stays: bool) -> None:
    live.folder.mkdir()
    (live.folder / "report.html").write_text("<!doctype html><link rel=icon href=data:,><title>The report</title>")
    live.end("finished", stays=stays)


def test_the_end_leads_to_the_report(page: tuple[Chromium, LiveServer], live: LiveProgress) -> None:
    browser = opened(page)
    end(live, stays=False)
    arrive(browser, "/report")
    assert browser.value("document.title") == "The report"
    assert page[1].site.ending_heard.wait(5)


def test_a_page_that_stays_has_a_link(page: tuple[Chromium, LiveServer], live: LiveProgress, tmp_path: Path) -> None:
    browser = opened(page)
    end(live, stays=True)
    browser.value(UNTIL % "document.getElementById('status').textContent === 'finished'")
    said = browser.value("document.getElementById('said').textContent")
    assert said == f"The run is finished; its report is {live.folder}/report.html. Open the report."
    browser.screenshots(tmp_path, "finished")
    browser.value("document.querySelector('#said a').click()")
    arrive(browser, "/report")
    assert browser.value("document.title") == "The report"


def test_a_run_that_failed_says_why(page: tuple[Chromium, LiveServer], live: LiveProgress, tmp_path: Path) -> None:
    browser = opened(page)
    live.end("failed", f"The run failed: {live_news.MARKUP}")
    browser.value(UNTIL % "document.getElementById('status').textContent === 'failed'")
    assert browser.value("document.getElementById('said').textContent") == f"The run failed: {live_news.MARKUP}"
    assert browser.value("window.broken === undefined")
    browser.screenshots(tmp_path, "failed")


def test_a_server_that_is_gone(browser: Chromium, live: LiveProgress, tmp_path: Path) -> None:
    with LiveServer(live) as server:
        browser.open(server.url, WIDTHS[1])
        browser.value(UNTIL % HEARD)
    browser.value(UNTIL % "document.getElementById('status').textContent === 'no answer'")
    said = browser.value("document.getElementById('said').textContent")
    assert said.startswith("The run has ended, or the connection is cut. This is what was heard last, at ")
    assert said.endswith(f"The report of a run that is finished is {live.folder}/report.html.")
    browser.screenshots(tmp_path, "gone")
    # A tunnel that is there again: with the same token it goes on, with another one it says so.
    with LiveServer(live, port=server.port):
        browser.value(UNTIL % "document.getElementById('said').textContent.startsWith('The token is missing or wrong')")
    browser.open("about:blank", WIDTHS[0])
