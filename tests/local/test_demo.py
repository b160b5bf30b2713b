"""The demo: made by the ways of real use, once, and never where the world can reach it."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Organization, User
from billing.catalog import seed
from billing.stripe import client as stripe_client
from metering.models import RequestRecord, UsageEvent
from superagent.foundation import tenancy
from superagent.local import demo


def seed_demo() -> list[str]:
    out = StringIO()
    call_command("seed_demo", stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def without_stripe(db: None, monkeypatch, settings, tmp_path) -> None:
    """No sandbox answers: the demo stays on the free plan."""
    settings.SPOOL_DIR = tmp_path

    def nobody_answers(*args: object, **kwargs: object) -> None:
        raise stripe_client.Unavailable

    monkeypatch.setattr(stripe_client, "call", nobody_answers)
    with tenancy.system("test"):
        seed.write()


def test_the_demo_is_made_once(without_stripe: None) -> None:
    logins = [
        f"customer: {demo.CUSTOMER.email} {demo.CUSTOMER.password}",
        f"staff: {demo.STAFF.email} {demo.STAFF.password}",
    ]
    assert seed_demo()[-2:] == logins
    with tenancy.system("test"):
        organization = Organization.objects.get(name=demo.ORGANIZATION)
        calls = RequestRecord.objects.filter(organization=organization).count()
        assert 300 < calls < 1000  # the free plan's hard limit
        assert UsageEvent.objects.filter(organization=organization).count() > 15
        assert ApiKey.objects.filter(organization=organization).count() == 1
        assert User.objects.get(email=demo.STAFF.email).is_superuser
        moments = [row.started_at for row in RequestRecord.objects.filter(organization=organization)]
        last_day = [at for at in moments if at > timezone.now() - timedelta(days=1)]
        assert max(moments) <= timezone.now()
        assert len({at.replace(microsecond=0) for at in last_day}) > len(last_day) * 0.9
        assert not RequestRecord.objects.filter(method="GET", request_bytes__gt=0).exists()  # as real ones
    assert seed_demo()[-2:] == logins
    with tenancy.system("test"):
        assert RequestRecord.objects.filter(organization=organization).count() == calls
        assert Organization.objects.count() == 2


def test_the_demo_customer_logs_in_and_sees_the_use(without_stripe: None) -> None:
    seed_demo()
    client = Client()
    assert client.login(email=demo.CUSTOMER.email, password=demo.CUSTOMER.password)
    html = client.get(reverse("dashboard")).content.decode()
    assert demo.ORGANIZATION in html
    assert "POST /api/v1/usage/events" in html


@pytest.mark.parametrize("setting", ["IS_SECURE", "STRIPE_LIVE_MODE"])
def test_no_demo_where_it_is_serious(db: None, settings, setting: str) -> None:
    setattr(settings, setting, True)
    with pytest.raises(CommandError, match="Demo data is for development"):
        seed_demo()
    assert not User.objects.exists()
