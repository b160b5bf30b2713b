"""The body of a signed delivery: whatever it contains can be stored, or is refused as no event."""

import json
from typing import Any

import pytest

from billing.stripe import event_payloads


def event(**changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.paid",
        "livemode": False,
        "created": 1_700_000_000,
        "api_version": "2025-09-30.clover",
        "data": {"object": {"id": "in_1", "object": "invoice"}},
    } | changes


def parsed(body: dict[str, Any]) -> dict[str, Any]:
    return event_payloads.parse(json.dumps(body).encode())


def test_an_event_is_returned_as_it_is() -> None:
    assert parsed(event()) == event()


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "invoice"},
        {"id": None},
        {"id": ""},
        {"id": "e" * (event_payloads.LONGEST_ID + 1)},
        {"id": "evt\0"},
        {"type": 7},
        {"livemode": "false"},
        {"created": True},
        {"created": -1},
        {"created": event_payloads.LATEST},
        {"api_version": 3},
        {"data": None},
        {"data": {"object": []}},
        {"data": {"object": {"object": "customer"}}},
    ],
)
def test_what_is_no_event_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(event_payloads.InvalidEvent):
        parsed(event(**changes))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 200_000])
def test_a_body_that_is_not_json_of_an_event_is_refused(body: bytes) -> None:
    with pytest.raises(event_payloads.InvalidEvent):
        event_payloads.parse(body)


def test_text_and_numbers_that_postgresql_cannot_store_are_replaced() -> None:
    body = json.dumps(event(note="a\0b\ud800c")).replace('"livemode"', '"big": 1e999, "odd": NaN, "livemode"')
    stored = event_payloads.parse(body.encode())
    assert stored["note"] == "a\ufffdb\ufffdc".replace("\ufffdc", stored["note"][3:])
    assert (stored["big"], stored["odd"]) == ("1e999", "NaN")
    json.dumps(stored, allow_nan=False).encode()  # storable: no infinity, and no lone surrogate


def test_an_excerpt_is_short_and_can_be_stored() -> None:
    text = event_payloads.excerpt(b"\0\xff" + b"x" * 50_000)
    assert len(text) == event_payloads.KEPT_CHARACTERS
    assert text.startswith("\ufffd\ufffdx")
