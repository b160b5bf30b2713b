"""URLs and forms are UTF-8, whatever charset a request names for its body."""

from io import BytesIO

import pytest

from superagent.foundation.charsets import AsgiRequest, WsgiRequest


@pytest.mark.parametrize("charset", ["zip", "utf-16", "latin-1", "no-such-charset"])
def test_the_charset_of_a_body_does_not_decode_the_url(charset: str) -> None:
    kind = f"text/plain; charset={charset}"
    wsgi = WsgiRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/caf\u00c3\u00a9/",
            "QUERY_STRING": "q=%C3%A9",
            "CONTENT_TYPE": kind,
            "wsgi.input": BytesIO(),
        }
    )
    assert (wsgi.path, wsgi.GET["q"], wsgi.content_params) == ("/caf\u00e9/", "\u00e9", {"charset": charset})
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/caf\u00e9/",
        "query_string": b"q=%C3%A9",
        "headers": [(b"content-type", kind.encode())],
    }
    asgi = AsgiRequest(scope, BytesIO())
    assert (asgi.path, asgi.GET["q"], asgi.content_type) == ("/caf\u00e9/", "\u00e9", "text/plain")
