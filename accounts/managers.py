from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth.base_user import BaseUserManager
from django.db import models

from accounts import rights_guard

if TYPE_CHECKING:
    from accounts.models import Organization, User


class UserManager(BaseUserManager["User"]):
    """Finds users by email, ignoring case; addresses are stored in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        if not email:
            raise ValueError("a user needs an email address")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        with rights_guard.opened() if user.is_staff or user.is_superuser else nullcontext():
            user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to an organization."""

    def visible_to(self, organization: "Organization") -> Self:
        """Returns the organization's rows. Row-level security also refuses all others."""
        return self.filter(organization=organization)


class ApiKeyQuerySet(OwnedQuerySet):
    def usable(self, now: datetime) -> Self:
        """Returns the keys that are neither revoked nor expired at `now`, which is real time."""
        return self.filter(
            models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=now), revoked_at__isnull=True
        )


class InvitationQuerySet(OwnedQuerySet):
    def open(self, now: datetime) -> Self:
        """Returns the invitations that are neither accepted, withdrawn nor expired at `now`, which is real time."""
        return self.filter(accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now)


OwnedManager = models.Manager.from_queryset(OwnedQuerySet)
ApiKeyManager = models.Manager.from_queryset(ApiKeyQuerySet)
InvitationManager = models.Manager.from_queryset(InvitationQuerySet)
