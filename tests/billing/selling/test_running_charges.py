"""What accounts asks before an account is closed: what is charged, and its end."""

import pytest
from django.utils import timezone

from accounts import charges, closures, notifications, organizations
from accounts.models import Organization
from billing.models import Subscription
from billing.selling import cancellations, orders
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.billing.projection.test_coming import use
from tests.billing.test_portal import Browser, text

pytestmark = pytest.mark.django_db


def test_a_plan_is_charged_until_it_is_ended_with_its_period(customer):
    customer.buy("pro")
    with tenancy.system("test"):
        subscription = Subscription.objects.get(organization=customer.organization)
    [charge] = charges.running(customer.organization)
    assert (charge.name, charge.ends_at) == ("Pro", subscription.current_period_end)
    for _ in range(2):
        charges.end_all(customer.organization)
    with tenancy.system("test"):
        subscription.refresh_from_db()
    assert (subscription.status, subscription.cancel_at_period_end) == ("active", True)
    assert charges.running(customer.organization) == []


def test_closing_an_account_ends_its_plan_when_that_is_agreed_to(customer):
    """H4: the plan went on being charged, with nobody who could cancel it."""
    customer.buy("pro")
    with pytest.raises(closures.StillCharged, match="Pro of"):
        closures.ask(user=customer.user, end_charges=False, now=timezone.now())
    closures.ask(user=customer.user, end_charges=True, now=timezone.now())
    with tenancy.system("test"):
        assert Subscription.objects.get(organization=customer.organization).cancel_at_period_end


def test_who_closes_an_account_is_told_by_page_and_mail_of_use_that_is_still_to_be_billed(customer):
    """Canceled already, so nothing is "running"; the two million tokens over are billed all the same."""
    customer.buy("pro")
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    assert charges.unbilled(customer.organization) == []
    with tenancy.system("test"):
        use(customer.organization, 3_000_000, now=customer.now)
        end = customer.subscription.current_period_end
    assert charges.unbilled(customer.organization) == [charges.Due(amount=400, currency="usd", at=end)]
    due = f"$4.00 so far, on {end:%b} {end.day}, {end.year}"
    page = text(Browser(customer.user).get("/settings/profile/close/"))
    assert f"still billed: {due}" in page
    closures.ask(user=customer.user, end_charges=False, now=timezone.now())
    [row] = OutboxMessage.objects.filter(payload__template="accounts/email/account_closing")
    mail = notifications.render(**row.payload)
    for shown in (mail.body, mail.alternatives[0][0]):
        assert "will still be billed" in shown and f"{due} (Acme)" in shown


def test_the_mail_about_the_end_of_a_plan_names_what_goes_on_and_nothing_that_ends_too(customer):
    """ "Other subscriptions, such as licenses, go on" was said to everybody, also to who had just ended them all."""
    customer.buy("pro")
    orders.place(
        organization=customer.organization, user=customer.user, items=[orders.Wanted("nextpanel-starter")],
        max_total=900, currency="usd", payment="saved_card", now=customer.now,
    )  # fmt: skip
    customer.settle()
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    cancellations.resume(subscription=customer.subscription, now=customer.now)
    closures.ask(user=customer.user, end_charges=True, now=timezone.now())
    rows = OutboxMessage.objects.filter(payload__context__heading="Your Pro plan will end").order_by("id")
    alone, with_the_account = ["\n".join(row.payload["context"]["paragraphs"]) for row in rows]
    assert "Your other subscriptions continue: NextPanel Starter." in alone
    assert "until then is billed at the end." in alone
    assert "go on" not in with_the_account


def test_the_mail_about_the_end_of_a_yearly_plan_says_that_use_is_billed_each_month(customer):
    customer.buy("pro", "year")
    cancellations.cancel(subscription=customer.subscription, now=customer.now)
    row = OutboxMessage.objects.get(payload__context__heading="Your Pro plan will end")
    assert "billed each month until then, and once more at the end." in "\n".join(
        row.payload["context"]["paragraphs"]
    )


def test_who_is_suspended_and_still_pays_is_found_until_it_ends(
    customer, other_customer, django_assert_num_queries
):
    """One query, whatever the number of organizations that nobody owns any more."""
    customer.buy("pro")
    suspended = Organization.objects.filter(suspended_at__isnull=False)
    with tenancy.system("test"):
        assert not charges.paying(suspended).exists()
        for each in (customer, other_customer):
            organizations.suspend(organization=each.organization, because="test", now=timezone.now())
        with django_assert_num_queries(1):
            assert list(charges.paying(suspended)) == [customer.organization]
        assert closures.end_stray_charges() == 1
        assert customer.subscription.is_canceling
        assert not charges.paying(suspended).exists()
        Subscription.objects.update(status="unpaid")  # before its end: nothing ends it but a call of ours
        assert list(charges.paying(suspended)) == [customer.organization]


def test_who_pays_nothing_has_nothing_to_end(customer):
    assert charges.running(customer.organization) == []
    charges.end_all(customer.organization)
