"""Signals of billing for higher layers, sent inside the transaction of the change."""

from django.dispatch import Signal

order_item_paid = Signal()
"""`item` (OrderItem), `now`: it is paid for the first time; sent once for each item."""

subscription_changed = Signal()
"""`subscription`, `previous_status` (None when it is new), `previous_pending_price`, `now`: its status, product, price,
period or end changed, or the change that is coming."""

plan_changed = Signal()
"""`organization`, `plan`, `now`: the current plan changed; its allowances are applied already."""

payment_refunded = Signal()
"""`payment` (Payment, with its invoice), `now`: it is refunded in full; sent again whenever it is applied again."""

catalog_changed = Signal()
"""`product`: what is on sale changed by other ways than saving rows."""
