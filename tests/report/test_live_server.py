"""A real server on real sockets: where it listens, what it sends with every answer, what it does with bad guests."""

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import live_news
import pytest

from gemmap.errors import InputError
from gemmap.fit.progress import Silent
from gemmap.report.live import server as module
from gemmap.report.live.progress import LiveProgress
from gemmap.report.live.server import LiveServer


@pytest.fixture
def live(tmp_path: Path) -> LiveProgress:
    live = LiveProgress(Silent(), tmp_path / "run1", 2.0)
    live_news.half_a_run(live)
    return live


@pytest.fixture
def server(live: LiveProgress) -> Iterator[LiveServer]:
    with LiveServer(live) as server:
        yield server


def token_of(server: LiveServer) -> str:
    return server.url.partition("token=")[2]


def ask(server: LiveServer, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def raw(server: LiveServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        # The server may have hung up already.
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_only_this_machine_is_served_unless_told_otherwise(server: LiveServer) -> None:
    assert server.address == ("127.0.0.1", server.port)
    assert server._server.socket.getsockname()[0] == "127.0.0.1"
    assert server.is_local
    assert server.url == f"http://127.0.0.1:{server.port}/?token={token_of(server)}"


def test_tokens_cannot_be_guessed(live: LiveProgress) -> None:
    tokens = set()
    for _ in range(5):
        with LiveServer(live) as server:
            tokens.add(token_of(server))
    assert len(tokens) == 5
    assert min(map(len, tokens)) >= 32


def test_it_answers_and_protects(server: LiveServer) -> None:
    token = token_of(server)
    for target, status in (
        (f"/?token={token}", 200),
        (f"/state.json?token={token}", 200),
        (f"/slices.json?token={token}", 200),
        (f"/etc/passwd?token={token}", 404),
        (f"/../run.log?token={token}", 404),
        ("/", 403),
        ("/state.json", 403),
        (f"/state.json?token={token}x", 403),
    ):
        found, headers, body = ask(server, target)
        assert found == status, target
        assert int(headers["Content-Length"]) == len(body) > 0
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert headers["Server"].strip() == "gemmap"
        assert "Access-Control-Allow-Origin" not in headers


def test_head_has_no_body(server: LiveServer) -> None:
    status, headers, body = ask(server, f"/?token={token_of(server)}", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 10_000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods(server: LiveServer, method: str) -> None:
    status, headers, _ = ask(server, f"/state.json?token={token_of(server)}", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_another_host_is_refused(server: LiveServer) -> None:
    target = f"/state.json?token={token_of(server)}"
    assert ask(server, target, Host=f"evil.example:{server.port}")[0] == 403
    assert ask(server, target, Host="localhost:9999")[0] == 200


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n", b"GET\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", b"G" * 100_000],
)
def test_what_is_no_request_is_refused_and_protected_too(server: LiveServer, request_: bytes) -> None:
    answer = raw(server, request_)
    assert b"X-Content-Type-Options: nosniff" in answer or not answer.startswith(b"HTTP")
    assert b" 200 " not in answer
    assert ask(server, f"/state.json?token={token_of(server)}")[0] == 200


def test_readers_that_go_away_say_nothing(server: LiveServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(f"GET /?token={token_of(server)} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        connection.close()
    assert ask(server, f"/?token={token_of(server)}")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_many_that_say_nothing_take_no_more_than_their_places(server: LiveServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]
    refused, waiting = 0, []
    for connection in idle:
        connection.settimeout(0.2)
        try:
            assert connection.recv(10) == b""
            refused += 1
        except TimeoutError:
            waiting.append(connection)
    assert (refused, len(waiting)) == (8, 16)
    for connection in idle:
        connection.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(ConnectionError, http.client.HTTPException):
            assert ask(server, f"/?token={token_of(server)}")[0] == 200
            return
    pytest.fail("the places were never free again")


def test_who_says_nothing_is_sent_away(live: LiveProgress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.3)
    with LiveServer(live) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        assert connection.recv(10) == b""


def test_a_port_in_use_is_said_in_one_sentence(server: LiveServer, live: LiveProgress) -> None:
    with pytest.raises(InputError) as caught:
        LiveServer(live, port=server.port)
    assert str(caught.value) == (
        f"Port {server.port} of 127.0.0.1 is in use; give another --live-port, or leave it out to take a free one."
    )


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_ports_that_are_none(live: LiveProgress, port: int) -> None:
    with pytest.raises(
        InputError, match=rf"^The port of the live page is {port}; expected 0, for a free one, to 65535"
    ):
        LiveServer(live, port=port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "999.1.1.1", "a" * 300, "x..y"])
def test_hosts_that_are_not_ours(live: LiveProgress, host: str) -> None:
    with pytest.raises(InputError, match=r"^The live page cannot be served at .*; give --live-host a name or address"):
        LiveServer(live, host)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every port")
def test_ports_of_the_system(live: LiveProgress) -> None:
    with pytest.raises(InputError, match="give a --live-port above 1023"):
        LiveServer(live, port=80)


def test_all_addresses_only_when_asked_for(live: LiveProgress) -> None:
    with LiveServer(live, "0.0.0.0") as server:
        assert not server.is_local
        assert "0.0.0.0" not in server.url
        assert server.url.endswith(f":{server.port}/?token={token_of(server)}")
        target = f"/state.json?token={token_of(server)}"
        assert ask(server, "/state.json")[0] == 403
        assert ask(server, target, Host=socket.gethostname())[0] == 200
        assert ask(server, target, Host="192.168.7.7:1")[0] == 200
        assert ask(server, target, Host="evil.example")[0] == 403


def test_ipv6(live: LiveProgress) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with LiveServer(live, "::1") as server:
        assert server.is_local
        assert server.url.startswith(f"http://[::1]:{server.port}/?token=")


def test_closed_is_closed(live: LiveProgress) -> None:
    with LiveServer(live) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with LiveServer(live, port=port) as again:  # the port is free at once
        assert again.port == port
    assert not [thread for thread in threading.enumerate() if thread.name == "gemmap live"]
