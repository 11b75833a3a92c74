"""Serves the pages of a run from a thread of their own, on this machine only unless told otherwise."""

import errno
import ipaddress
import secrets
import socket
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from gemmap.errors import InputError
from gemmap.report.live.progress import LiveProgress
from gemmap.report.live.site import NO_CONTENT_POLICY, Site

#: Address of this machine for itself.
LOOPBACK = "127.0.0.1"
LARGEST_PORT = 65535
_TOKEN_BYTES = 24
#: Requests answered at once, and the longest that one may take to arrive, s.
_MOST_AT_ONCE, _PATIENCE_S = 16, 10.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class LiveServer:
    """A server of one run, from its making until it is closed.

    Whoever has the address may watch and nothing else. It holds a token, also where only this machine is served: many
    people share the nodes of a cluster.

    Parameters
    ----------
    progress
        Of the run.
    host, port
        Where to listen; port 0 takes a free one.

    Attributes
    ----------
    url
        The address with its token.
    is_local
        Whether it can be reached from this machine only.

    Raises
    ------
    InputError
        If it is not possible to listen there.
    """

    def __init__(self, progress: LiveProgress, host: str = LOOPBACK, port: int = 0) -> None:
        family, address = _resolve(host, port)
        found = ipaddress.ip_address(address[0].partition("%")[0])
        self.is_local = found.is_loopback
        name = socket.getfqdn() if found.is_unspecified else host
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        names = {
            name.lower(),
            host.lower(),
            str(found),
            *([socket.gethostname().lower()] if found.is_unspecified else []),
        }
        self.site = Site(progress, token, names, found.is_unspecified)
        try:
            self._server = _Server(family, address, self.site)
        except (OSError, OverflowError) as error:
            raise _cannot_listen(host, port, error) from error
        self.port = self._server.server_port
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.port}/?token={token}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="gemmap live", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """The address that is listened on."""
        return self._server.server_name, self.port

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread for each request, but not for too many."""

    daemon_threads = True
    request_queue_size = _MOST_AT_ONCE

    def __init__(self, family: socket.AddressFamily, address: tuple[Any, ...], site: Site) -> None:
        self.address_family = family
        self.site = site
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # That of HTTPServer asks the network for the machine's name, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Readers come and go; only what is our error is worth a traceback among the lines of the run.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S
    server_version, sys_version = "gemmap", ""
    _policy = NO_CONTENT_POLICY

    def _respond(self) -> None:
        answer = self.server.site.answer(self.command, self.path, self.headers.get_all("Host", []))
        self._policy = answer.policy
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
            if answer.status == HTTPStatus.OK:
                self.server.site.sent(self.path)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _respond  # noqa: N815

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", self._policy)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are no news of the run, and hold the token."""


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    if not 0 <= port <= LARGEST_PORT:
        raise InputError(f"The port of the live page is {port}; expected 0, for a free one, to {LARGEST_PORT}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error
    return found[0][0], found[0][4]


def _cannot_listen(host: str, port: int, error: Exception) -> InputError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return InputError(
            f"Port {port} of {host} is in use; give another --live-port, or leave it out to take a free one."
        )
    if number in (errno.EACCES, errno.EPERM):
        return InputError(f"Port {port} of {host} may not be opened by this user; give a --live-port above 1023.")
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"The live page cannot be served at {host!r} ({reason}); give --live-host a name or address of this machine."
    )
