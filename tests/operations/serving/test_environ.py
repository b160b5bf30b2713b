"""An ASGI scope becomes the environment that a WSGI server would have made of the same bytes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes, unquote

import pytest
from django.core.handlers.wsgi import WSGIRequest
from hypothesis import example, given
from hypothesis import strategies as st

from superagent.foundation.charsets import WsgiRequest
from superagent.operations.serving.bodies import empty
from superagent.operations.serving.environ import environ_of, may_have_body, without_ambiguous_headers

NAMES = st.text("abcxyz0189-_", min_size=1, max_size=12).map(str.encode)
VALUES = st.binary(max_size=20)


def scope(**changes: Any) -> dict[str, Any]:
    plain = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("192.0.2.1", 5000),
        "server": ("127.0.0.1", 8000),
    }
    return plain | changes


def scope_of_path(raw: str, **changes: Any) -> dict[str, Any]:
    """As uvicorn makes it: `path` is decoded as UTF-8, with U+FFFD for what is none."""
    return scope(path=unquote(raw), raw_path=raw.encode("ascii"), **changes)


@given(st.binary(max_size=40).map(lambda path: "/" + quote_from_bytes(path)))
@example("/caf%C3%A9")
@example("/%ff%fe")
@example("/%EF%BF%BD")
@example("/a%2Fb%25c%3Fd")
@example("/%E2%82")
def test_a_path_is_that_of_a_wsgi_server_byte_for_byte(raw: str) -> None:
    environ = environ_of(scope_of_path(raw)) | {"wsgi.input": empty()}
    as_wsgiref = unquote(raw, "iso-8859-1")
    assert environ["PATH_INFO"] == as_wsgiref
    expected = WSGIRequest(environ | {"PATH_INFO": as_wsgiref})
    assert WsgiRequest(environ).path == expected.path


@given(st.binary(max_size=20), st.sampled_from(["/shop", "/caf\u00e9"]))
def test_the_part_of_the_path_that_leads_to_the_application_is_its_script_name(
    path: bytes, root: str
) -> None:
    raw = quote_from_bytes(root.encode()) + "/" + quote_from_bytes(path)
    environ = environ_of(scope_of_path(raw, root_path=root))
    assert environ["SCRIPT_NAME"].encode("latin-1") == root.encode()
    assert environ["PATH_INFO"].encode("latin-1") == b"/" + path


@pytest.mark.parametrize(("path", "path_info"), [("/shop", ""), ("/shop/", "/"), ("/shopping", "/shopping")])
def test_only_a_whole_segment_is_taken_off_a_path(path: str, path_info: str) -> None:
    assert environ_of(scope_of_path(path, root_path="/shop"))["PATH_INFO"] == path_info


def test_a_path_without_its_raw_form_is_encoded() -> None:
    assert environ_of(scope(path="/caf\u00e9", raw_path=None))["PATH_INFO"] == "/caf\u00c3\u00a9"


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
@example([(b"cookie", b"a=1"), (b"x-a", b"1"), (b"cookie", b"b=2"), (b"x-a", b"2"), (b"x_a", b"3")])
@example([(b"content-type", b"text/plain"), (b"content_type", b"x"), (b"content-length", b"1")])
def test_headers_are_joined_by_name_and_those_with_an_underscore_dropped(
    headers: list[tuple[bytes, bytes]],
) -> None:
    expected: dict[str, list[str]] = {}
    for name, value in headers:
        if b"_" not in name:
            expected.setdefault(name.decode().upper().replace("-", "_"), []).append(value.decode("latin-1"))
    environ = environ_of(scope(headers=headers))
    joined = {
        name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}": (
            "; " if name == "COOKIE" else ","
        ).join(values)
        for name, values in expected.items()
    }
    found = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
    assert found == joined
    assert set(environ) - set(found) == set(environ_of(scope()))


def test_streams_see_no_header_with_an_underscore_either() -> None:
    kept = without_ambiguous_headers(scope(headers=[(b"x-a", b"1"), (b"x_a", b"2")]))["headers"]
    assert kept == [(b"x-a", b"1")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            {
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "8000",
                "REMOTE_ADDR": "192.0.2.1",
                "REMOTE_PORT": "5000",
            },
        ),
        ({"server": ("/run/web.sock", None)}, {"SERVER_NAME": "/run/web.sock", "SERVER_PORT": "80"}),
        ({"server": None, "scheme": "https"}, {"SERVER_NAME": "localhost", "SERVER_PORT": "443"}),
        ({"client": None}, {"REMOTE_ADDR": "", "REMOTE_PORT": ""}),
        ({"scheme": "https"}, {"wsgi.url_scheme": "https"}),
        ({"http_version": "1.0"}, {"SERVER_PROTOCOL": "HTTP/1.0"}),
        ({"query_string": b"a=\xc3\xa9&b=%20"}, {"QUERY_STRING": "a=\u00c3\u00a9&b=%20"}),
    ],
)
def test_addresses_and_the_rest(changes: dict[str, Any], expected: dict[str, str]) -> None:
    environ = environ_of(scope(**changes))
    assert {name: environ[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"headers": [(b"content-length", b"0")]}, True),
        ({"headers": [(b"transfer-encoding", b"chunked")]}, True),
        ({"http_version": "2"}, True),
    ],
)
def test_http_1_says_when_there_is_a_body(changes: dict[str, Any], expected: bool) -> None:
    assert may_have_body(environ_of(scope(**changes))) is expected
