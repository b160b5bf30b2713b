"""Facts that accounts tells the floors above, inside the transaction that makes them true."""

from django.dispatch import Signal

organization_created = Signal()
"""`organization`, `now`: a new organization exists."""

organization_changed = Signal()
"""`organization`: what it is called, or where its bills go, was changed."""
