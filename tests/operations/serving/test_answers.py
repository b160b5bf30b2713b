"""The answers of WSGI applications, by the rules of PEP 3333."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from superagent.operations.serving import answers
from superagent.operations.serving.answers import BLOCK_BYTES, GATHERED_BYTES, Part, parts

HEADERS = [("Content-Type", "text/plain")]


def run(application: Any, method: str = "GET", protocol: str = "HTTP/1.1") -> list[Part]:
    return list(parts(application, {"REQUEST_METHOD": method, "SERVER_PROTOCOL": protocol}))


def bodies(given: list[Part]) -> list[bytes]:
    return [part.body for part in given]


def whole(given: list[Part]) -> bytes:
    body = b"".join(bodies(given))
    rest = given[-1].rest
    if rest is None:
        return body
    with rest:
        return body + rest.read()


def headers(given: list[Part]) -> dict[bytes, bytes]:
    assert [part.start is None for part in given] == [False] + [True] * (len(given) - 1)
    assert [part.is_last for part in given] == [False] * (len(given) - 1) + [True]
    start = given[0].start
    assert start is not None
    return dict(start["headers"])


class Blocks:
    def __init__(self, *blocks: bytes | Exception) -> None:
        self._blocks = blocks
        self.taken = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self.taken += 1
            if isinstance(block, Exception):
                raise block
            yield block

    def close(self) -> None:
        self.closed += 1


def answering(blocks: Any, status: str = "200 OK", headers: list[tuple[str, str]] | None = None) -> Any:
    def application(environ: Any, start: Any) -> Any:
        start(status, HEADERS if headers is None else headers)
        return blocks

    return application


def django(response: Any) -> Any:
    def application(environ: Any, start: Any) -> Any:
        start(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return response

    return application


@pytest.mark.parametrize("blocks", [[b"a", b"b"], (b"ab",)])
def test_a_list_is_one_part_with_its_length(blocks: Any) -> None:
    given = run(answering(blocks))
    assert headers(given) == {b"content-type": b"text/plain", b"content-length": b"2"}
    assert bodies(given) == [b"ab"]


def test_django_says_what_is_whole_and_what_is_streamed() -> None:
    assert bodies(run(django(HttpResponse([b"a", b"b"])))) == [b"ab"]
    assert bodies(run(django(StreamingHttpResponse([b"a", b"b"])))) == [b"a", b"b", b""]


def test_other_iterables_are_passed_on_without_empty_blocks_and_closed() -> None:
    blocks = Blocks(b"", b"a", b"", b"b")
    given = run(answering(blocks))
    assert b"content-length" not in headers(given)
    assert (bodies(given), blocks.closed) == ([b"a", b"b", b""], 1)


def test_a_short_answer_of_known_length_is_gathered() -> None:
    blocks = Blocks(b"a", b"b")
    assert bodies(run(answering(blocks, headers=[("Content-Length", "2")]))) == [b"ab"]
    assert blocks.closed == 1


def test_more_than_was_announced_is_not_gathered() -> None:
    blocks = Blocks(*[b"x"] * 100)
    assert bodies(run(answering(blocks, headers=[("Content-Length", "2")]))) == [b"xxx"]
    assert (blocks.taken, blocks.closed) == (3, 1)


@pytest.mark.parametrize("size", [1, GATHERED_BYTES, GATHERED_BYTES + 1, 10 * GATHERED_BYTES])
def test_an_answer_of_known_length_is_one_part_and_past_a_size_a_file(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    file = io.BytesIO(content[:size])

    def application(environ: Any, start: Any) -> Any:
        start("200 OK", [("Content-Length", str(size))])
        return environ["wsgi.file_wrapper"](file, 10)

    given = run(application)
    assert file.closed
    assert [(part.rest is not None) for part in given] == [size > GATHERED_BYTES]
    assert whole(given) == content[:size]


def test_a_file_of_django_is_closed_with_its_response() -> None:
    file = io.BytesIO(bytes(GATHERED_BYTES + 1))
    assert len(whole(run(django(FileResponse(file))))) == GATHERED_BYTES + 1
    assert file.closed


def test_the_answer_is_closed_before_its_last_part_is_given() -> None:
    blocks = Blocks(b"a")
    given = parts(answering(blocks), {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"})
    assert (next(given).body, blocks.closed) == (b"a", 0)
    assert (next(given).is_last, blocks.closed) == (True, 1)


def test_an_answer_that_nobody_waits_for_is_closed() -> None:
    blocks = Blocks(b"a", b"b", b"c")
    given = parts(answering(blocks), {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"})
    next(given)
    given.close()
    assert (blocks.taken, blocks.closed) == (1, 1)


@pytest.mark.parametrize("known", [[], [("Content-Length", "2")]])
def test_an_answer_that_fails_is_closed(known: list[tuple[str, str]]) -> None:
    blocks = Blocks(b"a", LookupError("of the test"))
    with pytest.raises(LookupError):
        run(answering(blocks, headers=known))
    assert blocks.closed == 1


def test_what_fails_in_closing_does_not_spoil_the_answer() -> None:
    class Stubborn(Blocks):
        def close(self) -> None:
            raise LookupError("of the test")

    assert bodies(run(answering(Stubborn(b"a")))) == [b"a", b""]


# --- HEAD and answers without a body


def test_head_has_the_length_and_no_body() -> None:
    given = run(answering([b"ab"]), method="HEAD")
    assert (headers(given)[b"content-length"], bodies(given)) == (b"2", [b""])


def test_head_claims_no_length_that_it_does_not_know() -> None:
    assert b"content-length" not in headers(run(answering([b""]), method="HEAD"))


def test_head_keeps_the_length_that_was_said() -> None:
    given = run(answering([], headers=[("Content-Length", "7")]), method="HEAD")
    assert (headers(given), bodies(given)) == ({b"content-length": b"7"}, [b""])


def test_head_makes_no_blocks() -> None:
    blocks = Blocks(b"a")
    assert bodies(run(answering(blocks), method="HEAD")) == [b""]
    assert (blocks.taken, blocks.closed) == (0, 1)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
@pytest.mark.parametrize("blocks", [[b"never"], Blocks(b"never")])
def test_some_answers_have_neither_body_nor_length(status: str, blocks: Any) -> None:
    given = run(answering(blocks, status, [("Content-Length", "5"), ("ETag", "1")]))
    assert (headers(given), bodies(given)) == ({b"etag": b"1"}, [b""])


# --- HTTP/1.0


def test_http_1_0_gets_a_length() -> None:
    blocks = Blocks(b"a", b"", b"b")
    given = run(answering(blocks), protocol="HTTP/1.0")
    assert headers(given)[b"content-length"] == b"2"
    assert (bodies(given), blocks.closed) == ([b"ab"], 1)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_http_1_0_gets_a_length_of_what_is_long_too(method: str) -> None:
    def application(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", HEADERS)
        yield from [b"x" * BLOCK_BYTES] * 3

    given = run(application, method, "HTTP/1.0")
    assert headers(given)[b"content-length"] == b"%d" % (3 * BLOCK_BYTES)
    assert len(whole(given)) == (3 * BLOCK_BYTES if method == "GET" else 0)


# --- start_response


def test_start_response_may_wait_for_the_first_block() -> None:
    def application(environ: Any, start: Any) -> Iterator[bytes]:
        start("201 Created", HEADERS)
        yield b"a"

    given = run(application)
    assert given[0].start == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"content-type", b"text/plain")],
    }
    assert bodies(given) == [b"a", b""]
    assert bodies(run(application, method="HEAD")) == [b""]


def test_an_answer_needs_start_response() -> None:
    with pytest.raises(AssertionError, match="without start_response"):
        run(lambda environ, start: [b"a"])


def test_start_response_twice_is_for_errors_alone() -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", HEADERS)
        start("500 Sorry", [], (LookupError, LookupError(), None) if environ["has_failed"] else None)
        return [b"a"]

    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}
    given = list(parts(application, environ | {"has_failed": True}))
    assert headers(given) == {b"content-length": b"1"}
    with pytest.raises(AssertionError, match="twice"):
        list(parts(application, environ | {"has_failed": False}))


def test_an_error_after_the_first_block_is_raised_as_it_was() -> None:
    def application(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", HEADERS)
        yield b"a"
        start("500 Sorry", [], (LookupError, LookupError("of the test"), None))

    with pytest.raises(LookupError, match="of the test"):
        run(application)


def test_what_is_written_comes_first() -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", HEADERS)(b"first, ")
        return [b"second"]

    assert bodies(run(application)) == [b"first, second"]


def test_headers_are_lower_case_bytes_without_space_around_and_may_repeat() -> None:
    given = run(
        answering([b""], headers=[("Set-Cookie", " a=1"), ("Set-Cookie", " b=2"), ("X-Name", "caf\u00e9")])
    )
    start = given[0].start
    assert start is not None
    expected = [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-name", b"caf\xe9"),
        (b"content-length", b"0"),
    ]
    assert start["headers"] == expected


def test_blocks_of_a_file_end_and_close() -> None:
    file = io.BytesIO(bytes(BLOCK_BYTES + 1))
    blocks = answers.FileBlocks(file, 5)
    assert [len(block) for block in blocks] == [BLOCK_BYTES, 1]
    blocks.close()
    assert file.closed
