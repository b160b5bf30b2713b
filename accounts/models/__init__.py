"""The tables of accounts."""

from accounts.models.organizations import ApiKey, Invitation, Membership, Organization, OrganizationOwned
from accounts.models.people import AccountClosure, EmailChange, TokenFamily, User
from accounts.models.trail import AuditEntry, SecurityEvent

__all__ = [
    "AccountClosure",
    "ApiKey",
    "AuditEntry",
    "EmailChange",
    "Invitation",
    "Membership",
    "Organization",
    "OrganizationOwned",
    "SecurityEvent",
    "TokenFamily",
    "User",
]
