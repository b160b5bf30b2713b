"""Billing for staff: the catalog is edited, facts are read. Pages run in the system scope."""

from billing.admin import catalog, customers, mirrored, records, webhooks

mirrored.register()

__all__ = ["catalog", "customers", "mirrored", "records", "webhooks"]
