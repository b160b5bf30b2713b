"""Converts ASGI's "HTTP Connection Scope" to the environ of WSGI (PEP 3333, "environ Variables").

Text in it is latin-1 for whatever bytes the client sent; Django turns it back into bytes and decodes those as UTF-8.
"""

from __future__ import annotations

import functools
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from superagent.operations.serving.asgi import Scope

Environ = dict[str, Any]

_OF_EVERY_REQUEST: Environ = {
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,  # the body ends where its stream ends, as no specification says but servers do
}
_ORDINARY_PORTS = {"https": "443"}


def environ_of(scope: Scope) -> Environ:
    """Returns everything but `wsgi.input`; CONTENT_LENGTH is the client's."""
    root = scope.get("root_path") or ""
    host, port = scope.get("server") or ("localhost", None)  # a Unix socket has no port
    address, port_of_client = scope.get("client") or ("", "")
    scheme = scope.get("scheme", "http")
    environ = {
        **_OF_EVERY_REQUEST,
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": scheme,
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root if root.isascii() else _latin_1(root.encode()),
        "PATH_INFO": _path_info(scope, root),
        "QUERY_STRING": _latin_1(scope["query_string"]),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port) if port else _ORDINARY_PORTS.get(scheme, "80"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": address,
        "REMOTE_PORT": str(port_of_client),
    }
    for header, value in scope["headers"]:
        name = _name(header)
        if name is None:
            continue
        text = _latin_1(value)
        if (
            name in environ
        ):  # RFC 9110, 5.3: one line, with commas; cookies alone have a separator of their own
            text = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{text}"
        environ[name] = text
    return environ


def may_have_body(environ: Environ) -> bool:
    """Returns whether to read a body from the server. HTTP/1 announces every one (RFC 9112, 6); HTTP/2 does not."""
    return (
        "CONTENT_LENGTH" in environ
        or "HTTP_TRANSFER_ENCODING" in environ
        or not environ["SERVER_PROTOCOL"].startswith("HTTP/1")
    )


def without_ambiguous_headers(scope: Scope) -> Scope:
    """Drop headers with an underscore: an environment could not tell X_Forwarded_Proto from X-Forwarded-Proto."""
    return {**scope, "headers": [pair for pair in scope["headers"] if b"_" not in pair[0]]}


def _path_info(scope: Scope, root: str) -> str:
    """Returns the path below `root`, in the bytes that the client sent.

    `path` is decoded already, with U+FFFD where it was not UTF-8; Django shows such bytes as %FF and finds no page. So
    a path that is not plain is decoded again, from `raw_path`, which has the client's escapes.
    """
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    if path.isascii():
        pass
    elif raw is not None:
        path = _latin_1(unquote_to_bytes(raw.partition(b"?")[0]))
    else:
        path = _latin_1(path.encode("utf-8", "surrogateescape"))
    if not root:
        return path
    prefix = root if root.isascii() else _latin_1(root.encode())
    return path[len(prefix) :] if path == prefix or path.startswith(f"{prefix}/") else path


def _latin_1(data: bytes) -> str:
    return data.decode("latin-1")


@functools.lru_cache(maxsize=1024)
def _name(header: bytes) -> str | None:
    """Returns the variable's name; None for a header that is dropped, as `without_ambiguous_headers` does."""
    if b"_" in header:
        return None
    name = _latin_1(header).upper().replace("-", "_")
    return name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"
