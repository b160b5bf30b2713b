"""Accounts for staff, and what every admin page of ours is built on (`audited`, `acts`)."""

from accounts.admin import audit_entries, closures, credentials, organizations, people, security_events

__all__ = ["audit_entries", "closures", "credentials", "organizations", "people", "security_events"]
