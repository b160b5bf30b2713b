"""The checklist of a new organization."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import people, roles
from accounts.models import ApiKey, Membership
from accounts.roles import Scope
from superagent.foundation.prepared import Given, Prepared


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    text: str
    action: str
    href: str
    is_done: bool


_any_key: Prepared[ApiKey] = Prepared(
    lambda: ApiKey.objects.filter(organization=Given("organization")).order_by().only("id")[:1]
)


def steps(membership: Membership, *, has_called: bool) -> list[Step]:
    user, organization = membership.user, membership.organization
    confirm = Step(
        title=_("Confirm your email address"),
        text=_("Open the link that we sent to %(email)s. You need this before you can buy a plan.")
        % {"email": user.email},
        action=_("Send it again"),
        href=reverse("verify-email"),
        is_done=people.has_verified_email(user),
    )
    if not roles.allows(membership.role, Scope.KEYS_WRITE):
        return [confirm]
    return [
        confirm,
        Step(
            title=_("Create an API key"),
            text=_("Your programs send it with every call. Give each program its own."),
            action=_("Create key"),
            href=reverse("api-key-new"),
            is_done=bool(_any_key(organization=organization.pk)),
        ),
        Step(
            title=_("Make the first call"),
            text=_("Call the API with your key. It shows up here within seconds."),
            action=_("Show the call"),
            href=f"{reverse('dashboard')}#first-call",
            is_done=has_called,
        ),
    ]
