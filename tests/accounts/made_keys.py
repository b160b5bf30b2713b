"""API keys and invitations that members made, and the mails about them."""

from django.utils import timezone

from accounts import api_keys, invitations
from accounts.models import ApiKey, Invitation, Organization
from accounts.roles import Scope
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage


def made_by(user, organization, *scopes: Scope, name: str = "server") -> ApiKey:
    with tenancy.tenant(organization):
        key, _plain_text = api_keys.create(
            organization=organization,
            name=name,
            scopes=list(scopes),
            created_by=user,
            expires_at=None,
            now=timezone.now(),
        )
    return key


def usable(organization: Organization) -> set[str]:
    with tenancy.tenant(organization):
        return set(ApiKey.objects.usable(timezone.now()).values_list("name", flat=True))


def mails(template: str) -> list[OutboxMessage]:
    with tenancy.system("test"):
        sent = OutboxMessage.objects.filter(topic="accounts.send_mail").order_by("id")
        return [mail for mail in sent if mail.payload["template"] == f"accounts/email/{template}"]


def invited(organization, by, email, role) -> Invitation:
    with tenancy.tenant(organization):
        return invitations.invite(
            organization=organization, email=email, role=role, invited_by=by, now=timezone.now()
        )
