"""Every page of the admin in Chromium: axe finds nothing wrong, wide and narrow, light and dark.

Its first page, each list, one row and an empty form of each model, and each act on a row, with something of everything
in the database, as in test_every_page. Django renders the pages beforehand. Of Stripe's objects, whose pages are one
class, the first with rows stands for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from accounts import closures, organizations
from accounts.admin.acts import ActsAdmin
from accounts.models import User
from superagent.foundation import tenancy
from tests.accounts.conftest import founded
from tests.billing.conftest import Customer
from tests.fixtures import axe
from tests.journeys.test_every_page import Shot, check, shot, with_something_new
from tests.test_admin_pages import Browser, customer, filled, root, shop, stripe_at_sandbox

__all__ = ["customer", "filled", "root", "shop", "stripe_at_sandbox"]  # fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def addresses() -> Iterator[str]:
    yield reverse("admin:index")
    has_mirrored = False
    for model, model_admin in admin.site._registry.items():
        options = model._meta
        name = f"{options.app_label}_{options.model_name}"
        row = model._default_manager.order_by("pk").first()
        if options.app_label == "djstripe":
            if has_mirrored or row is None:
                continue
            has_mirrored = True
        yield reverse(f"admin:{name}_changelist")
        yield reverse(f"admin:{name}_add")
        if row is not None:
            yield reverse(f"admin:{name}_change", args=[row.pk])
            if isinstance(model_admin, ActsAdmin):
                yield from acts(model_admin, name, row)


def acts(model_admin: ActsAdmin, name: str, row: Model) -> Iterator[str]:
    for act in model_admin.acts:
        yield reverse(f"admin:{name}_act", args=[row.pk, act.name])


@pytest.fixture
def shots(filled: Customer, root: User) -> list[Shot]:
    """Pages of the same form are kept apart here, since each model has one of a kind only."""
    someone = User.objects.exclude(pk__in=[root.pk, filled.user.pk]).earliest("pk")
    closures.ask(user=someone, end_charges=False, now=timezone.now())
    founded("Left behind", someone)
    organizations.suspend(organization=founded("Given up", someone), because="test", now=timezone.now())
    client = Browser(root)
    with tenancy.system("test"):
        paths = list(addresses())
    answers = [client.get(path) for path in paths]
    assert {answer.status_code for answer in answers} <= {
        200,
        403,
    }  # what nobody adds, and acts that are not due
    found = [shot("root:", answer) for answer in answers if answer.status_code == 200]
    return [each for each in found if each is not None]


def test_axe_finds_nothing_on_any_page_of_the_admin(shots: list[Shot], root: User) -> None:
    assert len(shots) >= 60, [each.path for each in shots]
    assert {kind_of(each) for each in shots} == {"index", "list", "add", "change", "act"}
    check(shots, wholly=with_something_new(shots), looks=axe.SOME_LOOKS, scripts=words(root))


@pytest.mark.verify
def test_axe_finds_nothing_on_any_page_of_the_admin_in_every_look(shots: list[Shot], root: User) -> None:
    check(shots, wholly=shots, looks=axe.LOOKS, scripts=words(root))


def words(root: User) -> dict[str, str]:
    address = reverse("admin:jsi18n")
    return {address: Browser(root).get(address).content.decode()}


def kind_of(page: Shot) -> str:
    parts = page.path.strip("/").split("/")
    if "acts" in parts:
        return "act"
    return {1: "index", 3: "list"}.get(len(parts), parts[-1])
