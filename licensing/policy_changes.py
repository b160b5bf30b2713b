"""Mails about changes of a policy that affect issued licenses, with the reason.

These are the grace periods, which are read from the policy when they are needed. Limits are copied when a license is
issued, so changing them affects no issued license.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import audit, billing_mail, mail_links
from accounts.models import Organization
from licensing.models import License, Policy
from superagent.foundation import outbox
from superagent.foundation.identifiers import uuid7
from superagent.foundation.models import OutboxMessage

TOPIC = "licensing.tell_of_policy"
TEMPLATE = "licensing/email/policy"
GRACES = ("payment_grace_days", "renewal_grace_days")
BATCH = 200  # organizations of one message, which is leased for two minutes


def tell(*, policy: Policy, changes: dict[str, Any], reason: str) -> None:
    """Have the affected organizations mailed, if any. Call it in the transaction of the change."""
    of_graces = {name: changes[name] for name in GRACES if name in changes}
    if of_graces:
        payload = {"change": str(uuid7()), "policy": str(policy.pk), "changes": of_graces, "reason": reason}
        _enqueue(payload, after=None)


def tell_next(payload: dict[str, Any]) -> None:
    """Mail a batch of organizations and record it, once each; then enqueue the next batch. The outbox handler."""
    after = payload.get("after")
    policy = Policy.objects.get(pk=payload["policy"])
    holders = License.objects.filter(policy=policy).exclude(
        status__in=[License.Status.REVOKED, License.Status.EXPIRED]
    )
    organizations = Organization.objects.filter(pk__in=holders.values("organization_id")).order_by("pk")
    if after:
        organizations = organizations.filter(pk__gt=UUID(after))
    batch = list(organizations[:BATCH])
    for organization in batch:
        _tell(organization, policy, payload)
    if len(batch) == BATCH:
        _enqueue(payload, after=str(batch[-1].pk))


def _enqueue(payload: dict[str, Any], *, after: str | None) -> None:
    outbox.enqueue(
        topic=TOPIC, payload=payload | {"after": after}, dedupe_key=f"policy:{payload['change']}:{after}"
    )


def _tell(organization: Organization, policy: Policy, payload: dict[str, Any]) -> None:
    mail_key = f"policy:{payload['change']}:{organization.pk}"
    with transaction.atomic():
        # Locked, so that a concurrent run of the same message waits and then finds the mail.
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if OutboxMessage.objects.filter(dedupe_key=f"mail:{mail_key}").exists():
            return
        audit.record(
            action="license.terms_changed",
            organization=organization,
            target=policy,
            detail={"changes": payload["changes"], "reason": payload["reason"]},
        )
        billing_mail.send(
            organization=organization,
            template=TEMPLATE,
            context={
                "license": policy.name,
                "changes": [_words(name, change) for name, change in sorted(payload["changes"].items())],
                "reason": payload["reason"],
                "url": mail_links.page("licenses", organization=organization),
                "support": settings.SUPPORT_EMAIL,
            },
            dedupe_key=mail_key,
        )


def _words(name: str, change: dict[str, int]) -> str:
    if name == "payment_grace_days":
        text = _(
            "If a renewal payment fails, the license now works for another %(after)s. Before, it was %(before)s."
        )
    else:
        text = _(
            "If a renewal is late, the license now works for another %(after)s. Before, it was %(before)s."
        )
    return text % {"before": _days(change["from"]), "after": _days(change["to"])}


def _days(number: int) -> str:
    return ngettext("%(number)d day", "%(number)d days", number) % {"number": number}
