"""Stripe's JSON: times, references, and the dates in the text of invoice lines."""

from datetime import UTC, datetime

import pytest

from billing.stripe import reading


def test_a_moment_is_aware_utc() -> None:
    assert reading.moment(1_767_225_600) == datetime(2026, 1, 1, tzinfo=UTC)
    assert reading.moment(None) is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [(None, ""), ("cus_1", "cus_1"), ({"id": "cus_2", "object": "customer"}, "cus_2")],
)
def test_the_id_of_a_reference_expanded_or_not(reference: str | dict | None, expected: str) -> None:
    assert reading.identifier(reference) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Unused time on Pro after 21 Nov 2026", "Unused time on Pro after Nov 21, 2026"),
        ("Remaining time after 05 Jan 2027", "Remaining time after Jan 5, 2027"),
        ("1 × Pro (at $49.00 / month)", "1 × Pro (at $49.00 / month)"),
        ("Room 12 Mayfair 2026", "Room 12 Mayfair 2026"),
        (None, ""),
    ],
)
def test_the_dates_of_an_invoice_line_have_the_form_of_our_pages(text: str | None, expected: str) -> None:
    assert reading.description({"description": text}) == expected
