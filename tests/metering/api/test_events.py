"""POST usage/events: how much one request may bring."""

from typing import Any

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Organization
from metering.usage import events
from tests.metering.conftest import Api, give, terms

MOST = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def batch(size: int) -> list[dict[str, Any]]:
    """As many events as may be, of `size` bytes in all."""
    rest = size // events.MAX_BATCH - 100
    return [
        {"event_id": f"e-{number}", "meter": "ai_tokens", "properties": {"text": "x" * rest}}
        for number in range(events.MAX_BATCH)
    ]


@pytest.mark.django_db
def test_a_batch_of_nearly_four_mebibytes_is_taken(organization: Organization, api: Api) -> None:
    give(organization, terms("ai_tokens", None))
    answer = api.post("usage/events", batch(MOST - 100_000))
    assert (answer.status_code, answer.json()["accepted"]) == (200, events.MAX_BATCH)


@pytest.mark.django_db
def test_a_larger_body_is_refused_with_the_limit_by_name(api: Api) -> None:
    answer = api.post("usage/events", b" " * (MOST + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["detail"] == f"Send at most {MOST:,} bytes, uncompressed."


def test_no_view_takes_more_than_django_lets_it_read() -> None:
    limits = {name: limit for name, limit in _limits(get_resolver()) if limit is not None}
    assert max(limits.values()) == MOST
    assert [name for name, limit in limits.items() if limit == MOST] == ["Events"]


def _limits(resolver: URLResolver) -> Any:
    for each in resolver.url_patterns:
        if isinstance(each, URLPattern):
            view = getattr(each.callback, "view_class", None)
            yield view.__name__ if view else "", getattr(view, "max_body_bytes", None)
        else:
            yield from _limits(each)
