"""Facts that metering tells the floors above, inside the transaction that makes them true."""

from django.dispatch import Signal

period_closed = Signal()
"""`period`, `now`: a usage period was closed and rated; `rating.rate(period)` has its lines."""
