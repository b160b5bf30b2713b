"""No page of the admin gives anybody a right that they were not given, whatever is posted there."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from accounts import rights_guard
from accounts.models import Membership, User
from accounts.roles import Role
from tests.accounts.conftest import join
from tests.billing.conftest import Customer, customer, shop, stripe_at_sandbox
from tests.fixtures.admin_pages import Browser, Page, filled, form_of, pages, root
from tests.fixtures.forms import Form
from tests.fixtures.samples import part, sampled

__all__ = ["customer", "filled", "root", "shop", "stripe_at_sandbox"]  # fixtures


def rights() -> dict[str, Any]:
    """Everything by which somebody could do more than before, or become somebody who may."""
    staff = User.objects.filter(is_staff=True).order_by("pk")
    return {
        "rights": list(User.objects.order_by("pk").values_list("pk", "is_staff", "is_superuser")),
        "groups of people": list(User.groups.through.objects.order_by("pk").values_list()),
        "permissions of people": list(User.user_permissions.through.objects.order_by("pk").values_list()),
        "permissions of groups": list(Group.permissions.through.objects.order_by("pk").values_list()),
        "accounts of staff": list(staff.values_list("pk", "email", "password", "is_active")),
        "addresses": list(EmailAddress.objects.order_by("pk").values_list("pk", "email", "verified", "user")),
        "second factors": list(Authenticator.objects.order_by("pk").values_list("pk", "type", "user")),
        "roles of staff": list(
            Membership.objects.filter(user__in=staff).order_by("pk").values_list("pk", "role")
        ),
    }


def hostile(form: Form, people: list[User]) -> dict[str, Any]:
    """The form as it stands, with everything that a page might be tricked into taking."""
    some = Permission.objects.filter(codename__in=["change_user", "add_group", "change_apikey"])
    everything = list(some.values_list("pk", flat=True))
    group = Group.objects.values_list("pk", flat=True)
    return form.values | {
        "reason": "x", "name": "Mine", "full_name": "X", "role": "owner", "email": "thief@evil.example",
        "is_staff": "on", "is_superuser": "on", "is_active": "on", "verified": "on", "primary": "on",
        "groups": list(group), "user_permissions": everything, "permissions": everything,
        "password": "x", "password1": "horse on a hill", "password2": "horse on a hill", "usable_password": "true",
        "user": str(people[0].pk), "type": "totp", "data": "{}",
    }  # fmt: skip


@pytest.fixture
def clerk(filled: Customer, root: User) -> User:
    """A member of staff, who is also a viewer at the customer, among colleagues who may do more."""
    user = join(filled.organization, "clerk@superagent.example", Role.VIEWER)
    user.is_staff = True
    with rights_guard.opened():
        user.save()
    return user


@pytest.mark.timeout(600)
def test_all_permissions_together_do_not_give_another_right(clerk: User) -> None:
    """H1: whoever may do everything on every page is still no superuser, and nobody else becomes one."""
    clerk.user_permissions.set(Permission.objects.all())
    client = Browser(clerk)
    people = [clerk, *User.objects.filter(is_superuser=True)]
    targets = [
        Page("accounts.user", reverse(f"admin:accounts_user_{name}", args=[user.pk, *more]))
        for user in people
        for name, more in [("change", []), *(("act", [act.name]) for act in admin.site._registry[User].acts)]
    ]
    before = rights()
    for page in [*pages(), *targets]:
        body = hostile(form_of(client, page), people) | dict(page.extra)
        client.post(page.path, body)
        assert rights() == before, page
        clerk.refresh_from_db()


@sampled(4)
def test_no_permission_alone_gives_another_right(clerk: User, step: int) -> None:
    """H1: each permission by itself on the pages of its model, those about people on every fourth page about people as
    well, beginning at another one each time; then all others together on all of those."""
    client = Browser(clerk)
    body = hostile(Form(), [clerk, *User.objects.filter(is_superuser=True)])
    before = rights()
    by_model: dict[str, list[Page]] = {}
    for page in pages():
        by_model.setdefault(page.model, []).append(page)
    about_people = by_model["accounts.user"] + by_model["auth.group"] + by_model["accounts.membership"]
    permissions = list(Permission.objects.select_related("content_type"))
    for turn, permission in enumerate(permissions):
        app, model = permission.content_type.natural_key()
        reached = set(by_model.get(f"{app}.{model}", []))
        if app in ("accounts", "auth"):
            reached |= set(part(about_people, step=step, turn=turn))
        clerk.user_permissions.set([permission])
        for page in reached:
            client.post(page.path, body | dict(page.extra))
    clerk.user_permissions.set(
        [each for each in permissions if each.content_type.app_label not in ("accounts", "auth")]
    )
    for page in about_people:
        client.post(page.path, body | dict(page.extra))
    clerk.user_permissions.set([])
    assert rights() == before
