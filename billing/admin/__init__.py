"""Billing's admin: staff edit the catalog; everything else is read-only. Pages run in the system scope."""

from billing.admin import catalog, customers, mirrored, records, webhooks

mirrored.register()

__all__ = ["catalog", "customers", "mirrored", "records", "webhooks"]
