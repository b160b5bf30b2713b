"""The stream, through Django's own ASGI handler."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncClient
from django.utils import timezone

from accounts import api_keys, sessions
from accounts.models import ApiKey, Membership, Organization
from metering.admission import open_streams
from metering.api import stream as module
from metering.models import RequestRecord
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, terms
from tests.metering.test_pages import signed_in


async def next_event(parts: AsyncIterator[bytes]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        async for part in parts:
            if b"event: usage" in part:
                lines = dict(line.split(": ", 1) for line in part.decode().strip().splitlines())
                return {"id": lines["id"], "data": json.loads(lines["data"])}
    raise AssertionError("the stream ended")


def used(event: dict[str, Any], meter: str) -> int:
    return next(each["used"] for each in event["data"]["meters"] if each["meter"] == meter)


@pytest.mark.django_db(transaction=True)
def test_counters_arrive_when_they_change_and_the_stream_is_metered_at_its_end(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    give(organization, terms("api_requests", 1000, hard=True), terms("ai_tokens", 100))

    async def scenario() -> None:
        headers = {"Authorization": f"Bearer {api.key}"}
        response = await AsyncClient().get("/api/v1/usage/stream", headers=headers)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Content-Encoding"] == "identity"
        parts = response.streaming_content
        first = await next_event(parts)
        assert (used(first, "api_requests"), used(first, "ai_tokens")) == (1, 0)
        event = {"event_id": "e", "meter": "ai_tokens", "quantity": 5}
        await sync_to_async(api.post, thread_sensitive=False)("usage/events", event)
        while used(latest := await next_event(parts), "ai_tokens") != 5:
            pass
        assert used(latest, "api_requests") == 2
        await parts.aclose()

    asyncio.run(scenario())
    shipping.ship_all()
    with tenancy.system("test"):
        row = RequestRecord.objects.get(endpoint="/api/v1/usage/stream")
    assert (row.status, row.is_counted) == (200, True)
    assert row.response_bytes > 100


@pytest.mark.django_db(transaction=True)
def test_who_may_not_stream(organization: Organization) -> None:
    give(organization, terms("api_requests", 1, hard=True))
    limited, exhausted = new_key(organization, "quotas:read"), new_key(organization)
    assert exhausted.get("usage/meters").status_code == 200

    async def status(headers: dict[str, str]) -> int:
        response = await AsyncClient().get("/api/v1/usage/stream", headers=headers)
        return response.status_code

    async def scenario() -> list[int]:
        return [
            await status({}),
            await status({"Authorization": "Bearer sa_test_wrong"}),
            await status({"Authorization": f"Bearer {limited.key}"}),
            await status({"Authorization": f"Bearer {exhausted.key}"}),
        ]

    assert asyncio.run(scenario()) == [401, 401, 403, 429]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key, age", [
    (sessions.SEEN_KEY, sessions.IDLE_LIFETIME), (sessions.BEGAN_KEY, sessions.LIFETIME),
])  # fmt: skip
def test_a_session_that_rests_or_lasts_too_long_streams_no_more(
    organization: Organization, monkeypatch: pytest.MonkeyPatch, key: str, age: timedelta
) -> None:
    give(organization, terms("ai_tokens", 100))
    browser = signed_in(organization)
    browser.get("/usage/")
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "ADMISSION_SECONDS", 0.1)

    def rest() -> None:
        session = browser.session
        session[key] = (timezone.now() - age - timedelta(minutes=1)).timestamp()
        session.save()
        connection.close()  # this thread's, which outlives the test

    async def scenario() -> int:
        client = AsyncClient()
        client.cookies["sessionid"] = browser.cookies["sessionid"].value
        response = await client.get("/api/v1/usage/stream")
        await next_event(response.streaming_content)
        await sync_to_async(rest)()
        async with asyncio.timeout(20):
            async for _ in response.streaming_content:
                pass  # it ends
        return (await client.get("/api/v1/usage/stream")).status_code

    assert asyncio.run(scenario()) == 401


@pytest.mark.django_db(transaction=True)
def test_a_stream_of_a_tab_left_open_is_no_sign_that_somebody_is_there(organization: Organization) -> None:
    give(organization, terms("ai_tokens", 100))
    browser = signed_in(organization)
    session = browser.session
    session[sessions.SEEN_KEY] = before = (timezone.now() - timedelta(days=2)).timestamp()
    session.save()

    async def scenario() -> None:
        client = AsyncClient()
        client.cookies["sessionid"] = browser.cookies["sessionid"].value
        response = await client.get("/api/v1/usage/stream")
        await next_event(response.streaming_content)
        await response.streaming_content.aclose()

    asyncio.run(scenario())
    assert browser.session[sessions.SEEN_KEY] == before


@pytest.mark.django_db(transaction=True)
def test_the_portal_streams_by_its_session_and_is_not_metered(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(organization, terms("ai_tokens", 100))
    cookie = signed_in(organization).cookies["sessionid"].value

    async def scenario() -> None:
        client = AsyncClient()
        client.cookies["sessionid"] = cookie
        response = await client.get("/api/v1/usage/stream")
        assert response.status_code == 200
        event = await next_event(response.streaming_content)
        assert [each["meter"] for each in event["data"]["meters"]] == ["ai_tokens"]
        await response.streaming_content.aclose()
        again = await client.get("/api/v1/usage/stream", headers={"Last-Event-ID": event["id"]})
        monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
        monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)
        parts = again.streaming_content
        assert b"retry" in await anext(parts)
        assert await anext(parts) == b": still here\n\n"
        await parts.aclose()

    asyncio.run(scenario())
    assert shipping.ship_all() == 0


@pytest.mark.django_db(transaction=True)
def test_a_stream_ends_when_its_key_is_revoked_or_its_member_removed(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(organization, terms("ai_tokens", 100))
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "ADMISSION_SECONDS", 0.1)
    cookie = signed_in(organization).cookies["sessionid"].value

    def shut_out() -> None:
        with tenancy.tenant(organization):
            for key in ApiKey.objects.visible_to(organization):
                api_keys.revoke(organization=organization, key_id=key.pk, revoked_by=None, now=timezone.now())
            Membership.objects.visible_to(organization).delete()

    async def scenario() -> None:
        member, caller = AsyncClient(), AsyncClient()
        member.cookies["sessionid"] = cookie
        streams = [
            (await member.get("/api/v1/usage/stream")).streaming_content,
            (
                await caller.get("/api/v1/usage/stream", headers={"Authorization": f"Bearer {api.key}"})
            ).streaming_content,
        ]
        for parts in streams:
            await next_event(parts)
        await sync_to_async(shut_out)()
        for parts in streams:
            with pytest.raises(AssertionError, match="the stream ended"):
                await next_event(parts)

    asyncio.run(scenario())


@pytest.mark.django_db(transaction=True)
def test_a_key_has_only_so_many_streams_open_at_once(organization: Organization, api: Api) -> None:
    """Security L13."""
    give(organization, terms("api_requests", 1000, hard=True))
    other = new_key(organization)

    async def scenario() -> None:
        client, headers = AsyncClient(), {"Authorization": f"Bearer {api.key}"}
        streams = [
            await client.get("/api/v1/usage/stream", headers=headers) for _ in range(open_streams.MOST)
        ]
        assert {response.status_code for response in streams} == {200}
        refused = await client.get("/api/v1/usage/stream", headers=headers)
        assert (refused.status_code, json.loads(refused.content)["code"]) == (429, "too_many_streams")
        assert int(refused.headers["Retry-After"]) > 0
        theirs = await client.get("/api/v1/usage/stream", headers={"Authorization": f"Bearer {other.key}"})
        assert theirs.status_code == 200
        await sync_to_async(streams[0].close)()  # as the server does at the end
        assert (await client.get("/api/v1/usage/stream", headers=headers)).status_code == 200

    asyncio.run(scenario())
