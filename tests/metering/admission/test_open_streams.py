"""How many streams a caller may have open."""

from uuid import uuid4

import pytest

from metering.admission import counters, open_streams
from metering.admission.open_streams import TooManyStreams


def enter(organization: object, caller: object, stream: str) -> None:
    open_streams.enter(organization_id=organization, caller=caller, stream=stream)


def test_one_more_than_the_most_is_refused_until_one_is_closed() -> None:
    organization, caller = uuid4(), uuid4()
    for number in range(open_streams.MOST):
        enter(organization, caller, f"stream {number}")
    enter(organization, caller, "stream 0")  # is still open
    with pytest.raises(TooManyStreams) as refused:
        enter(organization, caller, "one more")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "30"})
    enter(organization, uuid4(), "of another caller")
    open_streams.leave(organization_id=organization, caller=caller, stream="stream 3")
    enter(organization, caller, "one more")


def test_a_stream_whose_process_was_killed_is_over_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    organization, caller = uuid4(), uuid4()
    for number in range(open_streams.MOST):
        enter(organization, caller, f"stream {number}")
    monkeypatch.setattr(open_streams, "SILENT_SECONDS", -1)  # so that all of them have been silent for longer
    enter(organization, caller, "one more")


def test_while_redis_is_lost_no_stream_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "MOST", 0)
    with pytest.raises(TooManyStreams):
        enter(uuid4(), uuid4(), "stream")

    def lose(*_: object) -> None:
        raise open_streams.LOST[0]("away")

    monkeypatch.setattr(open_streams.redis_wire, "run", lose)
    enter(uuid4(), uuid4(), "stream")
    assert counters.is_lost()
