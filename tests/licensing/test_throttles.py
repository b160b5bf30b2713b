"""Whoever asks too often is told to keep the last answer; whoever has a good key never pays for a neighbor."""

import json
from typing import Any

import pytest
import redis
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Organization
from licensing import issued_keys, keys
from superagent.foundation import redis_client
from tests.licensing.panel import Panel


def post(client: Client, endpoint: str, **body: Any):
    address = body.pop("address", "192.0.2.1")
    return client.post(
        f"/api/v1/licenses/{endpoint}",
        json.dumps(body),
        content_type="application/json",
        REMOTE_ADDR=address,
    )


def ask(client: Client, license_key: str, address: str = "192.0.2.1"):
    return post(client, "validate", license_key=license_key, address=address)


def guess(client: Client, times: int, address: str = "192.0.2.1") -> list[int]:
    return [ask(client, keys.generate("NP"), address).status_code for _ in range(times)]


SPELLINGS = (
    lambda key: key,
    str.lower,
    lambda key: key.replace("-", ""),
    lambda key: key.replace("-", " "),
    lambda key: key.replace("-", "\N{EN DASH}"),
    lambda key: key.replace("-", "\N{NON-BREAKING HYPHEN}"),
    lambda key: key.replace("-", "\N{MINUS SIGN}"),
    lambda key: key.replace("-", "\N{FULLWIDTH HYPHEN-MINUS}"),
    lambda key: key.replace("-", "\t"),
    lambda key: key.replace("-", "\N{NO-BREAK SPACE}"),
    lambda key: key.replace("-", "-\N{ZERO WIDTH SPACE}\N{SOFT HYPHEN}"),
    lambda key: key.replace("0", "O").replace("1", "l"),
    lambda key: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in key),
)


# --- One key


def test_being_limited_is_429_which_says_to_keep_the_last_answer(
    client: Client, license_key: str, settings
) -> None:
    settings.LICENSE_QUESTIONS_PER_KEY = 2
    first, second, refused = (ask(client, license_key) for _ in range(3))
    assert [first.json()["code"], second.json()["code"]] == ["VALID", "VALID"]
    assert first["RateLimit-Policy"] == '"key";q=2;w=60'
    assert first["RateLimit"].startswith('"key";r=1;t=')
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused["Content-Type"] == "application/problem+json"
    assert "Keep the last response" in refused.json()["detail"]
    assert "valid" not in refused.json()
    assert 1 <= int(refused["Retry-After"]) <= 30
    assert refused["RateLimit"].startswith('"key";r=0;t=')
    server = {"license_key": license_key, "fingerprint": "a"}
    for endpoint in ("activate", "heartbeat", "deactivate"):
        assert post(client, endpoint, **server).status_code == 429
    report = {"license_key": license_key, "feature": "databases", "delta": 1, "idempotency_key": "1"}
    assert post(client, "usage", **report).status_code == 429


def test_a_key_counts_as_one_however_it_is_written(client: Client, license_key: str, settings) -> None:
    settings.LICENSE_QUESTIONS_PER_KEY = len(SPELLINGS)
    assert [ask(client, spell(license_key)).status_code for spell in SPELLINGS] == [200] * len(SPELLINGS)
    assert ask(client, license_key).status_code == 429


def test_every_usual_way_of_writing_a_key_is_read(client: Client, license_key: str) -> None:
    codes = {spell(license_key): ask(client, spell(license_key)).json()["code"] for spell in SPELLINGS}
    assert set(codes.values()) == {"VALID"}, codes


@given(st.text("-\N{EM DASH}\N{EN DASH} \t\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}_", max_size=4))
def test_separators_do_not_matter(separator: str) -> None:
    key = keys.generate("NP")
    assert keys.canonical(key.replace("-", separator)) == keys.canonical(key)


def test_one_key_does_not_pay_for_another(
    client: Client, organization: Organization, make_license, license_key: str, settings
) -> None:
    settings.LICENSE_QUESTIONS_PER_KEY = 1
    neighbor = issued_keys.reveal(license_=make_license(organization), actor=None)
    assert [ask(client, neighbor).status_code for _ in range(2)] == [200, 429]
    assert ask(client, license_key).json()["code"] == "VALID"


# --- A network that asks for keys that nobody has


def test_a_good_key_is_answered_behind_a_network_that_guesses(
    client: Client, organization: Organization, make_license, license_key: str, settings
) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 3
    assert guess(client, 5) == [200, 200, 200, 429, 429]
    assert ask(client, license_key).json()["code"] == "VALID"
    never_asked_before = issued_keys.reveal(license_=make_license(organization), actor=None)
    assert ask(client, never_asked_before).json()["code"] == "VALID"
    server = {"license_key": license_key, "fingerprint": "a"}
    assert [post(client, name, **server).status_code for name in ("activate", "heartbeat")] == [200, 200]


def test_guesses_are_told_to_wait_and_what_it_was(client: Client, db: None, settings) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 1
    guess(client, 1)
    refused = ask(client, keys.generate("NP"))
    assert refused.json()["code"] == "rate_limited"
    assert refused["RateLimit-Policy"] == '"unknown-keys";q=1;w=60'
    assert 1 <= int(refused["Retry-After"]) <= 60


@pytest.mark.parametrize("endpoint", ["activate", "deactivate", "heartbeat", "usage", "validate"])
@pytest.mark.parametrize("key", [None, "NP-mistyped"])
def test_every_endpoint_counts_unknown_keys(
    client: Client, db: None, settings, endpoint: str, key: str | None
) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 2
    body: dict[str, Any] = {"fingerprint": "a"}
    if endpoint == "usage":
        body = {"feature": "databases", "delta": 1, "idempotency_key": "a"}
    statuses = [
        post(client, endpoint, license_key=key or keys.generate("NP"), **body).status_code for _ in range(3)
    ]
    found = 200 if endpoint == "validate" else 404
    assert statuses == [found, found, 429]


def test_an_ipv6_network_counts_as_one(client: Client, license_key: str, settings) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 3
    statuses = [ask(client, keys.generate("NP"), f"2001:db8::{n:x}").status_code for n in range(1, 6)]
    assert statuses == [200, 200, 200, 429, 429]
    assert ask(client, license_key, "2001:db8::9").json()["code"] == "VALID"
    assert ask(client, keys.generate("NP"), "2001:db8:0:1::1").status_code == 200


def test_a_site_with_many_ipv6_networks_is_limited_as_a_whole(
    client: Client, license_key: str, settings
) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 1
    statuses = [ask(client, keys.generate("NP"), f"2001:db8:0:{n:x}::1").status_code for n in range(17)]
    assert statuses == [200] * 16 + [429]
    assert ask(client, license_key, "2001:db8:0:99::1").json()["code"] == "VALID"


def test_one_network_does_not_pay_for_another(client: Client, db: None, settings) -> None:
    settings.LICENSE_UNKNOWN_PER_NETWORK = 1
    assert guess(client, 2) == [200, 429]
    assert guess(client, 1, address="198.51.100.7") == [200]


# --- Without Redis


def test_without_redis_questions_are_answered(client: Client, license_key: str, monkeypatch) -> None:
    lost = redis_client._Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(redis_client, "connection", lambda: lost)
    assert ask(client, license_key).json()["code"] == "VALID"
    assert ask(client, keys.generate("NP")).json()["code"] == "NOT_FOUND"
    assert isinstance(lost, redis.Redis)
    assert Panel(client).ask(license_key=license_key)["valid"] is True
