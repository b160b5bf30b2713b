"""The bridge from ASGI to WSGI under a real server, on real sockets."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from superagent.operations.serving import bodies
from tests.fixtures import loopback
from tests.operations.serving.application import BLOCK, LONG_BYTES, PATIENCE_SECONDS, THREADS
from tests.operations.serving.conftest import Served, read_all, read_until

CLOSE = b"Host: a\r\nConnection: close\r\n"


def body_of(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST %s HTTP/1.1\r\n%s%s\r\n%s" % (path, CLOSE, lines, body)


# --- Requests


def test_headers_with_an_underscore_cannot_pose_as_proxy_headers(shared: Served) -> None:
    told = loopback.get(f"{shared.url}/echo", headers={"X_Forwarded_Proto": "https", "X-Real": "1"}).json()
    assert [name for name in told if name.startswith("HTTP_X_")] == ["HTTP_X_REAL"]


def test_repeated_headers_are_joined_and_repeated_cookies_stay_cookies(shared: Served) -> None:
    request = b"GET /echo HTTP/1.1\r\n" + CLOSE + b"X-A: 1\r\nCookie: a=1\r\nX-A: 2\r\nCookie: b=2\r\n\r\n"
    told = body_of(shared.exchange(request))
    assert (told["HTTP_X_A"], told["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")


def test_an_answer_may_set_several_cookies(shared: Served) -> None:
    assert loopback.get(f"{shared.url}/echo").headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_client_and_server_are_known(shared: Served) -> None:
    with shared.connect() as connection:
        port = connection.getsockname()[1]
        connection.sendall(b"GET /echo?a=%20b HTTP/1.1\r\n" + CLOSE + b"\r\n")
        told = body_of(read_all(connection))
    expected = {
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(shared.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "QUERY_STRING": "a=%20b",
        "SCRIPT_NAME": "",
    }
    assert {name: told[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("path", "path_info"),
    [
        (b"/plain", "/plain"),
        (b"/caf%C3%A9", "/caf\u00c3\u00a9"),  # latin-1 of the UTF-8 bytes
        (b"/%ff%2F", "/\u00ff/"),  # no UTF-8: the byte itself
        (b"/a%25b", "/a%b"),
    ],
)
def test_a_path_arrives_byte_for_byte(shared: Served, path: bytes, path_info: str) -> None:
    told = body_of(shared.exchange(b"GET " + path + b" HTTP/1.1\r\n" + CLOSE + b"\r\n"))
    assert told["PATH_INFO"] == path_info


# --- Bodies


def test_a_body_arrives_with_its_length(shared: Served) -> None:
    told = loopback.post(f"{shared.url}/echo", content=b"12345").json()
    assert (told["length"], told["CONTENT_LENGTH"], told["in_memory"]) == (5, "5", True)


def test_a_chunked_upload_arrives_whole_and_with_a_length(shared: Served) -> None:
    answer = shared.exchange(post(b"/echo", chunked(b"123", b"45"), b"Transfer-Encoding: chunked"))
    told = body_of(answer)
    assert (told["length"], told["CONTENT_LENGTH"]) == (5, "5")
    assert "HTTP_TRANSFER_ENCODING" not in told  # it has been undone


def test_a_long_body_goes_to_a_file(shared: Served) -> None:
    content = bytes(range(256)) * 4 * 1024
    told = loopback.post(f"{shared.url}/echo", content=content).json()
    assert told["body"] == hashlib.sha256(content).hexdigest()
    assert (told["length"], told["in_memory"]) == (len(content), False)


def test_what_follows_a_body_is_the_next_request(shared: Served) -> None:
    """Were one byte more or less taken for the body, somebody else's request could be made up (smuggling)."""
    first = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    second = b"POST /echo HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"de")
    answers = shared.exchange(first + second).split(b"HTTP/1.1 200 OK")[1:]
    assert [body_of(answer)["length"] for answer in answers] == [3, 2]


def test_a_request_with_two_lengths_is_refused(shared: Served) -> None:
    answer = shared.exchange(
        post(b"/echo", chunked(b"abc"), b"Content-Length: 1", b"Transfer-Encoding: chunked")
    )
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_request_whose_client_leaves_in_the_middle_of_the_body_is_not_run(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(b"POST /note?short HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    with shared.connect() as connection:
        connection.sendall(
            b"POST /note?torn HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
        )
    assert loopback.get(f"{shared.url}/note?after").text == "noted"
    assert [line for line in shared.lines("ran ") if "short" in line or "torn" in line] == []


def test_a_client_that_asks_first_is_told_to_continue(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(post(b"/echo", b"", b"Content-Length: 5", b"Expect: 100-continue"))
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"12345")
        assert body_of(read_all(connection))["length"] == 5


def test_a_body_that_is_announced_as_too_long_is_refused_before_it_is_sent(shared: Served) -> None:
    length = b"Content-Length: %d" % (bodies.MOST_BYTES + 1)
    answer = shared.exchange(post(b"/echo", b"", length, b"Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 500")  # of this application, which reads whatever there is


def test_a_chunked_body_that_grows_too_long_is_not_read_on(shared: Served) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(bodies.MOST_BYTES // len(BLOCK) + 1):
            yield BLOCK

    assert loopback.post(f"{shared.url}/echo", content=parts()).status_code == 500
    assert loopback.get(f"{shared.url}/note").text == "noted"


# --- Answers


def test_an_answer_that_is_whole_has_a_length(shared: Served) -> None:
    answer = loopback.get(f"{shared.url}/written")
    assert (answer.text, answer.headers["content-length"]) == ("written, then answered", "22")


def test_head_is_answered_like_get_without_a_body_and_the_connection_stays(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(b"HEAD /written HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length: 22\r\n" in read_until(connection, b"\r\n\r\n")
        connection.sendall(b"GET /written HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_does_not_make_what_would_be_streamed_but_closes_it(served: Served) -> None:
    assert httpx.head(f"{served.url}/endless").status_code == 200
    served.until_said("closed endless")
    assert served.lines("begun") == []


def test_an_answer_without_a_body_has_neither_body_nor_length(shared: Served) -> None:
    with shared.connect() as connection:
        connection.sendall(b"GET /not-modified HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = read_until(connection, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 304")
        assert b"content-length" not in answer
        connection.sendall(b"GET /written HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")


def test_http_1_0_gets_a_streamed_answer_with_a_length(shared: Served) -> None:
    """It knows no chunks."""
    shared.touch("go")
    answer = shared.exchange(b"GET /two-steps?go HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"one two"
    assert b"transfer-encoding" not in head


def test_a_file_arrives_byte_for_byte(shared: Served) -> None:
    answer = loopback.get(f"{shared.url}/file")
    assert answer.content == bytes(range(256)) * 4096
    assert answer.headers["content-length"] == str(256 * 4096)


def test_a_streamed_answer_comes_block_by_block(served: Served) -> None:
    with httpx.stream("GET", f"{served.url}/two-steps?go") as answer:
        blocks = answer.iter_raw()
        assert next(blocks) == b"one "
        served.touch("go")
        assert b"".join(blocks) == b"two"
    assert served.lines() == ["begun two-steps", "closed two-steps"]


def test_a_slow_reader_does_not_fill_the_memory_and_its_departure_ends_the_answer(served: Served) -> None:
    with served.connect() as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.recv(1000)
        made = until_steady(served)
        assert made * len(BLOCK) < 16 * 1024 * 1024  # what buffers of the system hold, mostly
        for _ in range(3 * made):
            received = 0
            while received < len(BLOCK):
                received += len(connection.recv(len(BLOCK) - received))
        served.until(
            lambda: len(served.lines("block")) > 2 * made, "the answer goes on when the client reads"
        )
        assert served.lines("closed") == []
    served.until_said("closed endless")
    made = len(served.lines("block"))
    assert loopback.get(f"{served.url}/note").text == "noted"
    assert len(served.lines("block")) == made


def until_steady(served: Served) -> int:
    """How many blocks have been made when no more are made."""
    made, before = len(served.lines("block")), -1
    while made != before:
        time.sleep(1)
        made, before = len(served.lines("block")), made
    return made


def test_variables_of_a_request_are_seen_by_its_blocks_and_by_nobody_else(shared: Served) -> None:
    answers = [loopback.get(f"{shared.url}/context?{name}").text for name in "abcdef"]
    assert answers == [f"nobody's {name} {name}" for name in "abcdef"]


# --- Errors


@pytest.mark.parametrize("query", [b"", b"exit"])
def test_an_exception_is_a_500_and_the_connection_stays(shared: Served, query: bytes) -> None:
    with shared.connect() as connection:
        connection.sendall(b"GET /fail?%s HTTP/1.1\r\nHost: a\r\n\r\n" % query)
        answer = read_until(connection, b"Internal Server Error")
        assert answer.startswith(b"HTTP/1.1 500 ")
        connection.sendall(b"GET /written HTTP/1.1\r\n" + CLOSE + b"\r\n")
        assert read_all(connection).endswith(b"then answered")


def test_an_exception_in_mid_answer_breaks_it_off_visibly(served: Served) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        loopback.get(f"{served.url}/fail-late")
    served.until_said("closed fail-late")
    assert loopback.get(f"{served.url}/note").text == "noted"


# --- Threads


def test_a_request_whose_client_left_before_a_thread_was_free_is_not_run(served: Served) -> None:
    with ThreadPoolExecutor(THREADS + 1) as pool:
        holding = [
            pool.submit(loopback.get, f"{served.url}/hold?go", timeout=PATIENCE_SECONDS)
            for _ in range(THREADS)
        ]
        served.until_said("holds", THREADS)
        with served.connect() as impatient:
            impatient.sendall(b"GET /note?impatient HTTP/1.1\r\nHost: a\r\n\r\n")
            served.stream_once()  # by when the event loop has seen the request
        waiting = pool.submit(loopback.get, f"{served.url}/note?patient", timeout=PATIENCE_SECONDS)
        served.stream_once()
        time.sleep(0.5)  # and that its client has gone
        assert served.lines("ran") == []
        served.touch("go")
        assert [each.result().text for each in holding] == ["held and let go"] * THREADS
        assert waiting.result().text == "noted"
    assert served.lines("ran") == ["ran patient"]


def test_clients_that_never_read_a_file_hold_no_thread(served: Served) -> None:
    """Every file under /static/ is for anybody: as many slow readers as there are threads stopped all pages."""
    readers = [served.connect() for _ in range(2 * THREADS)]
    try:
        for reader in readers:
            reader.sendall(b"GET /long-file HTTP/1.1\r\n" + CLOSE + b"\r\n")
        served.until_said("made long file", len(readers))
        assert loopback.get(f"{served.url}/note", timeout=PATIENCE_SECONDS / 2).text == "noted"
        received = read_all(readers[0]).partition(b"\r\n\r\n")[2]
        assert len(received) == LONG_BYTES
    finally:
        for reader in readers:
            reader.close()
    assert loopback.get(f"{served.url}/note").text == "noted"


# --- The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_mid_answer_finishes_it(served: Served, number: signal.Signals) -> None:
    with ThreadPoolExecutor(1) as pool, httpx.stream("GET", f"{served.url}/two-steps?go") as streamed:
        blocks = streamed.iter_raw()
        assert next(blocks) == b"one "
        whole = pool.submit(loopback.get, f"{served.url}/hold?go", timeout=PATIENCE_SECONDS)
        served.until_said("holds")
        served.stop(number)
        served.until(lambda: not _accepts(served), "no new connection is taken")
        assert served.process.poll() is None
        served.touch("go")
        assert b"".join(blocks) == b"two"
        assert whole.result().text == "held and let go"
    served.process.wait(PATIENCE_SECONDS)
    assert served.lines()[-1] == "stopped"


def _accepts(served: Served) -> bool:
    try:
        served.connect().close()
    except OSError:
        return False
    return True
