"""Open streams end, and are settled, when their client leaves and when the server stops."""

from __future__ import annotations

import signal
import time

import httpx
import pytest

from tests.operations.serving.application import PATIENCE_SECONDS
from tests.operations.serving.conftest import Served


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_are_ended_and_settled_when_the_server_stops(
    served: Served, number: signal.Signals
) -> None:
    """The server's own time-out is twice our patience: a stream that waited for it would be noticed."""
    with (
        httpx.stream("GET", f"{served.url}/stream") as first,
        httpx.stream("GET", f"{served.url}/stream") as second,
    ):
        texts = [first.iter_text(), second.iter_text()]
        for text in texts:
            next(text)
        asked = time.monotonic()
        served.stop(number)
        for text in texts:
            list(text)  # ends without an error: the answer is complete
    served.process.wait(PATIENCE_SECONDS)
    assert time.monotonic() - asked < PATIENCE_SECONDS
    assert served.lines() == ["settled", "settled", "stopped"]


def test_a_departed_client_ends_its_stream(shared: Served) -> None:
    with httpx.stream("GET", f"{shared.url}/stream") as answer:
        next(answer.iter_text())
    shared.until_said("settled")
