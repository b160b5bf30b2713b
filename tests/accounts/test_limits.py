"""What strangers may cause: by network, person, organization, and by whom a mail would reach."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts import invitations, mail_links, notifications, organizations, registration, throttles
from accounts.adapters import AccountAdapter
from accounts.models import Invitation, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import PASSWORD, Api, api_of, founded, page_of, person

api = Api()


def mails(to: str) -> list[str]:
    """The templates of the mails to an address, oldest first."""
    with tenancy.system("test"):
        sent = OutboxMessage.objects.filter(topic="accounts.send_mail").order_by("id")
        return [mail.payload["template"].rpartition("/")[2] for mail in sent if mail.payload["to"] == [to]]


def register(email: str, address: str = "127.0.0.1", **more: str) -> int:
    body = {"email": email, "password": PASSWORD, "full_name": "Ada"} | more
    return Api().post("auth/register", body, **{"X-Forwarded-For": address}).status_code


@pytest.fixture
def behind_proxy(settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


# --- by network


@pytest.mark.parametrize(
    "addresses, allowed",
    [
        (["198.51.100.7"] * 4, 2),
        ([f"198.51.100.{i}" for i in range(4)], 4),
        ([f"2001:db8:1:1::{i:x}" for i in range(1, 5)], 2),  # one /64
        ([f"2001:db8:1:{i:x}::1" for i in range(1, 41)], 32),  # one /48: sixteen times as much
        ([f"2001:db8:{i:x}:1::1" for i in range(1, 5)], 4),
    ],
)
def test_one_network_is_limited_by_the_api_whatever_the_address(
    db, settings, behind_proxy, addresses, allowed
):
    """M9: seventy addresses of one /64 were seventy callers."""
    settings.THROTTLES = settings.THROTTLES | {"login": (2, 36_000)}
    answers = [api.post("auth/login", {}, **{"X-Forwarded-For": address}) for address in addresses]
    assert [answer.status_code for answer in answers].count(400) == allowed
    assert [answer.status_code for answer in answers].count(429) == len(addresses) - allowed


@pytest.mark.parametrize(
    "path, name",
    [
        ("/accounts/login/", "login"),
        ("/accounts/signup/", "register"),
        ("/accounts/password/reset/", "reset"),
        ("/accounts/2fa/webauthn/login/", "passkey"),
    ],
)
def test_one_network_is_limited_on_pages_and_told_how_long(db, settings, behind_proxy, path, name):
    settings.THROTTLES = settings.THROTTLES | {name: (2, 36_000)}
    answers = [Client().post(path, headers={"X-Forwarded-For": f"2001:db8::{i}"}) for i in range(3)]
    assert [answer.status_code for answer in answers[:2]] != [429, 429]
    assert answers[2].status_code == 429
    assert 17_000 < int(answers[2]["Retry-After"]) <= 18_000
    assert "Try again in 5 hours." in answers[2].content.decode()
    other = Client().post(path, headers={"X-Forwarded-For": "2001:db9::1"})
    assert other.status_code != 429
    assert Client().get(path, headers={"X-Forwarded-For": "2001:db8::1"}).status_code != 429


def test_pages_and_api_count_together(db, settings):
    settings.THROTTLES = settings.THROTTLES | {"login": (2, 36_000)}
    api.post("auth/login", {})
    Client().post("/accounts/login/", {})
    assert api.post("auth/login", {}).status_code == 429
    assert Client().post("/accounts/login/", {}).status_code == 429


def test_sign_ups_of_a_network_are_limited_by_the_day_too(db, settings):
    settings.THROTTLES = settings.THROTTLES | {"register_day": (2, 86_400)}
    assert [register(f"p{i}@x.example") for i in range(3)] == [201, 201, 429]


# --- by whom a mail would reach


def invite(organization: Organization, by: User, email: str) -> Invitation:
    with tenancy.tenant(organization):
        return invitations.invite(
            organization=organization, email=email, role=Role.VIEWER, invited_by=by, now=timezone.now()
        )


def test_a_stranger_gets_three_invitations_a_day_whoever_sends_them(acme, globex, owner, stranger):
    """M2: forty organizations of one person sent forty mails to one mailbox."""
    third, fourth = founded("Third", owner), founded("Fourth", stranger)
    for organization, by in ((acme, owner), (globex, stranger), (third, owner)):
        invite(organization, by, "victim@x.example")
    with pytest.raises(throttles.TooManyAttempts) as refused:
        invite(fourth, stranger, "Victim@x.example")
    assert refused.value.detail.startswith("victim@x.example has been invited several times today.")
    assert mails("victim@x.example") == ["invitation"] * 3
    assert invite(fourth, stranger, "other@x.example").status == "open"


def test_an_invitation_that_is_refused_counts_for_nobody(acme, globex, owner, stranger):
    invite(acme, owner, "new@x.example")
    for _ in range(5):
        with pytest.raises(invitations.AlreadyInvited):
            invite(acme, owner, "new@x.example")
    assert invite(globex, stranger, "new@x.example").status == "open"


def test_withdrawing_and_inviting_again_does_not_go_around_the_limit(acme, owner):
    as_owner, path = api_of(owner), f"organizations/{acme.pk}/invitations"
    statuses = []
    for _ in range(4):
        made = as_owner.post(path, {"email": "victim@x.example", "role": "viewer"})
        statuses.append(made.status_code)
        if made.status_code == 201:
            as_owner.delete(f"{path}/{made.json()['id']}")
    assert statuses == [201, 201, 201, 429]
    assert made.json()["code"] == "too_many_attempts"
    page = page_of(owner).post("/members/invite/", {"email": "victim@x.example", "role": "viewer"})
    assert "has been invited several times today. Try again in" in page.content.decode()


@pytest.mark.parametrize("name", ["invite", "invite_person", "invite_network"])
def test_invitations_are_limited_by_organization_person_and_network(acme, owner, settings, name):
    settings.THROTTLES = settings.THROTTLES | {name: (2, 36_000)}
    as_owner, path = api_of(owner), f"organizations/{acme.pk}/invitations"
    answers = [as_owner.post(path, {"email": f"p{i}@x.example", "role": "viewer"}) for i in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_a_person_with_many_organizations_is_one_person(acme, owner, settings):
    settings.THROTTLES = settings.THROTTLES | {"invite_person": (2, 36_000)}
    second = founded("Second", owner)
    invite(acme, owner, "a@x.example")
    invite(second, owner, "b@x.example")
    with pytest.raises(throttles.TooManyAttempts):
        invite(second, owner, "c@x.example")


def test_an_address_gets_few_reset_links_a_day_and_each_works(owner, settings):
    for _ in range(8):
        answer = Client().post("/accounts/password/reset/", {"email": owner.email})
        assert answer["Location"] == "/accounts/password/reset/done/"  # the same for whoever asks
    assert mails(owner.email) == ["reset_password"] * 5
    with tenancy.system("test"):
        first = OutboxMessage.objects.filter(topic="accounts.send_mail").earliest("id")
        link = mail_links.make(first.payload["context"]["link"], to=owner.email)
    form = Client().get(link.removeprefix(settings.PUBLIC_URL), follow=True)
    assert 'name="password1"' in form.content.decode()


def test_who_has_an_account_is_told_of_a_sign_up_once_a_day(owner):
    for _ in range(3):
        AccountAdapter().send_mail("account/email/account_already_exists", owner.email, {})
    assert mails(owner.email) == ["account_exists"]


def test_an_address_gets_few_links_to_confirm_it_a_day(db):
    user = person("new@x.example", verified=False)
    sent = [registration.send_verification(user=user, dedupe_key=f"k{i}") for i in range(8)]
    assert sent == [True] * 5 + [False] * 3
    assert mails(user.email) == ["verify"] * 5


# --- organizations that a person owns


# --- text of strangers


def test_mails_to_unproven_addresses_hold_no_text_of_a_stranger(db):
    register("victim@x.example", full_name="Overdue invoice", organization_name="Call Mallory now")
    Client().post("/accounts/password/reset/", {"email": "victim@x.example"})
    with tenancy.system("test"):
        for message in OutboxMessage.objects.filter(topic="accounts.send_mail"):
            mail = notifications.render(**message.payload)
            everything = mail.subject + mail.body + str(mail.alternatives)
            assert "Overdue" not in everything
            assert "Mallory" not in everything
    assert mails("victim@x.example") == ["verify", "reset_password"]


def test_an_invitations_subject_is_ours_and_its_text_names_the_inviters_address(acme, owner):
    with tenancy.system("test"):
        # from before names were checked
        Organization.objects.filter(pk=acme.pk).update(name="URGENT\r\ngo to http://evil.example/login now")
        User.objects.filter(pk=owner.pk).update(full_name="Call http://evil.example")
        acme.refresh_from_db()
        owner.refresh_from_db()
    invite(acme, owner, "victim@x.example")
    with tenancy.system("test"):
        message = OutboxMessage.objects.get(topic="accounts.send_mail")
        mail = notifications.render(**message.payload)
    assert mail.subject == "You are invited to an organization on SuperAgent"
    assert "://evil" not in mail.body + str(mail.alternatives)
    assert "olga@acme.example invites you to join URGENT" in mail.body


def test_an_invitation_makes_no_link_of_a_name(acme, owner):
    """Mail programs turn a bare domain into a link, and a company may be called like one."""
    with tenancy.tenant(acme):
        organizations.update(organization=acme, name="Booking.com and evil\u3002example B.V.", email="")
        acme.refresh_from_db()
    invite(acme, owner, "victim@x.example")
    with tenancy.system("test"):
        message = OutboxMessage.objects.get(topic="accounts.send_mail")
        mail = notifications.render(**message.payload)
    for text in (mail.body, mail.alternatives[0].content):
        assert "Booking.\u2060com and evil\u3002\u2060example B.V." in text
        assert "Booking.com" not in text
