"""allauth's login; the person of each request is found by a prepared query."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from accounts.models import User
from superagent.foundation.prepared import Given, Prepared

_by_id: Prepared[User] = Prepared(lambda: User.objects.filter(pk=Given("user")))


class Backend(AuthenticationBackend):
    def get_user(self, user_id: Any) -> User | None:
        user = _by_id.first(user=user_id)
        return user if user is not None and self.user_can_authenticate(user) else None
