"""The admin of accounts, and the base classes of all our admin pages (`audited`, `acts`)."""

from accounts.admin import audit_entries, closures, credentials, organizations, people, security_events

__all__ = ["audit_entries", "closures", "credentials", "organizations", "people", "security_events"]
