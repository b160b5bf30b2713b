"""Roles of members and scopes of API keys. Portal and API read the same table."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    VIEWER = "viewer", _("Viewer")


class Scope(models.TextChoices):
    USAGE_WRITE = "usage:write", _("Report usage")
    USAGE_READ = "usage:read", _("Read usage and request statistics")
    QUOTAS_READ = "quotas:read", _("Read and check quotas")
    BILLING_READ = "billing:read", _("Read plan, invoices and payments")
    BILLING_WRITE = "billing:write", _("Buy, change and cancel")
    LICENSES_READ = "licenses:read", _("Read licenses")
    LICENSES_WRITE = "licenses:write", _("Manage licenses")
    KEYS_READ = "keys:read", _("List API keys")
    KEYS_WRITE = "keys:write", _("Create and revoke API keys")
    ORGANIZATION_READ = "organization:read", _("Read the organization and its members")
    ORGANIZATION_WRITE = "organization:write", _("Manage the organization")


_READ = frozenset({Scope.USAGE_READ, Scope.QUOTAS_READ, Scope.LICENSES_READ, Scope.ORGANIZATION_READ})
_EVERYTHING = frozenset(Scope)

SCOPES_OF_ROLE: dict[str, frozenset[Scope]] = {
    Role.OWNER: _EVERYTHING,
    Role.ADMIN: _EVERYTHING,
    Role.DEVELOPER: _READ
    | {Scope.USAGE_WRITE, Scope.KEYS_READ, Scope.KEYS_WRITE, Scope.LICENSES_WRITE, Scope.BILLING_READ},
    Role.BILLING: _READ | {Scope.BILLING_READ, Scope.BILLING_WRITE},
    Role.VIEWER: _READ,
}


def allows(role: str, scope: str) -> bool:
    """Returns whether a member with `role` has `scope`."""
    return scope in SCOPES_OF_ROLE.get(role, frozenset())


def may_give(giver: str, role: str) -> bool:
    """Returns whether a member with the role `giver` may give or remove `role`.

    Only owners may add and remove owners, and nobody may give more scopes than their own role has.
    """
    if role == Role.OWNER:
        return giver == Role.OWNER
    return allows(giver, Scope.ORGANIZATION_WRITE) and SCOPES_OF_ROLE[role] <= SCOPES_OF_ROLE[giver]


def roles_with(scope: str) -> list[Role]:
    """Returns the roles that have `scope`, highest first."""
    return [role for role in Role if allows(role, scope)]
