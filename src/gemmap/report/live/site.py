"""What the server of a run answers: to whom, to what, and with what; it opens no file and knows no socket."""

import hmac
import ipaddress
import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from gemmap.report.live.page import live_page
from gemmap.report.live.progress import LiveProgress

#: A page of ours under the policy that it states itself: it loads nothing.
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_FIELDS = 8


@dataclass(frozen=True)
class Answer:
    """Status, type and content of a response, and what a browser may do with it."""

    status: HTTPStatus
    body: bytes
    kind: str = _TEXT
    policy: str = NO_CONTENT_POLICY


def _refusal(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, f"{sentence}\n".encode())


class Site:
    """The pages of one run.

    Parameters
    ----------
    progress
        Of the run.
    token
        Without it nothing is answered.
    names
        Under which the server is reached, beside those of this machine for itself; lower case. A request for another
        name comes from a page that was made to look like ours (DNS rebinding).
    any_address
        Whether it is reached under every address of the machine: a number cannot be a borrowed name.

    Attributes
    ----------
    ending_heard
        Set when somebody was given all that a run that has ended leaves to say.
    """

    def __init__(
        self, progress: LiveProgress, token: str, names: Collection[str] = (), any_address: bool = False
    ) -> None:
        self._progress, self._token = progress, token.encode()
        self._names, self._any_address = _LOCAL_NAMES | set(names), any_address
        page, policy = live_page(progress.folder)
        self._page = Answer(HTTPStatus.OK, page.encode(), _HTML, policy)
        self.ending_heard = threading.Event()
        self._routes: Mapping[str, Callable[[Mapping[str, Sequence[str]]], Answer]] = {
            "/": lambda _: self._page,
            "/state.json": self._state,
            "/slices.json": lambda _: _json(self._progress.slices()),
            "/report": self._report,
        }

    def answer(self, method: str, target: str, hosts: Sequence[str]) -> Answer:
        """Return the response to a request line; ``hosts`` are the values of its Host headers."""
        if method not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered.")
        if not self._is_for_us(hosts):
            return _refusal(HTTPStatus.FORBIDDEN, "This server does not go by that name; use the address it printed.")
        try:
            parts = urlsplit(target)
            fields = parse_qs(parts.query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return _refusal(HTTPStatus.BAD_REQUEST, "This is no address.")
        if not hmac.compare_digest(fields.get("token", [""])[0].encode(errors="replace"), self._token):
            return _refusal(
                HTTPStatus.FORBIDDEN, "The token is missing or wrong; use the whole address that was printed."
            )
        route = self._routes.get(parts.path)
        return _refusal(HTTPStatus.NOT_FOUND, "There is no such page.") if route is None else route(fields)

    def sent(self, target: str) -> None:
        """Take note of what was sent whole to somebody who was allowed to have it."""
        path = urlsplit(target).path
        if self._progress.has_ended and path == ("/state.json" if self._progress.report is None else "/report"):
            self.ending_heard.set()

    def _is_for_us(self, hosts: Sequence[str]) -> bool:
        if len(hosts) != 1:
            return False
        try:
            name = urlsplit(f"//{hosts[0]}").hostname
        except ValueError:
            return False
        return name is not None and (name in self._names or (self._any_address and _is_address(name)))

    def _state(self, fields: Mapping[str, Sequence[str]]) -> Answer:
        return _json(self._progress.state(looks="looks" in fields))

    def _report(self, _fields: Mapping[str, Sequence[str]]) -> Answer:
        report = self._progress.report
        if report is None:
            return _refusal(HTTPStatus.NOT_FOUND, "The report is written when the run has finished.")
        return Answer(HTTPStatus.OK, report, _HTML, _REPORT_POLICY)


def _json(value: object) -> Answer:
    return Answer(HTTPStatus.OK, json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), _JSON)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
