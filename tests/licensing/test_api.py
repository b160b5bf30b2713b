"""Licenses as members and their programs read them."""

import pytest

from accounts.models import AuditEntry, Organization
from accounts.roles import Role, Scope
from licensing import vault
from licensing.models import License
from licensing.subscriptions import issue_for
from superagent.foundation import tenancy
from tests.accounts.conftest import api_of, founded, join, key_of, person
from tests.licensing.conftest import NOW
from tests.licensing.orders import paid_item, subscribe


@pytest.fixture
def acme(db: None) -> Organization:
    return founded("Acme", person("olga@acme.example"))


@pytest.fixture
def globex(db: None) -> Organization:
    return founded("Globex", person("gus@globex.example"))


def test_the_list_masks_keys(acme: Organization, make_license) -> None:
    first, second = make_license(acme, "nextpanel-starter"), make_license(acme)
    answer = key_of(acme, Scope.LICENSES_READ).get("licenses").json()
    assert [entry["id"] for entry in answer["data"]] == [str(second.pk), str(first.pk)]
    entry = answer["data"][0]
    assert (entry["product"], entry["status"]) == ("nextpanel-professional", "active")
    assert entry["masked_key"] == second.masked_key
    assert "license_key" not in entry
    assert entry["features"][0] == {
        "feature": "databases",
        "action": "create_database",
        "name": "Databases",
        "limit": 50,
        "used": 0,
        "remaining": 50,
    }


def test_the_list_costs_the_same_for_one_and_for_many(
    acme: Organization, make_license, django_assert_max_num_queries
):
    api = key_of(acme, Scope.LICENSES_READ)
    for _ in range(5):
        make_license(acme)
    api.get("licenses")
    with django_assert_max_num_queries(3):
        assert len(api.get("licenses").json()["data"]) == 5


def test_partial_answers_and_filters(acme: Organization, make_license) -> None:
    make_license(acme)
    api = key_of(acme, Scope.LICENSES_READ)
    assert list(api.get("licenses?fields=id,status").json()["data"][0]) == ["id", "status"]
    assert api.get("licenses?status=revoked").json()["data"] == []
    assert api.get("licenses?fields=secret").status_code == 400


def test_the_whole_key_is_for_those_who_manage_licenses(acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    reader = key_of(acme, Scope.LICENSES_READ).get(f"licenses/{license_.pk}").json()
    assert reader["license_key"] is None
    writer = key_of(acme, Scope.LICENSES_READ, Scope.LICENSES_WRITE).get(f"licenses/{license_.pk}")
    assert writer.json()["license_key"].endswith(license_.key_tail)
    assert writer["Cache-Control"] == "no-store"
    with tenancy.system("test"):
        assert AuditEntry.objects.filter(action="license.key_revealed", organization=acme).count() == 1


def revealed(organization: Organization) -> int:
    with tenancy.system("test"):
        return AuditEntry.objects.filter(action="license.key_revealed", organization=organization).count()


def test_reading_a_license_without_its_key_writes_nothing(acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    api = key_of(acme, Scope.LICENSES_READ, Scope.LICENSES_WRITE)
    for _ in range(3):
        assert api.get(f"licenses/{license_.pk}?fields=id,status").json() == {
            "id": str(license_.pk),
            "status": "active",
        }
    assert api.get("licenses").status_code == 200
    head = api("HEAD", f"licenses/{license_.pk}")
    assert (head.status_code, head.content) == (200, b"")
    reader = key_of(acme, Scope.LICENSES_READ)
    assert reader.get(f"licenses/{license_.pk}").json()["license_key"] is None
    assert revealed(acme) == 0
    assert api.get(f"licenses/{license_.pk}?fields=license_key").json()["license_key"]
    assert revealed(acme) == 1


def test_a_key_that_cannot_be_decrypted_is_a_problem_that_says_so(
    acme: Organization, make_license, settings
) -> None:
    license_ = make_license(acme)
    api = key_of(acme, Scope.LICENSES_READ, Scope.LICENSES_WRITE)
    settings.LICENSE_ENCRYPTION_KEY = vault.new_key()
    answer = api.get(f"licenses/{license_.pk}")
    assert (answer.status_code, answer.json()["code"]) == (503, "license_key_unreadable")
    assert revealed(acme) == 0, "nothing was shown"
    assert api.get(f"licenses/{license_.pk}?fields=status").json() == {"status": "active"}


def test_license_subscription_order_and_item_name_each_other(acme: Organization) -> None:
    """With two licenses of one product it is clear which subscription to cancel."""
    rows = []
    for _ in range(2):
        item = paid_item(acme, "nextpanel-starter")
        with tenancy.system("test"):
            subscription = subscribe(item)
            license_ = issue_for(item=item, now=NOW)
        rows.append((license_, subscription, item))
    api = key_of(acme)
    for license_, subscription, item in rows:
        answer = api.get(f"licenses/{license_.pk}").json()
        assert answer["subscription"] == str(subscription.pk)
        assert (answer["order"], answer["order_item"]) == (str(item.order_id), str(item.pk))
        paid_by = api.get(f"subscriptions/{subscription.pk}").json()
        assert (paid_by["order"], paid_by["order_item"]) == (str(item.order_id), str(item.pk))
        order = api.get(f"orders/{item.order_id}").json()
        assert [entry["subscription"] for entry in order["items"]] == [str(subscription.pk)]
        for name in ("subscription", "order", "order_item"):
            found = api.get(f"licenses?{name}={answer[name]}").json()["data"]
            assert [entry["id"] for entry in found] == [str(license_.pk)], name
    assert len(api.get("licenses?product=nextpanel-starter").json()["data"]) == 2
    assert api.get("licenses?product=nextpanel-business").json()["data"] == []


def test_a_license_issued_by_hand_has_no_subscription(acme: Organization, make_license) -> None:
    answer = key_of(acme).get(f"licenses/{make_license(acme).pk}").json()
    assert (answer["subscription"], answer["order"], answer["order_item"]) == (None, None, None)


@pytest.mark.parametrize(
    ("role", "sees"), [(Role.DEVELOPER, True), (Role.BILLING, False), (Role.VIEWER, False)]
)
def test_roles_decide_for_members(acme: Organization, make_license, role: str, sees: bool) -> None:
    license_ = make_license(acme)
    member = api_of(join(acme, f"{role}@acme.example", role))
    assert (member.get(f"licenses/{license_.pk}").json()["license_key"] is not None) is sees


def test_another_organization_finds_nothing(acme: Organization, globex: Organization, make_license) -> None:
    license_ = make_license(acme)
    stranger = key_of(globex)
    assert stranger.get("licenses").json()["data"] == []
    assert stranger.get(f"licenses/{license_.pk}").status_code == 404


def test_without_the_scope_or_a_credential_nothing_is_told(acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    assert key_of(acme, Scope.QUOTAS_READ).get("licenses").status_code == 403
    from tests.accounts.conftest import Api

    assert Api().get(f"licenses/{license_.pk}").status_code == 401


def test_raw_sql_of_another_tenant_sees_no_license(
    acme: Organization, globex: Organization, make_license
) -> None:
    make_license(acme)
    with tenancy.tenant(globex):
        assert License.objects.count() == 0
    with tenancy.tenant(acme):
        assert License.objects.count() == 1
    assert License.objects.count() == 0
