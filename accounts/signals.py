"""Signals of accounts to upper apps, sent inside the transaction of the change."""

from django.dispatch import Signal

organization_created = Signal()
"""`organization`, `now`: an organization was created."""

organization_changed = Signal()
"""`organization`: its name or billing address was changed."""
