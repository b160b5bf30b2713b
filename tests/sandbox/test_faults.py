"""Faults that are switched on: how Stripe fails, and that the same key finds the first result."""

import threading
import time
import uuid
from typing import Any

import pytest
import stripe

from tests.fixtures import loopback
from tests.sandbox.conftest import Server, call, client_for


def switch(server: Server, **fault: Any) -> None:
    assert loopback.post(server.url + "/_sandbox/stripe/faults", json=fault).status_code == 200


def test_time_out_after_the_work_was_done(server: Server) -> None:
    """The client cannot know; the same key finds the first result."""
    email = f"{uuid.uuid4()}@example.com"
    switch(server, kind="timeout_after", match={"method": "POST", "path": "/v1/customers"}, seconds=0.2)
    client, options = client_for(server), {"idempotency_key": email}
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({"email": email}, options=options)
    again = client.v1.customers.create({"email": email}, options=options)
    assert [c.id for c in client.v1.customers.list({"email": email}).data] == [again.id]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("error_500", stripe.APIError),
        ("rate_limited", stripe.RateLimitError),
        ("refuse", stripe.APIConnectionError),
    ],
)
def test_other_faults_happen_as_often_as_asked(server: Server, kind: str, error: type[Exception]) -> None:
    email = f"{uuid.uuid4()}@example.com"
    client = client_for(server)
    switch(server, kind=kind, match={"method": "POST", "path": "/v1/customers"}, times=2)
    for _ in range(2):
        with pytest.raises(error):
            client.v1.customers.create({"email": email})
    client.v1.customers.create({"email": email})
    assert len(client.v1.customers.list({"email": email}).data) == 1


def test_slow_and_cleared(server: Server) -> None:
    switch(server, kind="slow", seconds=0.3, times=1)
    started = time.monotonic()
    call(server, "GET", "/v1/account")
    assert time.monotonic() - started >= 0.3
    switch(server, kind="error_500", times=100)
    assert loopback.delete(server.url + "/_sandbox/stripe/faults").json()["requests"] == []
    assert call(server, "GET", "/v1/account").status_code == 200
    assert (
        loopback.post(server.url + "/_sandbox/stripe/faults", json={"kind": "earthquake"}).status_code == 400
    )


def test_one_key_from_many_threads_makes_one_customer(server: Server) -> None:
    email = f"{uuid.uuid4()}@example.com"
    client = client_for(server)
    threads = [
        threading.Thread(
            target=lambda: client.v1.customers.create({"email": email}, options={"idempotency_key": email})
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.v1.customers.list({"email": email}).data) == 1
