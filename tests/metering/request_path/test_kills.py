"""`kill -9` of a real web process under load: what was answered is in PostgreSQL, exactly once."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings

from accounts.models import Organization
from metering.admission import counters
from metering.models import RequestRecord, UsageEvent
from metering.request_path import backlog, shipping
from superagent.foundation import tenancy
from tests.fixtures.web import Web
from tests.metering.conftest import Api, give, quota_of, terms

pytestmark = [pytest.mark.verify, pytest.mark.timeout(300)]

CALLERS = 6
KILLS = 4


class Caller(threading.Thread):
    """Posts events and reads meters as fast as it can; remembers what was answered."""

    def __init__(self, name: int, web: Web, key: str, stop: threading.Event) -> None:
        super().__init__()
        self._number = name
        self._web = web
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._stop_event = stop
        self.answered: list[str] = []
        self.acknowledged: dict[str, int] = {}
        self.unexpected: list[tuple[int, bytes]] = []

    def run(self) -> None:
        number = 0
        while not self._stop_event.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._web.port, timeout=10)
            try:
                while not self._stop_event.is_set():
                    number += 1
                    self._call(connection, number)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)  # killed: what was not answered is nobody's
            finally:
                connection.close()

    def _call(self, connection: http.client.HTTPConnection, number: int) -> None:
        event_id, quantity = f"{self._number}-{number}", number % 7
        if number % 3:
            connection.request("GET", "/api/v1/usage/meters", headers=self._headers)
        else:
            body = json.dumps({"event_id": event_id, "meter": "ai_tokens", "quantity": quantity})
            connection.request("POST", "/api/v1/usage/events", body, self._headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            self.unexpected.append((response.status, content))
            return
        self.answered.append(response.headers["X-Request-Id"])
        if not number % 3:
            self.acknowledged[event_id] = quantity


@pytest.mark.django_db(transaction=True)
def test_kill_of_a_web_process_loses_nothing_that_was_answered(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1_000_000, hard=True), terms("ai_tokens", 10**9, rate="1"))
    web, stop = Web(API_RATE_PER_SECOND="100000", API_RATE_BURST="100000"), threading.Event()
    callers = [Caller(number, web, api.key, stop) for number in range(CALLERS)]
    web.start()
    for caller in callers:
        caller.start()
    try:
        for _ in range(KILLS):
            time.sleep(random.uniform(1.5, 3))
            web.kill()
            shipping.ship_all()
            web.start()
        time.sleep(1)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        web.kill()
    shipping.ship_all()
    assert shipping.ship_all() == 0
    assert list(settings.SPOOL_DIR.glob("*.spool")) == []

    answered = [request_id for caller in callers for request_id in caller.answered]
    acknowledged = {name: quantity for caller in callers for name, quantity in caller.acknowledged.items()}
    assert [each for caller in callers for each in caller.unexpected] == []
    assert len(answered) > 100
    with tenancy.system("test"):
        rows = list(RequestRecord.objects.values_list("request_id", flat=True))
        events = dict(UsageEvent.objects.values_list("event_id", "quantity"))
    assert len(rows) == len(set(rows))
    assert set(answered) <= set(rows)
    # Beyond what was answered: at most what each kill caught between the spool and the socket.
    assert len(rows) <= len(answered) + CALLERS * (KILLS + 1)
    assert acknowledged.items() <= events.items()
    assert len(events) <= len(acknowledged) + CALLERS * (KILLS + 1)
    assert quota_of(organization, "api_requests").used == len(rows)
    assert quota_of(organization, "ai_tokens").used == sum(events.values())
    with tenancy.system("test"):
        counters.reconcile(
            known_until=backlog.known_until(), quiet=timedelta(0)
        )  # units of requests that a kill caught before their answer
    assert counters.live_used(organization.pk)[1] == len(rows)
