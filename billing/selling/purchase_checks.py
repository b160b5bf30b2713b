"""Who may buy: users with an unconfirmed email address may log in but not purchase."""

from allauth.account.models import EmailAddress

from accounts import people
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy


def require_verified_email(*, organization: Organization, user: User | None) -> None:
    """Raises people.EmailNotVerified unless the user's address is confirmed; for an API key, that of an owner."""
    with tenancy.system("whose email address is confirmed"):
        if user is not None:
            is_verified = people.has_verified_email(user)
        else:
            owners = Membership.objects.filter(organization=organization, role=Role.OWNER)
            is_verified = EmailAddress.objects.filter(verified=True, user__in=owners.values("user")).exists()
    if not is_verified:
        raise people.EmailNotVerified
