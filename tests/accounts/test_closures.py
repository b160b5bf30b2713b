"""Closing an account: proven, undone for two weeks, and never while nobody could end what is charged."""

from datetime import timedelta

import pytest
import structlog
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import api_keys, charges, closures, memberships, organizations, registration, tasks, tokens
from accounts.charges import Charge
from accounts.models import AccountClosure, ApiKey, Invitation, Membership, Organization, User
from accounts.roles import Role, Scope
from superagent.foundation import outbox, tenancy
from superagent.operations import backlogs, health
from tests.accounts.conftest import PASSWORD, Api, actions, founded, join, page_of, path_in_mail, person
from tests.accounts.test_races import at_once, kinds

pytestmark = pytest.mark.django_db(transaction=True)

CLOSE = "/settings/profile/close/"


class Shop:
    """The upper floor that charges, of which accounts knows a port only."""

    def __init__(self) -> None:
        self.sold: dict[object, list[Charge]] = {}
        self.failing: set[object] = set()

    def running(self, organization) -> list[Charge]:
        if organization.pk in self.failing:
            raise RuntimeError("a mistake of ours")
        return self.sold.get(organization.pk, [])

    def paying(self, organizations):
        return organizations.filter(pk__in=list(self.sold))

    def end_all(self, organization) -> None:
        self.running(organization)
        self.sold.pop(organization.pk, None)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop()
    for port in (charges.running, charges.paying, charges.end_all):
        monkeypatch.setattr(port, "function", getattr(made, port.__name__))
    monkeypatch.setattr(charges.unbilled, "function", charges.unbilled.__wrapped__)
    return made


def test_who_must_find_another_owner_is_led_to_the_members_of_that_very_organization() -> None:
    """The link led to the members of whichever organization was current."""
    ada = person("ada@acme.example")
    lonely = founded("Lonely", ada)
    shared = founded("Shared", ada)
    join(shared, "bob@acme.example", Role.VIEWER)
    client = page_of(ada)
    client.post("/organizations/switch/", {"organization": str(lonely.pk)})
    page = client.get(CLOSE).content.decode()
    link = f"/members/?organization={shared.pk}"
    assert (
        f'href="{link}"' in page and str(lonely.pk) not in page.partition("<table")[2].partition("</table")[0]
    )
    assert "bob@acme.example" in client.get(link, follow=True).content.decode()


def proven(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def mails_to(address: str) -> list[str]:
    outbox.sweep()
    return [sent.subject for sent in mail.outbox if sent.to == [address]]


def ask(user: User, *, end_charges: bool = False) -> AccountClosure:
    return closures.ask(user=user, end_charges=end_charges, now=timezone.now())


def later(closure: AccountClosure) -> int:
    """The job, when the two weeks are over."""
    AccountClosure.objects.filter(pk=closure.pk).update(closes_at=timezone.now())
    return tasks.close_accounts()


def made_key(organization, user) -> str:
    with tenancy.tenant(organization):
        _key, plain_text = api_keys.create(
            organization=organization, name="key", scopes=[Scope.ORGANIZATION_READ], created_by=user,
            expires_at=None, now=timezone.now(),
        )  # fmt: skip
    return plain_text


def test_closing_needs_proof_and_the_typed_address(acme, owner):
    """H4: a typed address was all that it took."""
    assert (
        page_of(owner).post(CLOSE, {"email": owner.email})["Location"].startswith("/accounts/reauthenticate/")
    )
    client = proven(owner)
    assert client.post(CLOSE, {"email": "else@acme.example"}).status_code == 422
    assert not AccountClosure.objects.exists()
    assert client.post(CLOSE, {"email": "Olga@acme.example"})["Location"] == "/settings/profile/"
    assert "Your account closes on" in client.get("/settings/profile/").content.decode()
    assert mails_to(owner.email)[-1].startswith("Your account will be closed on ")


def test_nothing_ends_for_two_weeks_and_the_mail_undoes_it(acme, owner):
    key = made_key(acme, owner)
    closure = ask(owner)
    assert closure.closes_at - closure.asked_at == timedelta(days=14)
    assert tasks.close_accounts() == 0
    assert Api(key).get("organizations").status_code == 200
    link = path_in_mail(owner.email, "account-closing")
    assert "Keep your account?" in Client().get(link).content.decode()
    closure.refresh_from_db()
    assert closure.is_pending  # programs that look at mails open links
    assert "stays open" in Client().post(link).content.decode()
    assert mails_to(owner.email)[-1] == "Your account stays open"
    assert Client().get(link).status_code == 410
    assert later(closure) == 0
    owner.refresh_from_db()
    assert owner.is_active


def test_a_person_who_is_logged_in_keeps_the_account_too(acme, owner):
    ask(owner)
    client = page_of(owner)
    client.post("/settings/profile/keep/")
    assert closures.pending(user=owner) is None
    assert "See first what it means" in client.get("/settings/profile/").content.decode()


def test_after_two_weeks_everything_of_the_person_ends(acme, owner):
    key = made_key(acme, owner)
    pair = tokens.log_in(user=owner, ip_address=None, user_agent="", now=timezone.now())
    client = page_of(owner)
    SocialAccount.objects.create(user=owner, provider="github", uid="1")
    assert later(ask(owner)) == 1
    assert tasks.close_accounts() == 0

    owner.refresh_from_db()
    assert (owner.is_active, owner.email) == (False, f"{owner.pk}@closed.invalid")
    assert get_user(client).is_anonymous
    assert not SocialAccount.objects.exists()
    with pytest.raises(tokens.InvalidToken):
        tokens.authenticate(pair.access_token)
    assert Api(key).get("organizations").status_code == 401
    with tenancy.system("test"):
        acme.refresh_from_db()
    assert acme.suspended_at is not None
    assert actions(acme)[-3:] == ["member.left", "api_key.revoked", "organization.suspended"]
    assert mails_to("olga@acme.example")[-1] == "Your account has been closed"


def test_the_address_is_free_again(acme, owner):
    """H4: registering again was refused for ever."""
    later(ask(owner))
    again = registration.register(
        email="olga@acme.example",
        password=PASSWORD,
        full_name="Olga",
        organization_name="",
        now=timezone.now(),
    )
    assert again.pk != owner.pk
    assert memberships.find(again, None).organization != acme


def test_invitations_of_a_suspended_organization_are_withdrawn(acme, owner):
    with tenancy.system("test"):
        Invitation.objects.create(
            organization=acme, email="new@acme.example", role=Role.VIEWER, invited_by=owner,
            expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
    later(ask(owner))
    with tenancy.system("test"):
        assert Invitation.objects.get().revoked_at is not None


def test_what_is_charged_ends_only_by_agreement(acme, owner, shop):
    """H4: Pro and a license went on being charged, with nobody who could cancel them."""
    ends_at = timezone.now() + timedelta(days=20)
    shop.sold[acme.pk] = [Charge("Pro", ends_at), Charge("NextPanel", None)]
    with pytest.raises(closures.StillCharged, match="Pro of Acme, NextPanel of Acme"):
        ask(owner)
    client = proven(owner)
    page = client.get(CLOSE).content.decode()
    assert f"End Pro on {ends_at:%b} {ends_at.day}, {ends_at.year} and NextPanel now" in page
    refused = client.post(CLOSE, {"email": owner.email})
    assert (refused.status_code, list(refused.context["form"].errors)) == (422, ["end_charges"])
    assert shop.sold
    assert client.post(CLOSE, {"email": owner.email, "end_charges": "on"}).status_code == 302
    assert not shop.sold
    outbox.sweep()
    assert "- Pro (Acme)" in mail.outbox[-1].body
    assert later(closures.pending(user=owner)) == 1


def test_who_belongs_to_many_organizations_reads_what_matters_of_closing_and_a_number(acme, owner, shop):
    """Each was a row and several queries, however many there were; now what must be decided comes first."""
    with tenancy.system("test"):
        others = person("others@acme.example")
        for number in range(25):
            left = Organization.objects.create(name=f"A {number:02}", email="a@acme.example")
            Membership.objects.create(organization=left, user=owner, role=Role.VIEWER)
            Membership.objects.create(organization=left, user=others, role=Role.OWNER)
        stuck = Organization.objects.create(name="Z stuck", email="z@acme.example")
        Membership.objects.create(organization=stuck, user=owner, role=Role.OWNER)
        Membership.objects.create(organization=stuck, user=others, role=Role.VIEWER)
        paid = founded("Y paid", owner)
    shop.sold[paid.pk] = [Charge("Pro", None)]
    page = proven(owner).get(CLOSE)
    named = [each.organization.name for each in page.context["consequences"]]
    assert named == ["Z stuck", "Y paid", "Acme", *[f"A {number:02}" for number in range(17)]]
    assert "And 8 more organizations." in page.content.decode() and page.context["is_stuck"]
    with tenancy.system("test"):
        Membership.objects.filter(organization=stuck, user=others).update(role=Role.OWNER)
    with pytest.raises(closures.StillCharged, match="Pro of Y paid"):
        ask(owner)
    assert later(ask(owner, end_charges=True)) == 1
    with tenancy.system("test"):
        kept = Membership.objects.filter(user=owner).values_list("organization__name", flat=True)
        assert set(kept) == {"Acme", "Y paid"}


def test_what_was_bought_during_the_two_weeks_keeps_the_account_open(acme, owner, shop):
    closure = ask(owner)
    shop.sold[acme.pk] = [Charge("Pro", None)]
    assert later(closure) == 0
    owner.refresh_from_db()
    closure.refresh_from_db()
    assert (owner.is_active, closure.is_pending) == (True, False)
    assert mails_to(owner.email)[-1] == "We could not close your account"


def test_what_is_bought_while_the_account_closes_is_ended(acme, owner, shop):
    """A payment page that was open is paid a minute after the last owner left."""
    later(ask(owner))
    shop.sold[acme.pk] = [Charge("Pro", None)]
    tasks.close_accounts()
    assert not shop.sold


@pytest.mark.parametrize("days", [20, 400])
def test_what_could_not_be_ended_for_weeks_is_ended_when_it_can(acme, owner, shop, days):
    """After a month it was forgotten, and charged for ever."""
    later(ask(owner))
    with tenancy.system("test"):
        Organization.objects.filter(pk=acme.pk).update(suspended_at=timezone.now() - timedelta(days=days))
    shop.sold[acme.pk] = [Charge("Pro", None)]
    tasks.close_accounts()
    assert not shop.sold


def test_an_owner_on_whom_others_depend_makes_another_owner_first(acme, owner, member):
    admin = member(Role.ADMIN)
    with pytest.raises(memberships.LastOwner, match="Acme"):
        ask(owner)
    page = proven(owner).get(CLOSE).content.decode()
    assert "You cannot close your account yet" in page
    with tenancy.system("test"):
        Membership.objects.filter(user=admin).update(role=Role.OWNER)
    closure = ask(owner)
    with tenancy.system("test"):
        Membership.objects.filter(user=admin).update(role=Role.ADMIN)
    assert later(closure) == 0  # it was so when it was asked for, and is not any more
    owner.refresh_from_db()
    assert owner.is_active


def test_who_is_not_alone_leaves_and_the_others_hear_of_the_keys(acme, owner, member, shop):
    developer = member(Role.DEVELOPER)
    key = made_key(acme, developer)
    shop.sold[acme.pk] = [Charge("Pro", None)]  # the others can end it
    later(ask(developer))
    assert memberships.role_of(developer, acme) is None
    assert Api(key).get("organizations").status_code == 200
    with tenancy.system("test"):
        acme.refresh_from_db()
    assert acme.suspended_at is None
    of_the_key, of_leaving = mails_to(owner.email)
    assert of_the_key.startswith("An API key was created")
    assert of_leaving == "developer@acme.example has left Acme"


def test_a_person_without_an_organization_may_close(stranger):
    page = proven(stranger).get(CLOSE).content.decode()
    assert "You belong to no organization" in page
    assert later(ask(stranger)) == 1


def test_asking_twice_and_closing_at_once_happens_once(acme, owner):
    assert kinds(at_once(*[lambda: ask(owner)] * 3)) == ["AccountClosure"] * 3
    assert AccountClosure.objects.count() == 1
    AccountClosure.objects.update(closes_at=timezone.now())
    assert sorted(at_once(*[tasks.close_accounts] * 3)) == [0, 0, 1]
    assert mails_to("olga@acme.example").count("Your account has been closed") == 1


def test_undone_at_the_last_moment_or_closed_but_never_both(acme, owner):
    closure = ask(owner)
    AccountClosure.objects.update(closes_at=timezone.now())
    at_once(tasks.close_accounts, lambda: closures.undo(closure=closure, now=timezone.now()))
    owner.refresh_from_db()
    closure.refresh_from_db()
    assert owner.is_active == (closure.closed_at is None) == (closure.withdrawn_at is not None)


def test_two_owners_who_close_at_once_leave_an_organization_that_is_suspended(acme, owner):
    second = join(acme, "second@acme.example", Role.OWNER)
    for user in (owner, second):
        ask(user)
    AccountClosure.objects.update(closes_at=timezone.now())
    at_once(*[tasks.close_accounts] * 2)
    with tenancy.system("test"):
        acme.refresh_from_db()
        assert acme.suspended_at is not None
    assert User.objects.filter(is_active=True, pk__in=[owner.pk, second.pk]).count() == 0


def test_accounts_that_were_never_confirmed_nor_used_give_their_address_back(owner, acme):
    """M6: anybody could occupy any address for ever."""
    long_ago = timezone.now() - timedelta(days=31)
    squatter = person("boss@engines.example", verified=False)
    founded("Squat", squatter)
    new = person("new@engines.example", verified=False)
    active = person("active@engines.example", verified=False, last_login=timezone.now())
    User.objects.exclude(pk=new.pk).update(created_at=long_ago)
    assert tasks.close_unused_accounts() == 1
    closed = {user.pk for user in User.objects.filter(is_active=False)}
    assert closed == {squatter.pk}
    assert not EmailAddress.objects.filter(email="boss@engines.example").exists()
    assert active.is_active
    assert mails_to("boss@engines.example") == []


def squatters(number: int) -> list[User]:
    """With an organization each, unconfirmed and unused for a month; the oldest first."""
    found = [person(f"squatter{each}@engines.example", verified=False) for each in range(number)]
    for each in found:
        founded(f"Squat {each.email}", each)
    User.objects.filter(pk__in=[each.pk for each in found]).update(
        created_at=timezone.now() - timedelta(days=31)
    )
    return found


def test_who_confirms_while_unused_accounts_are_closed_keeps_theirs(shop, monkeypatch):
    """The job reads whom to close first, and may need a minute for those before."""
    first, second = squatters(2)

    def confirms_meanwhile(organization) -> list[Charge]:
        EmailAddress.objects.filter(user=second).update(verified=True)
        return []

    monkeypatch.setattr(charges, "running", confirms_meanwhile)
    assert tasks.close_unused_accounts() == 1
    assert set(User.objects.filter(is_active=True)) == {second}
    assert not User.objects.get(pk=first.pk).is_active


def test_unused_accounts_that_cannot_be_closed_keep_no_other_one_open(shop, monkeypatch):
    """The oldest were tried first, each day, and a mistake with one of them ended the run."""
    monkeypatch.setattr(closures, "BATCH", 1)
    broken, charged, free = squatters(3)
    with tenancy.system("test"):
        of = {each.user_id: each.organization_id for each in Membership.objects.all()}
    shop.failing.add(of[broken.pk])
    shop.sold[of[charged.pk]] = [Charge("Pro", None)]
    assert tasks.close_unused_accounts() == 1
    assert set(User.objects.filter(is_active=True)) == {broken, charged}
    assert not User.objects.get(pk=free.pk).is_active


def test_suspending_twice_changes_nothing(acme, owner):
    made_key(acme, owner)
    with tenancy.system("test"):
        for _ in range(2):
            organizations.suspend(organization=acme, because="test", now=timezone.now())
        assert ApiKey.objects.get().revoked_at is not None
    assert actions(acme).count("organization.suspended") == 1


def test_a_closing_that_its_job_cannot_finish_is_an_alarm_until_it_is_done(
    acme, owner, globex, stranger, shop, monkeypatch
):
    """Somebody who left can still log in. Others are closed, and the next run after the mend closes this one too."""
    closings = [ask(owner), ask(stranger)]
    shop.failing.add(acme.pk)
    two_hours_ago = timezone.now() - timedelta(hours=2, minutes=1)
    AccountClosure.objects.filter(pk__in=[each.pk for each in closings]).update(closes_at=two_hours_ago)
    with structlog.testing.capture_logs() as logs:
        assert tasks.close_accounts() == 1
    [told] = [each for each in logs if each["event"] == "account_not_closed"]
    assert (told["user"], told["alarm"], told["log_level"]) == (str(owner.pk), True, "error")
    monkeypatch.setattr(health, "_memory", {})
    with tenancy.system("test"):
        assert backlogs.alarm() == 1
    answer = Client().get("/health/ready").json()
    assert answer["parts"]["work"]["detail"] == "account_closures_late 1"
    measured = Client().get("/metrics").content.decode()
    assert 'superagent_queue_length{queue="account_closures_late"} 1.0' in measured
    shop.failing.clear()
    assert tasks.close_accounts() == 1
    with tenancy.system("test"):
        assert backlogs.late() == []


def test_a_charge_that_cannot_be_ended_does_not_keep_others_running(acme, globex, shop):
    with tenancy.system("test"):
        for organization in (acme, globex):
            organizations.suspend(organization=organization, because="account closed", now=timezone.now())
            shop.sold[organization.pk] = [Charge("Pro", None)]
    shop.failing.add(min(acme.pk, globex.pk))
    with structlog.testing.capture_logs() as logs:
        tasks.close_accounts()
    assert [each["organization"] for each in logs if each["event"] == "charges_not_ended"] == [
        str(min(acme.pk, globex.pk))
    ]
    assert max(acme.pk, globex.pk) not in shop.sold


def test_every_page_says_that_the_account_closes_and_how_to_keep_it(acme, owner):
    client = page_of(owner)
    pages = ["/dashboard/", "/usage/", "/settings/security/", "/accounts/sessions/"]
    for path in pages:
        assert "Your account closes on" not in client.get(path).content.decode()
    closure = ask(owner)
    for path in pages:
        shown = client.get(path).content.decode()
        assert "Your account closes on" in shown, path
        assert 'action="/settings/profile/keep/"' in shown
    client.post("/settings/profile/keep/")
    closure.refresh_from_db()
    assert closure.withdrawn_at is not None
    assert "Your account closes on" not in client.get("/dashboard/").content.decode()
