from uuid import uuid4

import pytest
from django.test import Client

from accounts import memberships
from accounts.models import ApiKey, AuditEntry, User
from accounts.roles import Role
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, Api, actions, api_of, key_of, page_of, person

LISTS = ["user", "organization", "membership", "apikey", "invitation", "tokenfamily", "auditentry"]


@pytest.fixture
def staff(db) -> Client:
    return page_of(person("support@superagent.example", is_staff=True, is_superuser=True))


@pytest.mark.parametrize("model", LISTS)
def test_lists_show_every_organization_and_can_be_searched(staff, acme, globex, owner, model):
    key_of(acme)
    api_of(owner)
    assert staff.get(f"/admin/accounts/{model}/").status_code == 200
    assert staff.get(f"/admin/accounts/{model}/?q=acme").status_code == 200
    assert staff.get(f"/admin/accounts/{model}/?q={uuid4()}").status_code == 200


def test_organizations_of_all_tenants_are_listed(staff, acme, globex):
    text = staff.get("/admin/accounts/organization/").content.decode()
    assert "Acme" in text
    assert "Globex" in text


@pytest.mark.parametrize("model", LISTS)
def test_the_admin_is_for_staff(acme, owner, model):
    answer = page_of(owner).get(f"/admin/accounts/{model}/")
    assert answer.status_code in (302, 403)
    assert Client().get(f"/admin/accounts/{model}/").status_code == 302


def test_the_audit_trail_can_be_read_only(staff, acme):
    with tenancy.system("test"):
        entry = AuditEntry.objects.filter(organization=acme).first()
    assert staff.get(f"/admin/accounts/auditentry/{entry.pk}/change/").status_code == 200
    assert staff.get("/admin/accounts/auditentry/add/").status_code == 403
    assert staff.post(f"/admin/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert staff.post(f"/admin/accounts/auditentry/{entry.pk}/change/", {"action": "x"}).status_code == 403


def test_a_key_never_shows_its_hash(staff, acme):
    key_of(acme)
    with tenancy.tenant(acme):
        key = ApiKey.objects.get()
    text = staff.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert "key_hash" not in text
    assert bytes(key.key_hash).hex() not in text


@pytest.mark.django_db(transaction=True)
def test_revoking_needs_a_reason(staff, acme):
    caller: Api = key_of(acme)
    with tenancy.tenant(acme):
        key = ApiKey.objects.get()
    chosen = {"action": "revoke", "_selected_action": [str(key.pk)]}
    staff.post("/admin/accounts/apikey/", chosen)
    assert caller.get("organizations").status_code == 200
    staff.post("/admin/accounts/apikey/", chosen | {"reason": "leaked on a forum"})
    assert caller.get("organizations").status_code == 401
    with tenancy.tenant(acme):
        entry = AuditEntry.objects.get(action="api_key.revoked_by_staff")
    assert (entry.detail, entry.actor_label) == (
        {"reason": "leaked on a forum"},
        "support@superagent.example",
    )


def test_changing_an_organization_goes_through_the_domain(staff, acme):
    body = {"name": "Acme Ltd", "email": "money@acme.example"} | {
        f"memberships-{name}": value for name, value in (("TOTAL_FORMS", 0), ("INITIAL_FORMS", 0))
    }
    answer = staff.post(f"/admin/accounts/organization/{acme.pk}/change/", body)
    assert answer.status_code == 302
    with tenancy.tenant(acme):
        acme.refresh_from_db()
    assert acme.name == "Acme Ltd"
    assert actions(acme)[-1] == "organization.updated"


def test_the_last_owner_stays_in_the_admin_too(staff, acme, owner):
    with tenancy.tenant(acme):
        place = memberships.find(owner, acme.pk)
    answer = staff.post(f"/admin/accounts/membership/{place.pk}/change/", {"role": "viewer"}, follow=True)
    assert "Make another member an owner first" in answer.content.decode()
    assert memberships.role_of(owner, acme) == Role.OWNER


def test_staff_make_and_deactivate_people(staff, owner):
    made = staff.post(
        "/admin/accounts/user/add/",
        {"email": "New@superagent.example", "full_name": "New", "password1": PASSWORD, "password2": PASSWORD}
        | {f"memberships-{name}": value for name, value in (("TOTAL_FORMS", 0), ("INITIAL_FORMS", 0))},
    )
    assert made.status_code == 302
    assert User.objects.get(email="new@superagent.example").check_password(PASSWORD)
    caller = api_of(owner)
    body = {"email": owner.email, "full_name": "Olga"} | {
        f"memberships-{name}": value for name, value in (("TOTAL_FORMS", 0), ("INITIAL_FORMS", 0))
    }
    assert staff.post(f"/admin/accounts/user/{owner.pk}/change/", body).status_code == 302
    owner.refresh_from_db()
    assert owner.is_active is False
    assert caller.get("auth/me").status_code == 401
    assert actions(None)[-1] == "user.changed_by_staff"
    assert staff.post(f"/admin/accounts/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_admins_log_in_is_that_of_everyone(client, db):
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


def test_lists_cost_the_same_for_one_and_for_many(staff, acme, owner, django_assert_max_num_queries):
    for _ in range(10):
        key_of(acme)
    staff.get("/admin/accounts/apikey/")
    with django_assert_max_num_queries(8):
        staff.get("/admin/accounts/apikey/")
