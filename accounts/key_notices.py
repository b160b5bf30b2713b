"""Mails about API keys, to the member who created the key and to owners and admins."""

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import mail_links, notifications, roles
from accounts.models import ApiKey, AuditEntry, Membership
from accounts.roles import Scope
from superagent.foundation import rate_limits
from superagent.foundation.rate_limits import Limit, Use
from superagent.foundation.templatetags.formats import absolute


def tell(*, key: ApiKey, entry: AuditEntry) -> None:
    """Mail what the audit entry records, once for each entry. Call it in the transaction that writes the entry."""
    for member in _readers(key):
        email = member.user.email
        if _is_one_of_few(member):
            notifications.send(
                template="accounts/email/api_key",
                to=[email],
                context=_context(key, entry),
                dedupe_key=f"{entry.action}:{entry.pk}:{member.user_id}",
                organization=key.organization,
            )


def _readers(key: ApiKey) -> QuerySet[Membership]:
    """Members with a confirmed address: names that members typed must not reach a stranger's mailbox."""
    confirmed = EmailAddress.objects.filter(
        user=OuterRef("user"), email=OuterRef("user__email"), verified=True
    )
    concerned = Q(role__in=roles.roles_with(Scope.ORGANIZATION_WRITE)) | Q(user=key.created_by_id)
    found: QuerySet[Membership] = (
        Membership.objects.visible_to(key.organization)
        .filter(concerned, Exists(confirmed), user__is_active=True)
        .select_related("user")
        .order_by("id")
    )
    return found


def _is_one_of_few(member: Membership) -> bool:
    """Limits these mails a day: a program could create and revoke keys without end."""
    quantity, seconds = settings.THROTTLES["mail_api_key"]
    balance, *_others = rate_limits.take(Use(Limit("mail_api_key", quantity, seconds), str(member.user_id)))
    return bool(balance.is_allowed)


def _context(key: ApiKey, entry: AuditEntry) -> dict[str, str]:
    headings = {
        "api_key.created": _("An API key was created"),
        "api_key.rotated": _("An API key was rotated"),
        "api_key.revoked": _("An API key was revoked"),
    }
    consequences = {
        "api_key.created": _("Programs that have the key can call the API for your organization."),
        "api_key.rotated": _("Give the new key to your programs before the old one stops working."),
        "api_key.revoked": _("Programs that use it can no longer call the API."),
    }
    return {
        "organization": key.organization.name,
        "heading": headings[entry.action],
        "consequence": consequences[entry.action],
        "key": str(key),
        "by": entry.actor_label,
        "ip_address": entry.ip_address or "",
        "at": absolute(entry.at),
        "reason": str(entry.detail.get("reason", "")),
        "url": mail_links.page("api-keys", organization=key.organization),
    }
