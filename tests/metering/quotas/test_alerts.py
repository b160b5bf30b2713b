from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from allauth.account.models import EmailAddress
from django.db import OperationalError, connection
from django.utils import timezone

from accounts import notifications
from accounts.models import Membership, Organization, User
from metering.models import Quota, QuotaAlert
from metering.quotas import alerts
from superagent import schedule
from superagent.celery import ROUTES
from superagent.foundation.models import OutboxMessage
from tests.metering.conftest import give, terms

pytestmark = pytest.mark.usefixtures("system_scope")


def people(organization: Organization, *, confirmed: bool = True) -> None:
    for role in ("owner", "admin", "developer"):
        user = User.objects.create(email=f"{role}@example.com", full_name=role)
        EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=confirmed)
        Membership.objects.create(organization=organization, user=user, role=role)


def use(organization: Organization, used: int) -> None:
    Quota.objects.filter(organization=organization, meter__slug="ai_tokens").update(used=used)


def mails() -> list[tuple[str, int]]:
    rows = OutboxMessage.objects.filter(topic="accounts.send_mail").order_by("id")
    return sorted((row.payload["to"][0], row.payload["context"]["threshold"]) for row in rows)


def test_owners_and_admins_are_warned_once_for_each_threshold(organization: Organization) -> None:
    people(organization)
    give(organization, terms("ai_tokens", 100, hard=True), terms("storage_mb_hours", None))
    now = timezone.now()
    use(organization, 79)
    assert alerts.raise_due(now=now) == 0
    use(organization, 80)
    assert alerts.raise_due(now=now) == 1
    assert alerts.raise_due(now=now) == 0
    assert mails() == [("admin@example.com", 80), ("owner@example.com", 80)]
    use(organization, 100)
    assert alerts.raise_due(now=now) == 1
    assert alerts.raise_due(now=now) == 0
    assert len(mails()) == 4
    assert QuotaAlert.objects.count() == 2


def test_what_was_told_costs_nothing_until_there_is_more_to_tell(
    organization: Organization, django_assert_num_queries: Any
) -> None:
    """Every half minute a transaction for each quota between 80 and 99 percent."""
    people(organization)
    give(organization, terms("ai_tokens", 100, hard=True))
    for used in (85, 120):
        use(organization, used)
        assert alerts.raise_due(now=timezone.now()) == 1
        with django_assert_num_queries(1):
            assert alerts.raise_due(now=timezone.now()) == 0
    assert QuotaAlert.objects.count() == 2


def test_a_threshold_that_was_jumped_over_is_raised_with_the_higher_one(organization: Organization) -> None:
    people(organization)
    give(organization, terms("ai_tokens", 100, rate="1"))
    use(organization, 250)
    assert alerts.raise_due(now=timezone.now()) == 1
    assert mails() == [("admin@example.com", 100), ("owner@example.com", 100)]
    assert sorted(QuotaAlert.objects.values_list("threshold_percent", flat=True)) == [80, 100]
    assert alerts.raise_due(now=timezone.now()) == 0


def test_the_next_period_warns_anew(organization: Organization) -> None:
    from metering.quotas import periods

    people(organization)
    give(organization, terms("ai_tokens", 100, hard=True))
    use(organization, 90)
    now = timezone.now()
    assert alerts.raise_due(now=now) == 1
    later = now + timedelta(days=40)
    periods.ensure(organization=organization, now=later)
    periods.close_due(now=later)
    assert alerts.raise_due(now=later) == 0
    use(organization, 85)
    assert alerts.raise_due(now=later) == 1


def test_the_mail_reads_well(organization: Organization) -> None:
    people(organization)
    give(organization, terms("ai_tokens", 1000, hard=True))
    use(organization, 1000)
    alerts.raise_due(now=timezone.now())
    mail = notifications.render(**OutboxMessage.objects.first().payload)
    assert mail.subject == "Acme has used 100% of its AI tokens"
    assert "1,000 of 1,000 tokens (100%)" in mail.body
    assert "Further requests are refused until the quota resets" in mail.body


def test_one_that_cannot_be_warned_does_not_keep_the_others_from_it(
    organization: Organization, other_organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (organization, other_organization):
        give(each, terms("ai_tokens", 100, hard=True))
        use(each, 90)
    mail = alerts._mail

    def mail_others(quota: Quota, threshold: int, used: int) -> None:
        if quota.organization_id == organization.pk:
            raise RuntimeError("no address")
        mail(quota, threshold, used)

    monkeypatch.setattr(alerts, "_mail", mail_others)
    assert alerts.raise_due(now=timezone.now()) == 1
    assert [alert.organization for alert in QuotaAlert.objects.all()] == [other_organization]


def test_warnings_leave_within_a_minute_of_the_threshold() -> None:
    """The landing page promises no surprises: a customer who is refused has had a mail."""
    [entry] = [entry for entry in schedule.ENTRIES if entry.task == "metering.tasks.warn_of_quotas"]
    assert isinstance(entry.when, schedule.Every)
    assert entry.when.interval <= timedelta(minutes=1)
    assert entry.task not in ROUTES  # no invoice run holds it up


def test_customers_with_nothing_to_be_told_cost_nothing(
    organization: Organization, other_organization: Organization, django_assert_num_queries
) -> None:
    """It runs twice a minute, so only who passed a threshold that was not told is read."""
    people(organization)
    for each in (organization, other_organization):
        give(each, terms("ai_tokens", 100), terms("api_requests", 1000))
    use(organization, 100)
    assert alerts.raise_due(now=timezone.now()) == 1
    with django_assert_num_queries(1):
        assert alerts.raise_due(now=timezone.now()) == 0


def test_an_address_that_nobody_confirmed_is_mailed_nothing_that_the_founder_typed(
    organization: Organization,
) -> None:
    people(organization, confirmed=False)
    give(organization, terms("ai_tokens", 100, hard=True))
    use(organization, 80)
    alerts.raise_due(now=timezone.now())
    for message in OutboxMessage.objects.filter(topic="accounts.send_mail"):
        mail = notifications.render(**message.payload)
        assert mail.subject == "Your organization has used 80% of its AI tokens"
        assert organization.name not in mail.body + str(mail.alternatives)


def test_a_warning_that_fails_is_an_alarm_and_counted(organization: Organization) -> None:
    people(organization)
    give(organization, terms("ai_tokens", 100, hard=True))
    use(organization, 100)
    before = alerts.failed_warnings._value.get()

    def refuse(execute: Any, sql: str, *more: Any) -> Any:
        if 'INSERT INTO "metering_quotaalert"' in sql:
            raise OperationalError("the disk is full")
        return execute(sql, *more)

    with connection.execute_wrapper(refuse), structlog.testing.capture_logs() as logs:
        assert alerts.raise_due(now=timezone.now()) == 0
    [told] = [each for each in logs if each["event"] == "quota_warning_failed"]
    assert (told["organization"], told["alarm"], told["log_level"]) == (str(organization.pk), True, "error")
    assert alerts.failed_warnings._value.get() == before + 1
    assert alerts.raise_due(now=timezone.now()) == 1
