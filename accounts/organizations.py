"""Organizations: the tenants that pay."""

from datetime import datetime

from django.db import transaction

from accounts import api_keys, audit, people
from accounts.models import ApiKey, Invitation, Membership, Organization, User
from accounts.roles import Role
from accounts.signals import organization_changed, organization_created
from superagent.foundation import tenancy
from superagent.foundation.problems import Refusal

MAX_OWNED = 20


class TooManyOrganizations(Refusal):
    code = "too_many_organizations"
    title = "You own the maximum number of organizations"


def create(*, name: str, owner: User, now: datetime) -> Organization:
    """Create an organization owned by `owner`; it becomes their default one if they have none.

    Raises TooManyOrganizations, and people.EmailNotVerified for a second one without a confirmed address.
    """
    with tenancy.system("an organization is made before it can be anyone's scope"), transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        if Membership.objects.filter(user=owner).exists():
            people.require_verified(
                owner
            )  # sign-up creates the first one; each further one costs an allowance and a customer
        if Membership.objects.filter(user=owner, role=Role.OWNER).count() >= MAX_OWNED:
            raise TooManyOrganizations(
                f"A person may own {MAX_OWNED}. Hand one over to another owner, or write to us."
            )
        organization = Organization.objects.create(name=name, email=owner.email, created_at=now)
        Membership.objects.create(organization=organization, user=owner, role=Role.OWNER, created_at=now)
        if owner.default_organization_id is None:
            owner.default_organization = organization
            owner.save(update_fields=["default_organization"])
        audit.record(
            action="organization.created", organization=organization, actor=owner, target=organization
        )
        organization_created.send(sender=Organization, organization=organization, now=now)
    return organization


def update(*, organization: Organization, name: str, email: str) -> Organization:
    """Change an organization's name and billing address. Call it in its scope."""
    with transaction.atomic():
        stored = Organization.objects.select_for_update().get(pk=organization.pk)
        changes = {
            field: {"from": getattr(stored, field), "to": value}
            for field, value in (("name", name), ("email", email))
            if getattr(stored, field) != value
        }
        if changes:
            stored.name, stored.email = name, email
            stored.save(update_fields=["name", "email"])
            audit.record(
                action="organization.updated", organization=stored, target=stored, detail={"changes": changes}
            )
            organization_changed.send(sender=Organization, organization=stored)
    return stored


def suspend(*, organization: Organization, because: str, now: datetime) -> None:
    """Suspend an organization without an owner: revoke its API keys and withdraw its invitations.

    Idempotent. Call it in the system scope.
    """
    with transaction.atomic():
        stored = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if stored.suspended_at is not None:
            return
        stored.suspended_at = now
        stored.save(update_fields=["suspended_at"])
        for key in ApiKey.objects.filter(organization=stored).usable(now):
            api_keys.revoke(organization=stored, key_id=key.pk, revoked_by=None, now=now, reason=because)
        for invitation in Invitation.objects.filter(organization=stored).open(now):
            invitation.withdraw(now)
        audit.record(
            action="organization.suspended", organization=stored, target=stored, detail={"because": because}
        )


def set_test_clock_time(*, organization: Organization, test_clock_time: datetime | None) -> None:
    """Move the organization's clock to the frozen time of its Stripe test clock; None returns to real time."""
    with tenancy.system("test clock"), transaction.atomic():
        stored = Organization.objects.select_for_update().get(pk=organization.pk)
        if stored.test_clock_time != test_clock_time:  # called repeatedly while the clock stands still
            stored.test_clock_time = test_clock_time
            stored.save(update_fields=["test_clock_time"])
            audit.record(
                action="organization.test_clock_time_set",
                organization=stored,
                target=stored,
                detail={"test_clock_time": test_clock_time.isoformat() if test_clock_time else None},
            )
        api_keys.publish_all(organization=stored)
    organization.test_clock_time = test_clock_time
