"""Billing for staff: the catalog is edited, facts are read. Pages run in the system scope."""

import djstripe.admin  # noqa: F401 - it registers dj-stripe's admins now, so that they can be taken away

from billing import mirror
from billing.admin import catalog, customers, mirrored, records, webhooks

mirror.hide_admins()
mirrored.register()

__all__ = ["catalog", "customers", "mirrored", "records", "webhooks"]
