"""The jobs of closing: due and unused accounts, and charges that nobody could end."""

from datetime import timedelta

import pytest
import structlog
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from accounts import charges, closures, organizations, tasks
from accounts.charges import Charge
from accounts.models import AccountClosure, Membership, Organization, User
from superagent.foundation import tenancy
from superagent.operations import backlogs, health
from tests.accounts.closing import ask, later, mails_to, shop
from tests.accounts.conftest import founded, person

__all__ = ["shop"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("days", [20, 400])
def test_what_could_not_be_ended_for_weeks_is_ended_when_it_can(acme, owner, shop, days):
    """After a month it was forgotten, and charged for ever."""
    later(ask(owner))
    with tenancy.system("test"):
        Organization.objects.filter(pk=acme.pk).update(suspended_at=timezone.now() - timedelta(days=days))
    shop.sold[acme.pk] = [Charge("Pro", None)]
    tasks.close_accounts()
    assert not shop.sold


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
