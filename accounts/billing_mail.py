"""Mail to an organization's billing address: a mailbox that its members have typed, and that may be a stranger's.

So the organization, whose name they have typed too, is named there only if one of its members has confirmed that very
address.
"""

from typing import Any

from accounts import email_addresses, notifications, throttles
from accounts.models import Membership, Organization
from superagent.foundation import tenancy


def send(*, organization: Organization, template: str, context: dict[str, Any], dedupe_key: str) -> None:
    """Mail what was paid or was not, and what we do: none of it is left out.

    As `notifications.send`: after the caller's transaction, and once for each `dedupe_key`. `context` gets
    `organization`, its name or an empty text.
    """
    _send(organization, template, context, dedupe_key, is_members=_is_of_a_member(organization))


def announce(*, organization: Organization, template: str, context: dict[str, Any], dedupe_key: str) -> None:
    """As `send`, for what can be brought about for nothing and without end, such as to cancel and to resume.

    An address that no member has confirmed gets a few of these a day; the audit trail tells all.
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
    """Whether the billing address is the confirmed one of somebody who belongs to the organization."""
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
