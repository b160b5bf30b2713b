"""The scope under threads, asyncio, executors and streams, each against one shared pool of connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.http import StreamingHttpResponse

from accounts.models import ApiKey, Organization
from superagent.foundation import tenancy
from tests.fixtures.tenants import Pair, make_pair, visible

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 200


@pytest.fixture
def pair(transactional_db: None) -> Pair:
    return make_pair()


@pytest.fixture
def small_pool(pair: Pair) -> Iterator[None]:
    """Few connections for many threads, so that each one serves both tenants in turn."""
    connections.close_all()
    options = connection.settings_dict["OPTIONS"]
    kept = connection.settings_dict["CONN_MAX_AGE"]
    connection.settings_dict["CONN_MAX_AGE"] = 0
    options["pool"] = {"min_size": 1, "max_size": 2, "timeout": 30}
    yield
    connection.close()
    connection.close_pool()
    del options["pool"]
    connection.settings_dict["CONN_MAX_AGE"] = kept


def read(organization: Organization) -> str:
    try:
        with tenancy.tenant(organization):
            return visible()
    finally:
        connection.close()


def test_threads_that_share_connections(pair: Pair, small_pool: None) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        organization, expected = ((pair.a, "aaa"), (pair.b, "bbb"))[number % 2]
        try:
            with tenancy.tenant(organization):
                if number % 5 == 0:
                    with transaction.atomic():
                        found = visible()
                elif number % 7 == 0:
                    found = "".join(key.name for key in ApiKey.objects.iterator(chunk_size=1))
                else:
                    found = visible()
            if found != expected or visible() != "":
                wrong.append(f"{number}: {found}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(ROUNDS)))
    assert wrong == []


def test_a_new_thread_starts_without_a_scope(pair: Pair) -> None:
    found: list[str] = []

    def work() -> None:
        found.append(visible())
        connection.close()

    with tenancy.tenant(pair.a):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [""]


def test_an_activated_scope_does_not_stay_on_a_pooled_thread(pair: Pair) -> None:
    """As in a web server: the outermost middleware clears at both ends."""

    def request(organization: Organization | None) -> str:
        tenancy.clear()
        try:
            if organization:
                tenancy.activate(organization)
            return visible()
        finally:
            tenancy.clear()
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        assert list(threads.map(request, [pair.a, None, pair.b, None])) == ["aaa", "", "bbb", ""]


def test_interleaved_tasks(pair: Pair) -> None:
    async def work(number: int) -> bool:
        organization, expected = ((pair.a, "aaa"), (pair.b, "bbb"))[number % 2]
        found = []
        with tenancy.tenant(organization):
            for _ in range(3):
                await asyncio.sleep(0)
                found.append("".join([key.name async for key in ApiKey.objects.all()]))
                found.append(await sync_to_async(visible)())
        return found == [expected] * 6 and await ApiKey.objects.acount() == 0

    async def main() -> list[bool]:
        return await asyncio.gather(*(work(number) for number in range(40)))

    assert all(async_to_sync(main)())


def test_to_thread_inherits_the_scope(pair: Pair) -> None:
    async def main() -> str:
        with tenancy.tenant(pair.a):
            return await asyncio.to_thread(read, pair.a)

    assert async_to_sync(main)() == "aaa"


def test_a_task_keeps_the_scope_in_which_it_was_made(pair: Pair) -> None:
    async def main() -> list[str]:
        async def later() -> str:
            await asyncio.sleep(0.01)
            return await sync_to_async(visible)()

        with tenancy.tenant(pair.a):
            of_a = asyncio.create_task(later())
        with tenancy.tenant(pair.b):
            of_b = asyncio.create_task(later())
        of_nobody = asyncio.create_task(later())
        return [await of_a, await of_b, await of_nobody]

    assert async_to_sync(main)() == ["aaa", "bbb", ""]


class TestCarry:
    def parts(self) -> Iterator[str]:
        yield visible()
        yield visible()

    def test_a_stream_without_it_sees_nothing(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            stream = self.parts()
        assert list(stream) == ["", ""]

    def test_streams_of_two_tenants_interleaved(self, pair: Pair) -> None:
        with tenancy.tenant(pair.a):
            of_a = tenancy.carry(self.parts())
        with tenancy.tenant(pair.b):
            of_b = tenancy.carry(self.parts())
        found = []
        for part_a, part_b in zip(of_a, of_b, strict=True):
            found += [part_a, visible(), part_b, visible()]
        assert found == ["aaa", "", "bbb", ""] * 2

    def test_a_scope_opened_by_the_generator_does_not_leak_to_its_consumer(self, pair: Pair) -> None:
        def parts() -> Iterator[str]:
            with tenancy.system("test"):
                yield visible()
                yield visible()
            yield visible()

        with tenancy.tenant(pair.a):
            stream = tenancy.carry(parts())
        assert [(part, visible()) for part in stream] == [("aaabbb", ""), ("aaabbb", ""), ("aaa", "")]

    def test_closing_a_stream_runs_its_end_in_its_scope(self, pair: Pair) -> None:
        ends: list[str] = []

        def parts() -> Iterator[str]:
            try:
                yield visible()
            finally:
                ends.append(visible())

        with tenancy.tenant(pair.a):
            response = StreamingHttpResponse(tenancy.carry(parts()))
        assert next(iter(response)) == b"aaa"
        response.close()
        assert ends == ["aaa"]
        assert tenancy.current() == tenancy.NONE

    def test_async_streams_interleaved_and_cut_short(self, pair: Pair) -> None:
        ends: list[str] = []

        async def parts() -> AsyncIterator[str]:
            try:
                while True:
                    yield await sync_to_async(visible)()
            finally:
                ends.append(await sync_to_async(visible)())

        async def consume(stream: AsyncIterator[str]) -> list[str]:
            found = []
            async for part in stream:
                found += [part, await sync_to_async(visible)()]
                await asyncio.sleep(0)
                if len(found) == 6:
                    await stream.aclose()
                    return found
            return found

        async def main() -> list[list[str]]:
            with tenancy.tenant(pair.a):
                of_a = tenancy.carry(parts())
            with tenancy.tenant(pair.b):
                of_b = tenancy.carry(parts())
            return await asyncio.gather(consume(of_a), consume(of_b))

        assert async_to_sync(main)() == [["aaa", ""] * 3, ["bbb", ""] * 3]
        assert sorted(ends) == ["aaa", "bbb"]
