"""The product itself on one port: what Django and the bridge must agree on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from superagent.operations.serving import bodies
from tests.fixtures import loopback
from tests.fixtures.web import Web
from tests.operations.serving.application import PATIENCE_SECONDS
from tests.operations.serving.conftest import read_all

JSON = {"Content-Type": "application/json"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    server.start()
    yield server
    server.kill()


def test_pages_files_and_refusals_on_one_port(web: Web) -> None:
    with loopback.Client(base_url=f"http://127.0.0.1:{web.port}", timeout=PATIENCE_SECONDS) as client:
        page = client.get("/accounts/login/")
        assert page.status_code == 200
        assert page.headers["content-length"] == str(page.num_bytes_downloaded)
        assert [cookie.name for cookie in client.cookies.jar] == ["csrftoken"]
        head = client.head("/accounts/login/")
        assert (head.status_code, head.content) == (200, b"")

        missing = client.get("/api/v1/caf%C3%A9/%ff")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")

        wrong = client.post("/api/v1/auth/login", content=iter([b'{"email": ', b"1}"]), headers=JSON)
        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")  # a chunked upload is read

        for length in (3_000_000, bodies.MOST_BYTES + 1):
            long = client.post("/api/v1/auth/login", content=b" " * length, headers=JSON)
            assert (long.status_code, long.json()["code"]) == (413, "body_too_large")

        form = {"file": ("a", b" " * (bodies.MOST_BYTES + 1))}
        long = client.post("/accounts/login/", files=form)
        assert (long.status_code, long.headers["content-type"]) == (400, "text/html; charset=utf-8")


def test_a_body_that_is_too_long_is_refused_in_our_words_before_it_is_sent(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (bodies.MOST_BYTES + 1)
        )
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "body_too_large"
