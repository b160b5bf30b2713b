"""Reports of use: the limit holds, a report sent again changes nothing, at any interleaving."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import Organization
from licensing import activations, issued_keys, licenses, usage
from licensing.models import FeatureUsage, License, LicenseFeature, Policy
from licensing.usage import LicenseRefused, LimitReached, Report
from superagent.foundation import tenancy
from superagent.foundation.idempotency import KeyReused
from superagent.foundation.problems import Invalid
from tests.licensing.conftest import NOW

LIMIT = 50  # databases of the professional tier


def used(license_: License, slug: str = "databases") -> int:
    with tenancy.system("test"):
        return LicenseFeature.objects.get(license=license_, slug=slug).used


def report(key: str, idempotency_key: str, delta: int | None = None, used: int | None = None):
    return usage.apply(
        Report(license_key=key, feature="databases", delta=delta, used=used, idempotency_key=idempotency_key)
    )


def post(client: Client, **body: Any):
    return client.post("/api/v1/licenses/usage", json.dumps(body), content_type="application/json")


def test_a_report_answers_what_remains(client: Client, license_: License, license_key: str) -> None:
    response = post(client, license_key=license_key, feature="create_database", delta=3, idempotency_key="a")
    assert response.status_code == 200
    figures = {"feature": "databases", "limit": 50, "used": 3, "remaining": 47}
    assert response.json().items() >= figures.items()
    again = post(client, license_key=license_key, feature="create_database", delta=3, idempotency_key="a")
    assert again.json().items() >= figures.items()
    other = post(client, license_key=license_key, feature="create_database", delta=4, idempotency_key="a")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert used(license_) == 3


def test_the_limit_is_409_and_the_key_may_be_used_again(
    client: Client, license_: License, license_key: str
) -> None:
    report(license_key, "fill", used=LIMIT)
    refused = post(client, license_key=license_key, feature="databases", delta=1, idempotency_key="late")
    assert (refused.status_code, refused.json()["code"]) == (409, "LIMIT_REACHED")
    assert refused.json()["remaining"] == 0
    report(license_key, "free", delta=-1)
    allowed = post(client, license_key=license_key, feature="databases", delta=1, idempotency_key="late")
    assert (allowed.status_code, allowed.json()["used"]) == (200, LIMIT)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"feature": "databases", "delta": 1}, "/idempotency_key"),
        ({"feature": "databases", "idempotency_key": "a"}, ""),
        ({"feature": "databases", "delta": 1, "used": 1, "idempotency_key": "a"}, ""),
        ({"feature": "databases", "delta": 0, "idempotency_key": "a"}, "/delta"),
        ({"feature": "databases", "used": -1, "idempotency_key": "a"}, "/used"),
        ({"delta": 1, "idempotency_key": "a"}, "/feature"),
    ],
)
def test_bad_reports_name_the_field(
    client: Client, license_key: str, body: dict[str, Any], pointer: str
) -> None:
    response = post(client, license_key=license_key, **body)
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_the_key_of_a_report_may_come_in_the_header(
    client: Client, license_: License, license_key: str
) -> None:
    body = json.dumps({"license_key": license_key, "feature": "databases", "delta": 3})
    send = partial(client.post, "/api/v1/licenses/usage", content_type="application/json")
    for _ in range(2):
        assert send(body, headers={"Idempotency-Key": "report-1"}).json()["used"] == 3
    own = json.dumps(json.loads(body) | {"idempotency_key": "report-2"})
    differs = send(own, headers={"Idempotency-Key": "report-3"})
    assert (differs.status_code, differs.json()["errors"][0]["pointer"]) == (400, "/idempotency_key")
    assert send(own, headers={"Idempotency-Key": "report-2"}).json()["used"] == 6
    assert used(license_) == 6


def test_more_cannot_be_given_back_than_is_used(license_: License, license_key: str) -> None:
    report(license_key, "a", delta=2)
    with pytest.raises(Invalid, match="Only 2 databases"):
        report(license_key, "b", delta=-3)
    assert used(license_) == 2


def test_a_stopped_license_takes_decreases_only(license_: License, license_key: str) -> None:
    report(license_key, "a", delta=5)
    with tenancy.system("test"):
        licenses.suspend_for_payment(license_id=license_.pk, now=NOW)
    with pytest.raises(LicenseRefused) as refusal:
        report(license_key, "b", delta=1)
    assert refusal.value.code == "SUSPENDED"
    with pytest.raises(LicenseRefused):
        report(license_key, "c", used=6)
    assert report(license_key, "d", delta=-1).used == 4
    assert report(license_key, "e", used=2).used == 2


def test_a_smaller_tier_can_shrink_but_not_grow(license_: License, license_key: str) -> None:
    report(license_key, "a", delta=40)
    with tenancy.system("test"):
        LicenseFeature.objects.filter(license=license_, slug="databases").update(limit=10)
    assert report(license_key, "b", delta=-1).used == 39
    assert report(license_key, "c", used=20).used == 20
    with pytest.raises(LimitReached):
        report(license_key, "d", used=21)


def test_an_unlimited_feature_counts(license_: License, license_key: str) -> None:
    with tenancy.system("test"):
        LicenseFeature.objects.filter(license=license_, slug="databases").update(limit=None)
    standing = report(license_key, "a", delta=1000)
    assert (standing.used, standing.limit, standing.remaining) == (1000, None, None)


def test_an_unknown_key_is_404_and_an_unknown_feature_409(client: Client, license_key: str) -> None:
    assert (
        post(client, license_key="NP-1", feature="databases", delta=1, idempotency_key="a").status_code == 404
    )
    response = post(client, license_key=license_key, feature="vms", delta=1, idempotency_key="a")
    assert (response.status_code, response.json()["code"]) == (409, "FEATURE_NOT_INCLUDED")


steps = st.lists(
    st.tuples(
        st.sampled_from(["delta", "used"]),
        st.integers(-60, 60),
        st.sampled_from("abcdefghijklmnopqrstuvwxyz"),
    ),
    max_size=30,
)


@given(steps)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_use_follows_a_simple_model(organization: Organization, make_license, steps: list[Any]) -> None:
    """Against a counter in Python: never above the limit, never below zero, each key once."""
    license_ = make_license(organization)
    key = issued_keys.reveal(license_=license_, actor=None)
    count, seen = 0, {}
    for kind, number, idempotency_key in steps:
        if (kind == "used" and number < 0) or (kind == "delta" and number == 0):
            continue
        target = count + number if kind == "delta" else number
        body = {kind: number}
        try:
            standing = report(key, idempotency_key, **body)
        except KeyReused:
            assert seen[idempotency_key][0] != body
        except LimitReached:
            assert idempotency_key not in seen and target > LIMIT and target > count
        except Invalid:
            assert idempotency_key not in seen and target < 0
        else:
            if idempotency_key in seen:
                assert seen[idempotency_key] == (body, standing.used)
            else:
                assert standing.used == target
                count = target
                seen[idempotency_key] = (body, target)
        assert 0 <= count <= LIMIT
    assert used(license_) == count


# --- Races, with real threads and real commits ------------------------------------------------------------------------


def at_once(number: int, work) -> list[Any]:
    """Run `work(index)` in as many threads, started together; answers results and exceptions."""
    gate = threading.Barrier(number)

    def run(index: int) -> Any:
        try:
            gate.wait()
            return work(index)
        except Exception as error:  # noqa: BLE001 - the outcome is what the test looks at
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@pytest.mark.django_db(transaction=True)
def test_of_many_reports_for_the_last_unit_one_is_taken(organization: Organization, make_license) -> None:
    license_ = make_license(organization)
    key = issued_keys.reveal(license_=license_, actor=None)
    report(key, "fill", used=LIMIT - 1)
    outcomes = at_once(8, lambda index: report(key, f"race-{index}", delta=1))
    assert sum(isinstance(outcome, usage.FeatureBalance) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 7
    assert used(license_) == LIMIT


@pytest.mark.django_db(transaction=True)
def test_one_report_sent_many_times_at_once_counts_once(organization: Organization, make_license) -> None:
    license_ = make_license(organization)
    key = issued_keys.reveal(license_=license_, actor=None)
    outcomes = at_once(8, lambda index: report(key, "same", delta=2))
    assert {outcome.used for outcome in outcomes} == {2}
    assert used(license_) == 2
    with tenancy.system("test"):
        assert FeatureUsage.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_five_servers_at_once_get_one_activation(organization: Organization, make_license) -> None:
    with tenancy.system("test"):
        Policy.objects.filter(product_slug="nextpanel-starter").update(max_activations=1)
    license_ = make_license(organization, "nextpanel-starter")
    key = issued_keys.reveal(license_=license_, actor=None)
    outcomes = at_once(
        5, lambda index: activations.activate(license_key=key, fingerprint=f"server-{index}", label="")
    )
    assert sum(isinstance(outcome, activations.Seat) for outcome in outcomes) == 1
    refusals = [outcome for outcome in outcomes if isinstance(outcome, LicenseRefused)]
    assert [refusal.code for refusal in refusals] == ["TOO_MANY_ACTIVATIONS"] * 4


@pytest.mark.django_db(transaction=True)
def test_an_order_item_paid_twice_at_once_gives_one_license(organization: Organization) -> None:
    from licensing import policies
    from tests.licensing.orders import paid_item

    item = paid_item(organization, "nextpanel-starter")

    def issue(index: int) -> License:
        with tenancy.system("test"):
            policy = policies.of_product("nextpanel-starter")
            return licenses.issue(organization=organization, policy=policy, order_item_id=item.pk, now=NOW)

    outcomes = at_once(5, issue)
    assert len({outcome.pk for outcome in outcomes}) == 1
    with tenancy.system("test"):
        assert License.objects.count() == 1
        assert LicenseFeature.objects.count() == 3
