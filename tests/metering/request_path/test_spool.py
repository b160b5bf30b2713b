"""A disk that is full or refuses loses no request."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient

from accounts.models import Organization
from metering.request_path import backlog, spool
from tests.metering.conftest import Api, give, quota_of, terms
from tests.metering.request_path.test_shipping import line
from tests.metering.request_path.test_stopped_hosts import for_real, recorded, wait_until

pytestmark = pytest.mark.django_db


@contextmanager
def disk_of(length: int) -> Iterator[None]:
    """No file of this process grows beyond `length` bytes: the kernel takes a part of the last write, then none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_first_line_after_a_full_disk_is_not_lost(organization: Organization, tmp_path: Path) -> None:
    """Metering A7, operations D2."""
    room = 4 * 1024 * 1024  # more than anything else that this process writes to
    writer = spool.Writer(tmp_path)
    filler = line(organization, path="/" + "x" * 499)
    writer.append(filler * (room // len(filler) - 1))
    accepted = room // len(filler) - 1
    for episode in range(1, 4):
        with disk_of(room + episode * 1000):
            for _ in range(5):
                try:
                    writer.append(line(organization))
                    accepted += 1
                except OSError:
                    pass
        writer.append(line(organization))  # there is room again
        accepted += 1
    writer.close()
    texts = b"".join(segment.read_bytes() for segment in tmp_path.glob("*.spool")).split(b"\n")
    assert texts.pop() == b""
    assert len(texts) == accepted
    for text in texts:
        spool.SpoolLine.parse(text)


@for_real
def test_requests_go_past_a_spool_that_refuses_and_operators_are_told(
    organization: Organization, api: Api, settings: Any, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000, hard=True))
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"  # neither a directory nor to be made one
    refused = spool.refused_lines._value.get()
    assert [api.get("usage/meters").status_code for _ in range(3)] == [200] * 3
    assert recorded() == quota_of(organization, "api_requests").used == 3
    assert spool.refused_lines._value.get() - refused == 3
    assert any("spool cannot be written" in problem for problem in backlog.problems())


@for_real
def test_a_stream_goes_past_a_spool_that_refuses_too(
    organization: Organization, api: Api, settings: Any, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000))
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"

    async def scenario() -> None:
        headers = {"Authorization": f"Bearer {api.key}"}
        parts = (await AsyncClient().get("/api/v1/usage/stream", headers=headers)).streaming_content
        await anext(parts)
        await parts.aclose()

    asyncio.run(scenario())
    wait_until(lambda: recorded() == 1)
    assert quota_of(organization, "api_requests").used == 1
