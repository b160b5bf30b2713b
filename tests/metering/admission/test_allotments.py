"""A hard quota while Redis is flushed, killed, hung, restored and failed over under two web processes: real ones.

The bound is zero: not one request beyond the limit, whatever happened. What a counter held when it was lost is held
back until nothing can come back from it, so that in the end all units are given out, and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import Organization
from metering.admission import allotments, counters
from metering.models import Quota
from metering.request_path import shipping
from superagent.foundation import tenancy
from tests.fixtures.redis_servers import Redis, Way
from tests.fixtures.web import Web
from tests.metering.conftest import Api, give, quota_of, terms

pytestmark = [pytest.mark.verify, pytest.mark.timeout(300)]

LIMIT = 400
PAUSE_AFTER_A_LOSS = counters.RETRY_REDIS_AFTER_SECONDS + 0.5


@dataclass
class Stage:
    """Two hosts with a web process each, a Redis and one that could take over."""

    first: Web
    second: Web
    server: Redis
    other: Redis
    first_way: Way
    second_way: Way
    folder: Path
    key: str
    answers: list[int] = field(default_factory=list)

    def call(self, web: Web, times: int) -> None:
        self.answers.extend(web.get("/api/v1/usage/meters", key=self.key) for _ in range(times))

    def storm(self, times: int) -> None:
        """From both at once, four threads each."""
        threads = [
            threading.Thread(target=self.call, args=(web, times))
            for web in (self.first, self.second)
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @property
    def admitted(self) -> int:
        return self.answers.count(200)


@pytest.fixture
def stage(tmp_path: Path, organization: Organization, api: Api) -> Iterator[Stage]:
    give(organization, terms("api_requests", LIMIT, hard=True))
    server, other = Redis(tmp_path / "one"), Redis(tmp_path / "other")
    for each in (server, other):
        each.start()
    first_way, second_way = Way(server), Way(server)
    webs = [
        Web(REDIS_URL=way.url, SPOOL_DIR=str(settings.SPOOL_DIR / name))
        for way, name in ((first_way, "first"), (second_way, "second"))
    ]
    for web in webs:
        web.start()
    yield Stage(webs[0], webs[1], server, other, first_way, second_way, tmp_path, api.key)
    for web in webs:
        web.kill()
    for way in (first_way, second_way):
        way.close()
    for each in (server, other):
        each.go_on()
        each.kill()


def nothing_happens(stage: Stage) -> None:
    stage.storm(20)


def redis_is_flushed(stage: Stage) -> None:
    stage.storm(20)
    stage.server.flush()
    stage.storm(10)
    stage.server.flush()


def redis_is_killed_and_comes_back(stage: Stage) -> None:
    """Metering A3. The second process has no call while Redis is away, so it notices nothing but the reconnection."""
    stage.storm(20)
    stage.server.kill()
    stage.call(stage.first, 60)
    stage.server.start()
    stage.call(stage.second, 100)


def redis_hangs(stage: Stage) -> None:
    stage.storm(20)
    stage.server.hang()
    stage.call(stage.first, 30)
    stage.server.go_on()
    stage.call(stage.second, 60)


def redis_comes_back_with_an_old_file(stage: Stage) -> None:
    stage.storm(10)
    stage.server.keep_copy(stage.folder / "copy")
    stage.storm(15)
    stage.server.kill()
    stage.call(stage.first, 20)
    stage.server.bring_back(stage.folder / "copy")
    stage.call(stage.second, 100)


def a_replica_takes_over_and_both_go_on(stage: Stage) -> None:
    """It knows nothing of the last requests; one host still talks to the former master; at last all return to that."""
    stage.storm(10)
    stage.other.follow(stage.server)
    stage.other.lead()
    stage.storm(10)
    stage.second_way.lead_to(stage.other)
    stage.storm(15)
    stage.second_way.lead_to(stage.server)
    stage.storm(5)


def the_former_master_follows_and_leads_again(stage: Stage) -> None:
    """Its run id is the same, and its counter is the one that the other knew when it took over."""
    stage.storm(10)
    stage.other.follow(stage.server)
    stage.other.lead()
    stage.storm(15)
    stage.server.follow(stage.other)
    stage.server.lead()
    for way in (stage.first_way, stage.second_way):
        way.lead_to(stage.server)
    stage.storm(10)


def one_host_cannot_reach_redis(stage: Stage) -> None:
    stage.storm(10)
    stage.other.kill()
    stage.second_way.lead_to(stage.other)
    stage.storm(15)
    stage.other.start()


def a_host_is_killed_with_its_spool(stage: Stage) -> None:
    stage.storm(20)
    stage.second.kill()
    stage.server.flush()
    stage.call(stage.first, 100)
    stage.second.start()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "happening",
    [
        nothing_happens,
        redis_is_flushed,
        redis_is_killed_and_comes_back,
        redis_hangs,
        redis_comes_back_with_an_old_file,
        a_replica_takes_over_and_both_go_on,
        the_former_master_follows_and_leads_again,
        one_host_cannot_reach_redis,
        a_host_is_killed_with_its_spool,
    ],
    ids=lambda each: each.__name__,
)
def test_a_hard_quota_is_given_out_to_the_last_unit_and_not_beyond(
    stage: Stage, organization: Organization, happening: Callable[[Stage], None]
) -> None:
    happening(stage)
    stage.storm(LIMIT // 8)
    time.sleep(PAUSE_AFTER_A_LOSS)
    stage.storm(20)
    assert set(stage.answers) == {200, 429}
    assert stage.admitted <= LIMIT
    ship()
    quota, held = state_of(organization)
    assert quota.used == stage.admitted
    assert quota.used + held == LIMIT
    with tenancy.system("test"):
        allotments.reclaim(known_until=timezone.now() + timedelta(hours=1))
    time.sleep(PAUSE_AFTER_A_LOSS)
    stage.storm(LIMIT // 8)
    ship()
    assert stage.admitted == quota_of(organization, "api_requests").used == LIMIT
    assert state_of(organization)[1] == 0


def ship() -> None:
    for name in ("first", "second"):
        shipping.ship_all(settings.SPOOL_DIR / name)


def state_of(organization: Organization) -> tuple[Quota, int]:
    quota = quota_of(organization, "api_requests")
    with tenancy.system("test"):
        return quota, allotments.held(quota)
