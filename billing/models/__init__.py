from billing.models.catalog import Interval, Plan, PlanAllowance, Price, Product
from billing.models.customers import BillingAccount
from billing.models.invoices import Invoice, InvoiceLine, OverageCharge, Payment, Refund
from billing.models.orders import CheckoutSession, Order, OrderItem
from billing.models.subscriptions import Subscription
from billing.models.webhooks import ObjectFence, WebhookEndpoint, WebhookEvent, WebhookLease

__all__ = [
    "BillingAccount",
    "CheckoutSession",
    "Interval",
    "Invoice",
    "InvoiceLine",
    "ObjectFence",
    "Order",
    "OrderItem",
    "OverageCharge",
    "Payment",
    "Plan",
    "PlanAllowance",
    "Price",
    "Product",
    "Refund",
    "Subscription",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookLease",
]
