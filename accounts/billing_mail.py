"""Mail to an organization's billing address.

Members enter that address unverified, so it may belong to a stranger. The mail names the organization (whose name
members also enter) only if a member has confirmed the same address.
"""

from typing import Any

from accounts import email_addresses, notifications, throttles
from accounts.models import Membership, Organization
from superagent.foundation import tenancy


def send(*, organization: Organization, template: str, context: dict[str, Any], dedupe_key: str) -> None:
    """Mail about a payment. Never throttled.

    Sent after the caller's transaction, once for each `dedupe_key`. Adds `organization` to `context`: its name, or an
    empty text.
    """
    _send(organization, template, context, dedupe_key, is_members=_is_of_a_member(organization))


def announce(*, organization: Organization, template: str, context: dict[str, Any], dedupe_key: str) -> None:
    """As `send`, for events that a customer can repeat for free, such as canceling and resuming.

    An address that no member has confirmed gets a few of these a day. The audit trail has them all.
    """
    is_members = _is_of_a_member(organization)
    if is_members or throttles.allows(
        name="mail_billing", ident=email_addresses.normalized(organization.email)
    ):
        _send(organization, template, context, dedupe_key, is_members=is_members)


def _send(
    organization: Organization, template: str, context: dict[str, Any], dedupe_key: str, *, is_members: bool
) -> None:
    notifications.send(
        template=template,
        to=[organization.email],
        context={"organization": organization.name if is_members else ""} | context,
        dedupe_key=dedupe_key,
        organization=organization,
    )


def _is_of_a_member(organization: Organization) -> bool:
    """Returns whether the billing address is the confirmed address of an active member."""
    with tenancy.system("whose address an organization's billing address is"):
        member = (
            Membership.objects.filter(
                organization=organization,
                user__email=email_addresses.normalized(organization.email),
                user__is_active=True,
            )
            .select_related("user")
            .first()
        )
        return member is not None and email_addresses.is_confirmed(member.user)
