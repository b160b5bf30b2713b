"""What a control panel is answered, and that it can trust the answer."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import Organization
from licensing import issued_keys, keys, licenses, policies
from licensing.models import License, LicenseFeature, Policy
from superagent.foundation import tenancy
from tests.licensing.conftest import NOW

URL = "/api/v1/licenses/validate"


def ask(client: Client, **body: Any):
    return client.post(URL, json.dumps(body), content_type="application/json")


def use(license_: License, slug: str, used: int) -> None:
    with tenancy.system("test"):
        LicenseFeature.objects.filter(license=license_, slug=slug).update(used=used)


def test_a_valid_license_answers_what_remains(client: Client, license_: License, license_key: str) -> None:
    use(license_, "databases", 12)
    response = ask(client, license_key=license_key, feature="create_database", nonce="n-1")
    assert response.status_code == 200
    answer = response.json()
    assert isinstance(answer.pop("ts"), int)
    assert answer.pop("asked")["key_tail"] == license_.key_tail
    assert answer == {
        "valid": True,
        "code": "VALID",
        "detail": "Allowed: 38 of 50 databases left.",
        "feature": "databases",
        "limit": 50,
        "used": 12,
        "remaining": 38,
        "license": {
            "id": str(license_.pk),
            "status": "active",
            "plan": "nextpanel-professional",
            "expires_at": None,
            "suspends_at": None,
            "features": {"max_databases": 50, "max_domains": 25, "max_emails": 100},
            "used": {"databases": 12, "domains": 0, "emails": 0},
        },
        "nonce": "n-1",
    }


@pytest.mark.parametrize("name", ["databases", "create_database", "max_databases"])
def test_a_feature_goes_by_slug_action_or_limit(client: Client, license_key: str, name: str) -> None:
    assert ask(client, license_key=license_key, feature=name).json()["feature"] == "databases"


@pytest.mark.parametrize(
    ("used", "quantity", "code"),
    [(49, 1, "VALID"), (50, 1, "LIMIT_REACHED"), (48, 3, "LIMIT_REACHED"), (48, 2, "VALID")],
)
def test_the_last_unit_is_included(
    client: Client, license_: License, license_key: str, used: int, quantity: int, code: str
) -> None:
    use(license_, "databases", used)
    answer = ask(client, license_key=license_key, feature="databases", quantity=quantity).json()
    assert (answer["code"], answer["valid"], answer["remaining"]) == (code, code == "VALID", 50 - used)


def test_without_a_feature_only_the_state_is_asked(client: Client, license_key: str) -> None:
    answer = ask(client, license_key=license_key).json()
    assert (answer["code"], answer["feature"], answer["limit"]) == ("VALID", None, None)


def test_unknown_things_are_named(client: Client, license_key: str) -> None:
    unknown = ask(client, license_key=keys.generate("NP")).json()
    assert (unknown["code"], unknown["valid"], unknown["license"]) == ("NOT_FOUND", False, None)
    typing_error = ask(client, license_key=license_key[:-1] + ("X" if license_key[-1] != "X" else "Y")).json()
    assert typing_error["code"] == "NOT_FOUND"
    assert "typo" in typing_error["detail"]
    assert ask(client, license_key=license_key, feature="create_vm").json()["code"] == "FEATURE_NOT_INCLUDED"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": "pending"}, "PENDING"),
        ({"status": "suspended", "suspension_reason": "manual"}, "SUSPENDED"),
        ({"status": "revoked"}, "REVOKED"),
        ({"status": "expired"}, "EXPIRED"),
        ({"expires_at": NOW - timedelta(days=400)}, "EXPIRED"),
        ({"suspends_at": NOW - timedelta(days=400)}, "SUSPENDED"),
    ],
)
def test_a_stopped_license_says_how(
    client: Client, license_: License, license_key: str, fields: dict[str, Any], code: str
) -> None:
    with tenancy.system("test"):
        License.objects.filter(pk=license_.pk).update(**fields)
    answer = ask(client, license_key=license_key, feature="databases").json()
    assert (answer["valid"], answer["code"], answer["license"]["status"]) == (False, code, code.lower())


def test_a_suspension_holds_from_the_next_question_on(
    client: Client, license_: License, license_key: str
) -> None:
    assert ask(client, license_key=license_key).json()["code"] == "VALID"
    with tenancy.system("test"):
        licenses.suspend_for_payment(license_id=license_.pk, now=NOW)
    answer = ask(client, license_key=license_key).json()
    assert answer["code"] == "SUSPENDED"
    assert "works again once the payment arrives" in answer["detail"]


def test_an_expiry_follows_the_test_clock(client: Client, organization: Organization, make_license) -> None:
    license_ = make_license(organization, renews_at=NOW + timedelta(days=3650))
    key = issued_keys.reveal(license_=license_, actor=None)
    assert ask(client, license_key=key).json()["code"] == "VALID"
    with tenancy.system("test"):
        Organization.objects.filter(pk=organization.pk).update(test_clock_time=NOW + timedelta(days=3660))
    assert ask(client, license_key=key).json()["code"] == "EXPIRED"


def test_it_costs_one_query(client: Client, license_key: str, django_assert_num_queries) -> None:
    ask(client, license_key=license_key)
    with django_assert_num_queries(1):
        ask(client, license_key=license_key, feature="create_database")
    with django_assert_num_queries(0):
        ask(client, license_key="NP-not a key")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/license_key"),
        ({"license_key": ""}, "/license_key"),
        ({"license_key": "x", "quantity": 0}, "/quantity"),
        ({"license_key": "x", "quantity": "many"}, "/quantity"),
        ({"license_key": "x", "nonce": "with space"}, "/nonce"),
        ({"license_key": "x", "fingerprint": "f" * 200}, "/fingerprint"),
        ({"license_key": "x\u0000"}, "/license_key"),
    ],
)
def test_an_ill_formed_question_is_400_and_names_the_field(
    client: Client, db: None, body: dict[str, Any], pointer: str
) -> None:
    response = ask(client, **body)
    assert response.status_code == 400
    assert response["Content-Type"].startswith("application/problem+json")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


# --- Servers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def node_locked(organization: Organization, make_license) -> tuple[License, str]:
    """Two servers at a time, each heard of every 24 hours."""
    with tenancy.system("test"):
        Policy.objects.filter(product_slug="nextpanel-starter").update(
            max_activations=2, requires_activation=True, heartbeat_hours=24
        )
    license_ = make_license(organization, "nextpanel-starter")
    assert license_.policy == policies.of_product("nextpanel-starter")
    return license_, issued_keys.reveal(license_=license_, actor=None)


def post(client: Client, action: str, **body: Any):
    return client.post(f"/api/v1/licenses/{action}", json.dumps(body), content_type="application/json")


def test_a_node_locked_license_asks_which_server(client: Client, node_locked: tuple[License, str]) -> None:
    _, key = node_locked
    assert ask(client, license_key=key).json()["code"] == "FINGERPRINT_REQUIRED"
    assert ask(client, license_key=key, fingerprint="one").json()["code"] == "NOT_ACTIVATED"
    activated = post(client, "activate", license_key=key, fingerprint="one", label="web-1")
    assert (activated.status_code, activated.json()["activations"]) == (200, 1)
    assert ask(client, license_key=key, fingerprint="one").json()["code"] == "VALID"
    assert post(client, "activate", license_key=key, fingerprint="one").json()["activations"] == 1
    post(client, "activate", license_key=key, fingerprint="two")
    third = post(client, "activate", license_key=key, fingerprint="three")
    assert (third.status_code, third.json()["code"]) == (409, "TOO_MANY_ACTIVATIONS")
    assert ask(client, license_key=key, fingerprint="three").json()["code"] == "TOO_MANY_ACTIVATIONS"
    left = post(client, "deactivate", license_key=key, fingerprint="one")
    assert (left.status_code, left.json()["activations"], left.json()["max_activations"]) == (200, 1, 2)
    assert post(client, "activate", license_key=key, fingerprint="three").status_code == 200


def test_a_silent_server_makes_room(client: Client, node_locked: tuple[License, str]) -> None:
    license_, key = node_locked
    for name in ("one", "two"):
        post(client, "activate", license_key=key, fingerprint=name)
    with tenancy.system("test"):
        license_.activations.filter(fingerprint="one").update(last_heartbeat_at=NOW - timedelta(days=2))
    assert ask(client, license_key=key, fingerprint="one").json()["code"] == "HEARTBEAT_DEAD"
    dead = post(client, "heartbeat", license_key=key, fingerprint="one")
    assert (dead.status_code, dead.json()["code"]) == (409, "HEARTBEAT_DEAD")
    assert post(client, "activate", license_key=key, fingerprint="three").status_code == 200
    assert post(client, "heartbeat", license_key=key, fingerprint="two").status_code == 200
    with tenancy.system("test"):
        assert set(license_.activations.values_list("fingerprint", flat=True)) == {"two", "three"}
