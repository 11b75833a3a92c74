"""The page that shows a run while it goes on: its frame, which ``live.js`` fills."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from string import Template

from gemmap.report.html.markup import Html, json_script, printable, tag
from gemmap.report.html.section import figure, paragraph
from gemmap.report.live.curves import CAPTIONS, empty_plots
from gemmap.report.record import gemmap_version

#: Scripts in the order in which they run.
_SCRIPTS = ("data.js", "plots.js", "live.js", "theme.js")
_STYLES = ("page.css", "live.css")


def live_page(folder: Path) -> tuple[str, str]:
    """Return the page of a run in a folder, and the policy under which a browser may show it.

    The policy names the page's own script: no other runs, whatever text a run shows.
    """
    script = "\n".join(map(_asset, _SCRIPTS))
    name = printable(folder.name)
    page = Template(_asset("live.html")).substitute(
        title=tag("title", f"{name}: live"),
        style="\n".join(map(_asset, _STYLES)),
        header=tag(
            "header",
            tag("p", "A reconstruction while it goes on", class_="kicker"),
            tag("h1", name, " ", tag("span", "connecting", class_="badge", id="status")),
        ),
        main=_main(),
        footer=tag("footer", f"Served by gemmap {gemmap_version()} from {printable(folder)}."),
        data=json_script("report-data", {"live": {"folder": printable(folder), "plots": empty_plots()}}),
        script=script,
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _main() -> Html:
    plots = [figure(identity, caption, caption) for identity, caption in CAPTIONS.items()]
    words = (
        "Slices through the centre of the map that is being fitted; the second axis named points up. They are taken "
        "every few seconds while this page is looked at."
    )
    waiting = tag("p", "The first slices come when the first fit has begun.", class_="status", id="no-slices")
    return tag(
        "div",
        tag(
            "section",
            tag("p", id="stage", class_="stated"),
            tag("progress", id="bar", max=1, value=0, aria_label="Part of this stage that is done"),
            tag("p", id="words", class_="status"),
            tag("p", id="elapsed", class_="status"),
            tag("p", id="said", class_="warning", role="status", hidden=True),
            aria_label="Stage",
        ),
        _section("slices", "Slices", paragraph(words), waiting, tag("div", class_="slices", id="pictures")),
        _section("fits", "Fits", tag("div", *plots, class_="pair")),
        _section("log", "Log", tag("pre", id="lines", tabindex=0)),
    )


def _section(identity: str, title: str, *children: Html) -> Html:
    return tag("section", tag("h2", title), *children, id=identity, aria_label=title)


def _asset(name: str) -> str:
    return (files("gemmap.report.html") / "assets" / name).read_text(encoding="utf-8")
