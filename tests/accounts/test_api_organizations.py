import pytest
from django.utils import timezone

from accounts import invitations
from accounts.models import Invitation
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import api_of, founded, key_of, person, role_of


@pytest.fixture
def as_owner(acme, owner):
    return api_of(owner)


def test_list_shows_own_organizations_only(acme, globex, owner, as_owner):
    second = founded("Second", owner)
    answer = as_owner.get("organizations").json()
    assert {item["id"] for item in answer["data"]} == {str(acme.pk), str(second.pk)}
    assert [item["id"] for item in key_of(acme).get("organizations").json()["data"]] == [str(acme.pk)]


def test_the_header_chooses_the_organization(acme, owner):
    second = founded("Second", owner)
    assert api_of(owner).get("auth/me").json()["organization"]["id"] == str(acme.pk)
    assert api_of(owner, second).get("auth/me").json()["organization"]["id"] == str(second.pk)


@pytest.mark.parametrize("value", ["00000000-0000-7000-8000-000000000000", "nonsense", "", "globex"])
def test_a_foreign_organization_in_the_header_is_404(acme, globex, owner, value):
    value = str(globex.pk) if value == "globex" else value
    answer = api_of(owner).get("auth/me", **{"X-Organization-Id": value})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_path_chooses_the_organization_too(acme, owner, as_owner):
    second = founded("Second", owner)
    assert as_owner.get(f"organizations/{second.pk}").json()["name"] == "Second"
    assert api_of(owner, acme).get(f"organizations/{second.pk}").status_code == 404


def test_create_detail_update(as_owner):
    made = as_owner.post("organizations", {"name": "Second"})
    assert made.status_code == 201
    path = f"organizations/{made.json()['id']}"
    assert as_owner.patch(path, {"email": "money@second.example"}).json()["email"] == "money@second.example"
    assert as_owner.get(f"{path}?fields=id,email").json() == {
        "id": made.json()["id"],
        "email": "money@second.example",
    }
    assert as_owner.patch(path, {"email": "nonsense"}).json()["errors"][0]["pointer"] == "/email"
    assert as_owner.patch(path, {"livemode": True}).json()["errors"][0]["pointer"] == "/livemode"


def test_a_key_cannot_found_an_organization(acme):
    assert key_of(acme).post("organizations", {"name": "x"}).status_code == 403


def test_members(acme, as_owner, member):
    user = member(Role.VIEWER)
    path = f"organizations/{acme.pk}/members"
    listed = as_owner.get(path).json()
    assert [(item["email"], item["role"]) for item in listed["data"]] == [
        ("viewer@acme.example", "viewer"),
        ("olga@acme.example", "owner"),
    ]
    assert as_owner.get(f"{path}?role=owner").json()["data"][0]["email"] == "olga@acme.example"
    assert as_owner.patch(f"{path}/{user.pk}", {"role": "admin"}).json()["role"] == "admin"
    assert as_owner.get(f"{path}/{user.pk}").json()["role"] == "admin"
    assert as_owner.delete(f"{path}/{user.pk}").status_code == 204
    assert as_owner.get(f"{path}/{user.pk}").status_code == 404


def test_the_last_owner_stays(acme, owner, as_owner):
    path = f"organizations/{acme.pk}/members/{owner.pk}"
    for answer in (as_owner.patch(path, {"role": "viewer"}), as_owner.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


def test_lists_cost_the_same_for_one_and_for_many(acme, as_owner, member, django_assert_num_queries):
    path = f"organizations/{acme.pk}/members"
    for role in ("viewer", "developer", "billing"):
        member(role)
    as_owner.get(path)  # the quotas of the period are loaded once
    with django_assert_num_queries(3):  # the login, the membership, the list
        assert len(as_owner.get(path).json()["data"]) == 4
    with django_assert_num_queries(3):
        as_owner.get("users")
    with django_assert_num_queries(3):
        as_owner.get(f"organizations/{acme.pk}/invitations")


def test_users(acme, globex, owner, stranger, as_owner, member):
    user = member(Role.VIEWER)
    listed = as_owner.get("users").json()["data"]
    assert {item["email"]: item["role"] for item in listed} == {owner.email: "owner", user.email: "viewer"}
    assert as_owner.get(f"users/{user.pk}").json()["role"] == "viewer"
    assert as_owner.patch(f"users/{user.pk}", {"role": "billing"}).json()["role"] == "billing"
    assert as_owner.patch(f"users/{user.pk}", {"full_name": "Not mine"}).status_code == 403
    assert as_owner.patch(f"users/{owner.pk}", {"full_name": "Mine"}).json()["full_name"] == "Mine"
    for answer in (
        as_owner.get(f"users/{stranger.pk}"),
        as_owner.patch(f"users/{stranger.pk}", {"role": "admin"}),
    ):
        assert answer.status_code == 404


def test_a_viewer_may_look_but_not_touch(acme, owner, member):
    viewer = api_of(member(Role.VIEWER))
    assert viewer.get("users").status_code == 200
    for answer in (
        viewer.patch(f"users/{owner.pk}", {"role": "viewer"}),
        viewer.patch(f"organizations/{acme.pk}", {"name": "x"}),
        viewer.patch(f"organizations/{acme.pk}/members/{owner.pk}", {"role": "viewer"}),
        viewer.post(f"organizations/{acme.pk}/invitations", {"email": "a@b.example", "role": "viewer"}),
        viewer.get("api-keys"),
        viewer.post("api-keys", {"name": "x", "scopes": ["usage:read"]}),
    ):
        assert answer.status_code == 403
    assert "Owner, Admin" in viewer.patch(f"organizations/{acme.pk}", {"name": "x"}).json()["detail"]


def test_a_key_without_the_scope_is_told_which(acme):
    answer = key_of(acme, Scope.USAGE_READ).get("api-keys")
    assert (answer.status_code, answer.json()["code"], answer.json()["scope"]) == (
        403,
        "insufficient_scope",
        "keys:read",
    )
    assert "keys:read" in answer.json()["detail"]


def test_invite_list_withdraw(acme, as_owner):
    path = f"organizations/{acme.pk}/invitations"
    made = as_owner.post(path, {"email": "New@acme.example", "role": "developer"})
    assert (made.status_code, made.json()["email"], made.json()["status"]) == (
        201,
        "new@acme.example",
        "open",
    )
    again = as_owner.post(path, {"email": "new@acme.example", "role": "viewer"})
    assert (again.status_code, again.json()["code"]) == (409, "already_invited")
    assert as_owner.delete(f"{path}/{made.json()['id']}").status_code == 204
    assert as_owner.get(path).json()["data"][0]["status"] == "withdrawn"


def test_an_organization_is_never_replayed_to_another_person(acme, owner, member):
    """L1: a viewer who repeated the owner's key and body was told of an organization that is not theirs."""
    vic = member(Role.VIEWER)
    body, headers = {"name": "Second"}, {"Idempotency-Key": "k1"}
    first = api_of(owner).post("organizations", body, **headers)
    again = api_of(owner).post("organizations", body, **headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    others = api_of(vic).post("organizations", body, **headers)
    assert (others.status_code, others.json()["email"]) == (201, vic.email)
    assert "Idempotent-Replayed" not in others.headers
    assert role_of(vic, acme) == Role.VIEWER


def test_a_person_founds_once_for_a_key_whatever_organization_they_act_for(acme, owner):
    second = founded("Second", owner)
    answers = [
        api_of(owner, organization).post("organizations", {"name": "Third"}, **{"Idempotency-Key": "k1"})
        for organization in (acme, second)
    ]
    assert answers[0].json() == answers[1].json()


def test_a_person_without_an_organization_founds_one_for_a_key(db):
    nobody = api_of(person("nobody@x.example"))
    answers = [nobody.post("organizations", {"name": "Mine"}, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]


def test_an_invitation_is_made_once_for_a_key(acme, as_owner):
    path, body = f"organizations/{acme.pk}/invitations", {"email": "new@acme.example", "role": "viewer"}
    answers = [as_owner.post(path, body, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = as_owner.post(path, body | {"role": "admin"}, **{"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def _invitation(acme, owner, email) -> Invitation:
    with tenancy.tenant(acme):
        return invitations.invite(
            organization=acme,
            email=email,
            role="viewer",
            invited_by=owner,
            now=timezone.now(),
        )


def test_accept_by_the_invited_person_only(acme, globex, owner, stranger):
    invitation = _invitation(acme, owner, stranger.email)
    path = f"organizations/{acme.pk}/invitations/{invitation.pk}/accept"
    assert api_of(person("other@x.example")).post(path).status_code == 404
    assert (
        api_of(stranger).post(f"organizations/{globex.pk}/invitations/{invitation.pk}/accept").status_code
        == 404
    )
    answer = api_of(stranger).post(path)
    assert (answer.status_code, answer.json()["role"]) == (200, "viewer")
    assert role_of(stranger, acme) == Role.VIEWER
    assert api_of(stranger).post(path).status_code == 404


def test_accept_needs_a_confirmed_address(acme, owner):
    user = person("new@acme.example", verified=False)
    invitation = _invitation(acme, owner, user.email)
    answer = api_of(user).post(f"organizations/{acme.pk}/invitations/{invitation.pk}/accept")
    assert answer.status_code == 403
    assert role_of(user, acme) is None


def test_everything_of_another_organization_is_404(acme, globex, owner, stranger):
    invitation = _invitation(globex, stranger, "new@globex.example")
    base = f"organizations/{globex.pk}"
    for caller in (api_of(owner), key_of(acme)):
        for answer in (
            caller.get(base),
            caller.patch(base, {"name": "x"}),
            caller.get(f"{base}/members"),
            caller.get(f"{base}/members/{stranger.pk}"),
            caller.patch(f"{base}/members/{stranger.pk}", {"role": "viewer"}),
            caller.delete(f"{base}/members/{stranger.pk}"),
            caller.get(f"{base}/invitations"),
            caller.post(f"{base}/invitations", {"email": "a@b.example", "role": "viewer"}),
            caller.delete(f"{base}/invitations/{invitation.pk}"),
        ):
            assert answer.status_code == 404, answer.request["PATH_INFO"]
            assert answer.json()["code"] == "not_found"
    for path in (f"invitations/{invitation.pk}", f"members/{stranger.pk}"):
        assert api_of(owner).delete(f"organizations/{acme.pk}/{path}").status_code == 404


@pytest.mark.parametrize("value", ["nonsense", "", "globex"])
def test_a_key_sent_with_another_organization_is_404(acme, globex, value):
    value = str(globex.pk) if value == "globex" else value
    assert key_of(acme).get("organizations", **{"X-Organization-Id": str(acme.pk)}).status_code == 200
    answer = key_of(acme).get("organizations", **{"X-Organization-Id": value})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_making_an_organization_again_with_the_same_key_is_the_same_one(acme, as_owner):
    first = as_owner.post("organizations", {"name": "Second"}, **{"Idempotency-Key": "k1"})
    again = as_owner.post("organizations", {"name": "Second"}, **{"Idempotency-Key": "k1"})
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len(as_owner.get("organizations").json()["data"]) == 2
