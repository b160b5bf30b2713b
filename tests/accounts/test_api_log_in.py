import pytest
import redis
from allauth.account.models import EmailAddress

from accounts import memberships
from accounts.models import User
from superagent.foundation import redis_client
from tests.accounts.conftest import PASSWORD, Api, api_of, key_of

ADA = {"email": "Ada@engines.example", "password": PASSWORD, "full_name": "Ada Lovelace"}
api = Api()


def log_in(email="olga@acme.example", password=PASSWORD, **more):
    return api.post("auth/login", {"email": email, "password": password} | more)


def test_register(db):
    answer = api.post("auth/register", ADA)
    user = User.objects.get(email="ada@engines.example")
    organization = memberships.find(user, None).organization
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(user.pk),
        "email": "ada@engines.example",
        "full_name": "Ada Lovelace",
        "is_active": True,
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
        "organization": {"id": str(organization.pk), "name": "Ada Lovelace"},
        "stripe_customer_id": None,
    }
    assert not EmailAddress.objects.get(user=user).verified


def test_register_a_taken_address_is_409(owner):
    answer = api.post("auth/register", ADA | {"email": "OLGA@acme.example"})
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "changed, pointer",
    [
        ({"email": "no address"}, "/email"),
        ({"email": None}, "/email"),
        ({"password": "short"}, "/password"),
        ({"password": "x" * 129}, "/password"),
        ({"full_name": ""}, "/full_name"),
        ({"full_name": ["a"]}, "/full_name"),
    ],
)
def test_register_names_the_invalid_field(db, changed, pointer):
    answer = api.post("auth/register", ADA | changed)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not User.objects.exists()


def test_log_in_use_refresh_log_out(acme):
    answer = log_in()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    pair = answer.json()
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 1800)
    assert Api(pair["access_token"]).get("auth/me").status_code == 200

    second = api.post("auth/refresh", {"refresh_token": pair["refresh_token"]}).json()
    assert second.keys() == pair.keys()
    assert Api(second["access_token"]).get("auth/me").status_code == 200

    assert api.post("auth/logout", {"refresh_token": second["refresh_token"]}).status_code == 204
    refused = Api(second["access_token"]).get("auth/me")
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert refused["WWW-Authenticate"].startswith("Bearer")
    assert api.post("auth/refresh", {"refresh_token": second["refresh_token"]}).status_code == 401


def test_a_reused_refresh_token_is_401_and_ends_the_log_in(acme):
    first = log_in().json()
    second = api.post("auth/refresh", {"refresh_token": first["refresh_token"]}).json()
    reused = api.post("auth/refresh", {"refresh_token": first["refresh_token"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "token_invalid")
    assert Api(second["access_token"]).get("auth/me").status_code == 401


def test_log_in_tells_nothing_about_addresses(owner):
    wrong, unknown = log_in(password="wrong"), log_in(email="nobody@acme.example")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


@pytest.mark.parametrize("path, name", [("auth/register", "register"), ("auth/login", "login")])
def test_one_network_address_is_limited(db, settings, path, name):
    settings.THROTTLES = settings.THROTTLES | {name: (2, 36_000)}
    assert [api.post(path).status_code for _ in range(3)] == [400, 400, 429]


def test_without_redis_the_limits_open_with_an_alarm(owner, monkeypatch, caplog):
    def lost() -> redis.Redis:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis_client, "connection", lost)
    assert log_in().status_code == 200


@pytest.mark.parametrize("path", ["auth/login", "auth/refresh", "auth/logout", "auth/register"])
@pytest.mark.parametrize("body", [[], "text", {"refresh_token": 1, "email": {}, "password": []}])
def test_nonsense_is_refused_with_a_problem(db, path, body):
    answer = api.post(path, body)
    assert answer.status_code in (400, 401)
    assert answer["Content-Type"] == "application/problem+json"


def test_me(acme, owner):
    answer = api_of(owner).get("auth/me").json()
    assert answer["organization"] == {"id": str(acme.pk), "name": "Acme"}
    assert (answer["role"], answer["is_email_verified"], len(answer["scopes"])) == ("owner", True, 11)
    assert api_of(owner).get("users/me").json() == answer


def test_me_can_be_renamed_only(acme, owner):
    refused = api_of(owner).patch(
        "auth/me", {"full_name": "Olga B", "email": "x@y.example", "is_staff": True}
    )
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/email", "/is_staff"]
    answer = api_of(owner).patch("auth/me", {"full_name": "Olga B"})
    assert (answer.status_code, answer.json()["full_name"], answer.json()["email"]) == (
        200,
        "Olga B",
        owner.email,
    )
    owner.refresh_from_db()
    assert (owner.full_name, owner.is_staff) == ("Olga B", False)


def test_me_is_nobody_for_an_api_key(acme):
    answer = key_of(acme).get("auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "user_token_required")


def test_me_without_an_organization(stranger):
    answer = api_of(stranger).get("auth/me").json()
    assert (answer["organization"], answer["role"], answer["scopes"]) == (None, None, [])
    refused = api_of(stranger).get("api-keys")
    assert (refused.status_code, refused.json()["code"]) == (403, "no_organization")


@pytest.mark.parametrize(
    "header", ["", "Basic abc", "Bearer", "Bearer ", "Bearer nonsense", "Bearer sa_test_nonsense"]
)
def test_without_a_good_credential_it_is_401_with_a_challenge(db, header):
    answer = Api().get("auth/me", Authorization=header)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="SuperAgent API"'
    assert answer["Content-Type"] == "application/problem+json"
