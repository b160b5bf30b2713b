"""What was refused is kept: who, from where, how often; bounded, shown to the person and to staff, and counted."""

import hashlib
import io
import json
import sys
from datetime import timedelta

import pytest
import redis
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone
from fido2.utils import websafe_encode
from fido2.webauthn import AuthenticatorData, CollectedClientData

from accounts import audit, factors, security_events, tasks
from accounts.models import AuditEntry, SecurityEvent, User
from accounts.roles import Role, Scope
from accounts.security_events import Kind
from superagent.foundation import redis_client, tenancy
from tests.accounts.conftest import PASSWORD, Api, actions, api_of, key_of, page_of, person
from tests.accounts.test_library_pages import with_passkey
from tests.fixtures.staff import staff_client

FROM = {"X-Forwarded-For": "2001:db8:1:2::77", "User-Agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"}


@pytest.fixture(autouse=True)
def behind_proxy(settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


def stored(**wanted) -> list[SecurityEvent]:
    tasks.store_security_events()
    with tenancy.system("test"):
        return list(SecurityEvent.objects.filter(**wanted).order_by("id"))


def log_in(email: str, password: str = PASSWORD, **more: str) -> int:
    body = {"email": email, "password": password} | more
    return Api().post("auth/login", body, **FROM).status_code


# --- what is kept


def test_failed_log_ins_are_kept_with_person_network_and_browser(owner):
    """M11: after 230 wrong passwords nothing named an account, an address or a limit."""
    log_in(owner.email, "wrong")
    Client().post("/accounts/login/", {"login": owner.email, "password": "wrong"}, headers=FROM)
    (event,) = stored()
    assert (event.kind, event.user, event.count) == (Kind.LOG_IN_FAILED, owner, 2)
    assert (event.network, event.browser) == ("2001:db8:1:2::/64", "Firefox on Windows")
    assert event.address_digest == ""


def test_an_address_that_belongs_to_nobody_is_kept_as_a_digest(db):
    log_in("Nobody@x.example", "wrong")
    log_in("nobody@X.example", "wrong")
    log_in("other@x.example", "wrong")
    first, second = sorted(stored(), key=lambda event: -event.count)
    assert (first.user, first.count, second.count) == (None, 2, 1)
    assert first.address_digest == security_events.digest("nobody@x.example") != second.address_digest
    with tenancy.system("test"):
        assert "nobody" not in json.dumps(list(SecurityEvent.objects.values()), default=str)


def test_wrong_codes_and_recovery_codes_are_kept(owner):
    TOTP.activate(owner, generate_totp_secret())
    RecoveryCodes.activate(owner)
    log_in(owner.email, otp="000000")
    browser = Client()
    browser.post("/accounts/login/", {"login": owner.email, "password": PASSWORD}, headers=FROM)
    for code in ("000000", "aaaa-bbbb"):
        browser.post("/accounts/2fa/authenticate/", {"code": code}, headers=FROM)
    (event,) = stored(kind=Kind.CODE_FAILED)
    assert (event.user, event.count) == (owner, 3)
    assert stored(kind=Kind.LOG_IN_FAILED) == []


def passkey_of(user: User) -> str:
    """A credential that names `user` and that nobody signed."""

    client_data = CollectedClientData.create("webauthn.get", b"another challenge", "http://testserver")
    authenticator = AuthenticatorData.create(hashlib.sha256(b"testserver").digest(), 0, 0)
    response = {
        "clientDataJSON": websafe_encode(client_data),
        "authenticatorData": websafe_encode(authenticator),
        "signature": websafe_encode(b"no"),
        "userHandle": websafe_encode(user_pk_to_url_str(user).encode()),
    }
    return json.dumps(
        {
            "id": websafe_encode(b"a"),
            "rawId": websafe_encode(b"a"),
            "type": "public-key",
            "response": response,
        }
    )


def test_wrong_passkeys_are_kept_whatever_they_were_for(owner, acme):
    """They stood in the access log only."""
    with_passkey(owner)
    wrong, nobodys = {"credential": passkey_of(owner)}, {"credential": passkey_of(User())}
    browser = Client(headers=FROM)
    for body in (wrong, nobodys, {"credential": '{"response": []}'}, {"credential": "[]"}):
        browser.get("/accounts/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"})
        assert browser.post("/accounts/2fa/webauthn/login/", body)["Location"] == "/accounts/login/"
    browser.post("/accounts/login/", {"login": owner.email, "password": PASSWORD})
    assert browser.post("/accounts/2fa/authenticate/", wrong).status_code == 200
    inside = page_of(owner)
    inside.get("/accounts/2fa/webauthn/reauthenticate/")
    assert inside.post("/accounts/2fa/webauthn/reauthenticate/", wrong, headers=FROM).status_code == 302
    of_owner, of_nobody = stored(user=owner), stored(user=None)
    assert [(each.kind, each.count) for each in of_owner] == [(Kind.PASSKEY_FAILED, 3)]
    assert {each.kind for each in of_nobody} == {Kind.PASSKEY_FAILED}
    assert "Wrong passkey" in inside.get("/settings/security/activity/?show=refused").content.decode()


def test_the_line_of_a_log_in_says_by_what(owner, acme):
    def told() -> list[list[str]]:
        with tenancy.system("test"):
            lines = AuditEntry.objects.filter(action="user.logged_in", target_id=str(owner.pk)).order_by("id")
            return [line.detail.get("factors") for line in lines]

    secret = generate_totp_secret()
    by_password = {"login": owner.email, "password": PASSWORD}
    Client().post("/accounts/login/", by_password)
    log_in(owner.email)
    TOTP.activate(owner, secret)
    codes = RecoveryCodes.activate(owner).get_unused_codes()
    browser = Client()
    browser.post("/accounts/login/", by_password)
    browser.post("/accounts/2fa/authenticate/", {"code": "000000"})
    browser.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    log_in(owner.email, otp=format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))
    assert told() == [["password"], ["password"], ["password", "recovery_code"], ["password", "totp"]]
    shown = page_of(owner).get("/settings/security/activity/").content.decode()
    assert "by password and recovery code" in shown and "by password and authenticator app" in shown


def test_a_passkey_and_a_provider_are_named_too(owner, rf):
    request = rf.get("/")
    request.session = SessionStore()
    request.user = owner
    record_authentication(request, owner, method="socialaccount", provider="github", uid="7")
    post_authentication(request, with_passkey(owner), passwordless=True)
    assert factors.of_session(request, owner) == ["github", "passkey"]
    assert factors.of_session(request, User()) == []


def test_limits_that_were_reached_are_kept_about_whom_they_protect(owner, settings):
    settings.THROTTLES = settings.THROTTLES | {"guess_pair": (1, 36_000), "register": (1, 36_000)}
    for _ in range(3):
        log_in(owner.email, "wrong")
    for _ in range(2):
        Api().post("auth/register", {}, **FROM)
    guesses, sign_ups = sorted(stored(kind=Kind.LIMIT_REACHED), key=lambda event: event.detail)
    assert (guesses.detail, guesses.user, guesses.count) == ("guess_pair", owner, 2)
    assert (sign_ups.detail, sign_ups.user, sign_ups.count) == ("register", None, 1)


def test_refused_rights_are_kept_of_people_and_keys(acme, owner, member):
    viewer = member(Role.VIEWER)
    api_of(viewer).get("api-keys", **FROM)
    page_of(viewer).get("/members/invite/", headers=FROM)
    key_of(acme, Scope.USAGE_READ).get("api-keys", **FROM)
    by_key, *by_viewer = sorted(stored(kind=Kind.ACCESS_REFUSED), key=lambda event: not event.caller)
    assert by_key.caller.startswith("api_key:")
    assert by_key.user is None
    assert {event.user for event in by_viewer} == {viewer}
    assert {event.detail for event in by_viewer} == {"GET /api/v1/api-keys", "GET /members/invite/"}


def test_links_for_a_new_password_are_kept_for_known_and_unknown_addresses(owner):
    for email in (owner.email, "nobody@x.example"):
        Client().post("/accounts/password/reset/", {"email": email}, headers=FROM)
    assert [event.user for event in stored(kind=Kind.RESET_REQUESTED)] == [owner]
    (refused,) = stored(kind=Kind.RESET_REFUSED)
    assert refused.address_digest == security_events.digest("nobody@x.example")


def test_a_wrong_password_to_confirm_oneself_is_kept(owner, acme):
    page_of(owner).post("/accounts/reauthenticate/", {"password": "wrong"}, headers=FROM)
    assert [event.user for event in stored(kind=Kind.LOG_IN_FAILED)] == [owner]


def test_what_is_allowed_leaves_no_event(owner, acme):
    assert log_in(owner.email) == 200
    page_of(owner).get("/members/")
    assert stored() == []


# --- bounded


def counted(**fields) -> None:
    security_events.note(kind=Kind.LOG_IN_FAILED, **fields)


def test_repeats_of_an_hour_are_one_row_and_the_next_hour_is_another(owner):
    now = timezone.now().replace(minute=10)
    with tenancy.system("test"):
        for later in (0, 5, 60):
            counted(user=owner)
            counted(user=owner)
            security_events.store(now=now + timedelta(minutes=later))
        first, second = SecurityEvent.objects.order_by("id")
    assert (first.count, second.count) == (4, 2)
    assert first.last_at - first.first_at == timedelta(minutes=5)


def test_a_flood_fills_neither_redis_nor_the_table(owner, monkeypatch):
    monkeypatch.setattr(security_events, "MOST_PER_MINUTE", 5)
    monkeypatch.setattr(security_events, "MOST_PER_HOUR", 3)
    counted(user=owner)
    for i in range(20):
        counted(typed_address=f"p{i}@x.example")
    assert redis_client.connection().hlen(security_events.COUNTED) == 6  # and one for all others
    rows = stored()
    assert len(rows) == 3
    assert sum(row.count for row in rows) == 21
    assert [row.user for row in rows].count(owner) == 1  # known people come first
    assert sum(row.count for row in rows if not row.user and not row.address_digest) == 19
    for i in range(9):
        counted(typed_address=f"q{i}@x.example")
    assert len(stored()) == 3
    assert sum(row.count for row in stored()) == 30


def test_counting_costs_no_query(owner, django_assert_num_queries):
    with django_assert_num_queries(0):
        counted(user=owner)


def test_storing_many_costs_a_bounded_number_of_queries(owner, django_assert_max_num_queries):
    for i in range(10):
        counted(typed_address=f"p{i}@x.example")
    with tenancy.system("test"), django_assert_max_num_queries(20):
        assert security_events.store(now=timezone.now()) == 10


def test_a_run_that_died_is_made_up_for(owner, monkeypatch):
    counted(user=owner)
    with monkeypatch.context() as patched, tenancy.system("test"):
        patched.setattr(security_events, "_within_bounds", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            security_events.store(now=timezone.now())
    counted(user=owner)
    stored()
    assert [event.count for event in stored()] == [2]


def test_what_another_release_counted_is_stored_without_what_this_one_does_not_know(owner):
    """During a deployment both count; a field that one of them lacks stopped the job for ever."""
    counted(user=owner)
    store = redis_client.connection()
    [(field, _count)] = store.hgetall(security_events.COUNTED).items()
    store.hset(security_events.COUNTED, json.dumps(json.loads(field) | {"country": "NZ"}), 2)
    assert [event.count for event in stored()] == [3]


def test_of_who_is_gone_the_count_stays(owner):
    counted(user=User(email="gone@x.example"))
    (event,) = stored()
    assert (event.user, event.count) == (None, 1)


def test_old_events_are_forgotten(owner):
    counted(user=owner)
    stored()
    with tenancy.system("test"):
        assert security_events.forget_old(now=timezone.now() + timedelta(days=89)) == 0
        assert security_events.forget_old(now=timezone.now() + timedelta(days=91)) == 1
    tasks.forget_security_events()


def test_without_redis_log_and_metric_still_tell(owner, monkeypatch, caplog):
    def lost() -> redis.Redis:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(redis_client, "connection", lost)
    before = security_events.COUNTER.labels("log_in_failed", "")._value.get()
    assert log_in(owner.email, "wrong") == 401
    assert security_events.COUNTER.labels("log_in_failed", "")._value.get() == before + 1
    assert "log_in_failed" in caplog.text
    assert "wrong" not in caplog.text


# --- shown


def test_the_person_sees_what_was_done_and_what_was_refused(owner, acme, stranger):
    log_in(owner.email)
    log_in(owner.email, "wrong")
    log_in(stranger.email, "wrong")
    stored()
    page = page_of(owner)
    assert "/settings/security/activity/" in page.get("/settings/security/").content.decode()
    done = page.get("/settings/security/activity/").content.decode()
    assert "Logged in" in done
    assert "2001:db8:1:2::77" in done
    refused = page.get("/settings/security/activity/?show=refused").content.decode()
    assert "Wrong password" in refused
    assert "2001:db8:1:2::/64" in refused
    assert refused.count("Wrong password</th>") == 1


def test_the_page_says_so_when_there_is_nothing(owner, acme):
    page = page_of(owner)
    assert "Nothing was refused" in page.get("/settings/security/activity/?show=refused").content.decode()


def test_support_is_named_but_not_its_address(owner, acme):
    staff = person("sam@superagent.example", is_staff=True)
    with tenancy.system("test"):
        entry = audit.record(action="user.changed_by_staff", actor=staff, target=owner)
    shown = page_of(owner).get("/settings/security/activity/").content.decode()
    assert "Changed by staff" in shown
    assert "Support" in shown
    assert "sam@" not in shown
    assert entry.organization is None
    assert actions(acme) == ["organization.created"]


def test_another_persons_activity_is_not_seen(owner, stranger, acme, globex):
    log_in(owner.email)
    log_in(owner.email, "wrong")
    stored()
    page = page_of(stranger)
    for query in ("", "?show=refused"):
        assert "2001:db8" not in page.get(f"/settings/security/activity/{query}").content.decode()


def test_staff_find_events_by_address_even_of_nobody_and_change_nothing(owner):
    log_in("nobody@x.example", "wrong")
    log_in(owner.email, "wrong")
    known, unknown = sorted(stored(), key=lambda event: event.user is None)
    page = staff_client(person("sam@superagent.example", is_staff=True, is_superuser=True))
    listed = page.get("/admin/accounts/securityevent/", {"q": "Nobody@x.example"}).content.decode()
    assert str(unknown.pk) in listed
    assert str(known.pk) not in listed
    assert str(known.pk) in page.get("/admin/accounts/securityevent/", {"q": owner.email}).content.decode()
    path = f"/admin/accounts/securityevent/{known.pk}"
    assert page.post(f"{path}/change/", {"count": 0}).status_code == 403
    assert page.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    assert page.get("/admin/accounts/securityevent/add/").status_code == 403


def test_events_are_a_metric(owner, client):
    log_in(owner.email, "wrong")
    text = client.get("/metrics").content.decode()
    assert 'superagent_security_events_total{kind="log_in_failed",limit=""}' in text


# --- the access log


def test_the_access_log_tells_address_and_caller(owner, acme, settings, monkeypatch):
    settings.ACCESS_LOG, settings.DEBUG = True, False
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    api_of(owner).get("users", **FROM)
    key_of(acme).get("users", **FROM)
    page_of(owner).get("/members/", headers=FROM)
    log_in(owner.email, "wrong")
    lines = [json.loads(line) for line in written.getvalue().splitlines() if '"superagent.access"' in line]
    assert {line["address"] for line in lines} == {"2001:db8:1:2::77"}
    by_person, by_key, by_page, by_stranger = (line["caller"] for line in lines)
    assert by_person == by_page == f"user:{owner.pk}"
    assert by_key.startswith("api_key:")
    assert by_stranger is None
