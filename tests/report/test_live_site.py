"""Who is answered and what: a token, a name of ours, GET or HEAD, four addresses, and nothing else."""

import base64
import hashlib
import json
import re
from http import HTTPStatus
from pathlib import Path

import live_news
import pytest

from gemmap.fit.progress import Silent
from gemmap.report.live.progress import LiveProgress
from gemmap.report.live.site import Site

TOKEN = "a-token_of-letters"
HOST = ["127.0.0.1:8123"]


@pytest.fixture
def live(tmp_path: Path) -> LiveProgress:
    live = LiveProgress(Silent(), tmp_path / "run<1>", 2.0)
    live_news.half_a_run(live)
    return live


@pytest.fixture
def site(live: LiveProgress) -> Site:
    return Site(live, TOKEN)


@pytest.mark.parametrize("page", ["/", "/state.json", "/slices.json"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whoever_has_the_token_is_answered(site: Site, page: str, method: str) -> None:
    answer = site.answer(method, f"{page}?token={TOKEN}", HOST)
    assert answer.status == HTTPStatus.OK
    assert answer.kind == ("text/html; charset=utf-8" if page == "/" else "application/json")
    if page != "/":
        json.loads(answer.body)


@pytest.mark.parametrize(
    "query",
    [
        "", "?token=", "?token=wrong", f"?token={TOKEN}x", f"?token={TOKEN[:-1]}", f"?token=wrong&token={TOKEN}",
        f"?TOKEN={TOKEN}", "?token=%ff%fe", "?token=\u20ac", f"?x={TOKEN}", f"#token={TOKEN}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["/", "/state.json", "/slices.json", "/report", "/nothing"])
def test_nobody_else_is(site: Site, page: str, query: str) -> None:
    answer = site.answer("GET", page + query, HOST)
    assert answer.status == HTTPStatus.FORBIDDEN
    assert TOKEN.encode() not in answer.body
    assert answer.body == b"The token is missing or wrong; use the whole address that was printed.\n"


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"], ["evil.example:8123"], ["127.0.0.1.evil.example"], [], ["127.0.0.1", "evil.example"], [""],
        ["localhost@evil.example"], ["[::1"], ["192.168.1.2:8123"], ["node1:8123"],
    ],
)  # fmt: skip
def test_another_name_is_refused(site: Site, hosts: list[str]) -> None:
    """A name that an attacker lets point at this machine makes a browser send what only ours may ask."""
    answer = site.answer("GET", f"/state.json?token={TOKEN}", hosts)
    assert answer.status == HTTPStatus.FORBIDDEN
    assert b"does not go by that name" in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:9", "[::1]:8123", "127.0.0.1:65535"])
def test_names_of_this_machine_are_accepted(site: Site, host: str) -> None:
    """With any port: that of a tunnel may be another one."""
    assert site.answer("GET", f"/state.json?token={TOKEN}", [host]).status == HTTPStatus.OK


def test_where_every_address_is_served_numbers_are_accepted(live: LiveProgress) -> None:
    site = Site(live, TOKEN, {"node1"}, any_address=True)
    for host in ("192.168.1.2:8123", "[fe80::1]", "node1:8123", "Node1"):
        assert site.answer("GET", f"/?token={TOKEN}", [host]).status == HTTPStatus.OK, host
    assert site.answer("GET", f"/?token={TOKEN}", ["node2"]).status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "page",
    [
        "/index.html", "/../../etc/passwd", "//state.json", "/state.json/", "/%2e%2e/etc/passwd", "/run.log",
        "/report.html", "/state.json;x", "",
    ],
)  # fmt: skip
def test_there_are_no_other_pages(site: Site, page: str) -> None:
    assert site.answer("GET", f"{page}?token={TOKEN}", HOST).status in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", ""])
def test_nothing_is_taken(site: Site, method: str) -> None:
    answer = site.answer(method, f"/state.json?token={TOKEN}", HOST)
    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("target", ["//[/?token=a", f"/?{'&'.join('a=1' for _ in range(20))}&token={TOKEN}"])
def test_what_is_no_address(site: Site, target: str) -> None:
    assert site.answer("GET", target, HOST).status == HTTPStatus.BAD_REQUEST


def test_the_page_runs_its_own_script_only(site: Site) -> None:
    answer = site.answer("GET", f"/?token={TOKEN}", HOST)
    text = answer.body.decode()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in answer.policy
    assert "default-src 'none'" in answer.policy
    assert "frame-ancestors 'none'" in answer.policy
    assert "run&lt;1&gt;" in text
    assert "run<1>" not in text
    assert TOKEN not in text
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", text)


def test_only_a_page_that_is_looked_at_asks_for_slices(site: Site, live: LiveProgress) -> None:
    site.answer("GET", f"/state.json?token={TOKEN}", HOST)
    before = live.slices()["slices"]
    live_news.fit(live, "half2")
    assert live.slices()["slices"] == before + 1  # the result
    site.answer("GET", f"/state.json?token={TOKEN}&looks=1", HOST)
    live_news.trials(live, "half2")
    assert live.slices()["slices"] == before + 2


def test_the_report_of_a_finished_run(site: Site, live: LiveProgress) -> None:
    target = f"/report?token={TOKEN}"
    assert site.answer("GET", target, HOST).status == HTTPStatus.NOT_FOUND
    site.sent(f"/state.json?token={TOKEN}")
    live.folder.mkdir()
    (live.folder / "report.html").write_text("<p>report")
    live.end("finished")
    site.sent(f"/state.json?token={TOKEN}")
    assert not site.ending_heard.is_set()  # the report is still to be fetched
    answer = site.answer("GET", target, HOST)
    assert (answer.status, answer.body) == (HTTPStatus.OK, b"<p>report")
    assert "connect-src" not in answer.policy
    assert site.answer("GET", "/report", HOST).status == HTTPStatus.FORBIDDEN
    site.sent(target)
    assert site.ending_heard.is_set()


def test_a_run_that_failed_is_heard_with_its_state(site: Site, live: LiveProgress) -> None:
    live.end("failed", "no")
    assert not site.ending_heard.is_set()
    site.sent(f"/state.json?token={TOKEN}")
    assert site.ending_heard.is_set()
