"""A sandbox server in a process of its own, the real stripe client against it, and a receiver of webhooks."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from tests.fixtures import loopback
from tests.sandbox import conformance

KEY = "sk_test_sandboxsandboxsandbox00"
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true answer of `check`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@dataclass
class Server:
    """One sandbox process; it can be killed and started again on the same data."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir / "sandbox.log"

    def start(self) -> None:
        settings = {"SANDBOX_WEBHOOK_RETRY_SECONDS": "0.1", "SANDBOX_ENGINE_SECONDS": "0.1"} | self.env
        arguments = ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "superagent.sandbox", *arguments],
                cwd=ROOT,
                env={**os.environ, **settings},
                stderr=log,
            )
        eventually(self.is_up, 120)  # of a busy machine

    def is_up(self) -> bool:
        try:
            return loopback.get(self.url + "/health").status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class CheckedClient(stripe.HTTPXClient):
    """The real HTTP client, which checks every object that it receives."""

    problems: list[str] = []

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        body, status, answer_headers = super().request(method, url, headers, post_data)
        if status == 200:
            CheckedClient.problems += conformance.check(json.loads(body))
        return body, status, answer_headers


def client_for(server: Server, **options: Any) -> stripe.StripeClient:
    return stripe.StripeClient(
        KEY,
        base_addresses={"api": server.url},
        http_client=CheckedClient(timeout=10, allow_sync_methods=True, verify_ssl_certs=False),
        **options,
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("sandbox"))
    running.start()
    yield running
    problems = all_events_problems(running)
    running.kill()
    assert not problems, problems[:10]
    assert "Traceback" not in running.log.read_text()


def all_events_problems(running: Server) -> list[str]:
    """Check the object of every event that the whole run emitted."""
    problems: list[str] = []
    with loopback.Client(base_url=running.url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        params = {"limit": "100"}
        while True:
            page = http.get("/v1/events", params=params).json()
            for event in page["data"]:
                problems += conformance.check(event)
                problems += conformance.check(event["data"]["object"], event["type"])
            if not page["has_more"]:
                return problems
            params["starting_after"] = page["data"][-1]["id"]


@pytest.fixture
def client(server: Server) -> Iterator[stripe.StripeClient]:
    CheckedClient.problems.clear()
    yield client_for(server)
    assert not CheckedClient.problems, CheckedClient.problems[:10]


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    with loopback.Client(base_url=server.url, follow_redirects=False) as pages:
        yield pages


@dataclass
class Receiver:
    """An endpoint that keeps what it is sent. `answer` may be changed to fail."""

    url: str
    secret: str = ""
    answer: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    raw: list[tuple[bytes, str]] = field(default_factory=list)

    def types(self, **about: str) -> list[str]:
        return [event["type"] for event in self.received if _is_about(event, about)]

    def wait(self, event_type: str, **about: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next(
                (e for e in list(self.received) if e["type"] == event_type and _is_about(e, about)),
                None,
            )

        result: dict[str, Any] = eventually(found)
        return result

    def wait_for(self, *types: str, **about: str) -> None:
        """Wait until at least `types` arrived, each as often as it is named: they are delivered in no order."""
        eventually(lambda: Counter(types) <= Counter(self.types(**about)))


def _is_about(event: dict[str, Any], about: dict[str, str]) -> bool:
    obj = event["data"]["object"]
    return all(obj.get(name) == value for name, value in about.items())


@pytest.fixture
def receiver(client: stripe.StripeClient) -> Iterator[Receiver]:
    """A webhook endpoint registered for all events."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kept.answer == 200:
                kept.received.append(json.loads(body))
                kept.raw.append((body, self.headers["Stripe-Signature"]))
            self.send_response(kept.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Receiver(f"http://127.0.0.1:{web.server_port}/hook")
    threading.Thread(target=web.serve_forever, daemon=True).start()
    endpoint = client.v1.webhook_endpoints.create({"url": kept.url, "enabled_events": ["*"]})
    kept.secret = str(endpoint.secret)
    yield kept
    client.v1.webhook_endpoints.delete(endpoint.id)
    web.shutdown()
    problems = [problem for event in kept.received for problem in conformance.check(event["data"]["object"])]
    assert not problems, problems[:10]


@dataclass
class Shop:
    """Prices to sell and short ways to common states."""

    client: stripe.StripeClient
    monthly: stripe.Price
    yearly: stripe.Price
    business: stripe.Price
    once: stripe.Price
    product: stripe.Product

    def customer(self, number: str = "4242424242424242", **params: Any) -> stripe.Customer:
        """Return a customer with a default card."""
        customer = self.client.v1.customers.create({"email": "ada@example.com", "name": "Ada", **params})
        method = self.client.v1.payment_methods.create(
            {
                "type": "card",
                "card": {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"},
            }
        )
        self.client.v1.payment_methods.attach(method.id, {"customer": customer.id})
        return self.client.v1.customers.update(
            customer.id, {"invoice_settings": {"default_payment_method": method.id}}
        )

    def clock(self, start: int, **params: Any) -> Any:
        return self.client.v1.test_helpers.test_clocks.create({"frozen_time": start, **params})

    def advance(self, clock_id: str, to: int) -> Any:
        """Advance a clock and wait until it is ready."""
        clocks = self.client.v1.test_helpers.test_clocks
        clocks.advance(clock_id, {"frozen_time": to})
        clock = eventually(lambda: _ready(clocks.retrieve(clock_id)), 20)
        assert clock.status == "ready"
        return clock


def _ready(clock: Any) -> Any:
    return clock if clock.status != "advancing" else None


@pytest.fixture
def shop(client: stripe.StripeClient) -> Shop:
    product = client.v1.products.create({"name": "Pro"})
    prices = client.v1.prices

    def price(amount: int, interval: str | None = None) -> stripe.Price:
        recurring = {"recurring": {"interval": interval}} if interval else {}
        return prices.create({"product": product.id, "currency": "usd", "unit_amount": amount, **recurring})

    return Shop(
        client,
        price(2900, "month"),
        price(29000, "year"),
        price(29900, "month"),
        price(1000),
        product,
    )


def call(server: Server, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}", **options.pop("headers", {})}
    return httpx.request(method, server.url + path, headers=headers, timeout=10, **options)
