"""Who may buy: an address that nobody has confirmed may log in, but not spend money."""

from http import HTTPStatus

from allauth.account.models import EmailAddress

from accounts import people
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.problems import Refusal


class EmailNotVerified(Refusal):
    status = HTTPStatus.FORBIDDEN
    code = "email_not_verified"
    title = "Confirm your e-mail address first"

    def __init__(self) -> None:
        super().__init__(
            "Open the link in the mail that we sent you, or ask for another one under Settings, then buy again."
        )


def require_verified(*, organization: Organization, user: User | None) -> None:
    """Raises EmailNotVerified unless the user's address is confirmed; for an API key, that of an owner."""
    with tenancy.system("whose e-mail address is confirmed"):
        if user is not None:
            is_verified = people.has_verified_email(user)
        else:
            owners = Membership.objects.filter(organization=organization, role=Role.OWNER)
            is_verified = EmailAddress.objects.filter(verified=True, user__in=owners.values("user")).exists()
    if not is_verified:
        raise EmailNotVerified
