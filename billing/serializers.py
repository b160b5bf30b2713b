from uuid import UUID

from rest_framework import serializers

from billing.models import (
    Interval,
    Invoice,
    InvoiceLine,
    Order,
    OrderItem,
    Payment,
    Plan,
    PlanAllowance,
    Price,
    Product,
    Subscription,
)
from superagent.foundation.serializers import KeyedRequest, PartialResponse

RECURRING = [(Interval.MONTH.value, "month"), (Interval.YEAR.value, "year")]

# --- catalog


class PriceResponse(serializers.ModelSerializer):
    class Meta:
        model = Price
        fields = ["interval", "currency", "unit_amount"]


class PlanAllowanceResponse(serializers.ModelSerializer):
    meter = serializers.CharField(source="meter.slug")
    unit = serializers.CharField(source="meter.unit")
    hard = serializers.BooleanField(source="is_hard")
    overage_rate = serializers.DecimalField(
        max_digits=20,
        decimal_places=12,
        normalize_output=True,
        help_text="Minor units for each unit of overage.",
    )

    class Meta:
        model = PlanAllowance
        fields = ["meter", "unit", "included", "hard", "overage_rate", "currency"]


class PlanResponse(PartialResponse, serializers.ModelSerializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(source="product.description")
    prices = PriceResponse(many=True)
    allowances = PlanAllowanceResponse(many=True)
    features = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Plan
        fields = ["slug", "name", "description", "version", "prices", "allowances", "features", "trial_days"]


class PackResponse(serializers.Serializer):
    slug = serializers.CharField()
    credits = serializers.IntegerField()
    unit_amount = serializers.IntegerField()
    currency = serializers.CharField()


class PlansResponse(serializers.Serializer):
    data = PlanResponse(many=True)
    packs = PackResponse(many=True)


class ProductResponse(PartialResponse, serializers.ModelSerializer):
    prices = PriceResponse(many=True)

    class Meta:
        model = Product
        fields = ["slug", "name", "kind", "description", "prices"]


class ProductsResponse(serializers.Serializer):
    data = ProductResponse(many=True)


# --- the plan of the organization


class PendingChangeResponse(serializers.Serializer):
    """Canceled by billing/subscription/resume until then."""

    product = serializers.CharField(source="pending_price.product.slug")
    interval = serializers.CharField(source="pending_price.interval")
    unit_amount = serializers.IntegerField(source="pending_price.unit_amount")
    currency = serializers.CharField(source="pending_price.currency")
    effective_at = serializers.DateTimeField(source="pending_at")


class PendingPlanResponse(PendingChangeResponse):
    product = None
    plan = serializers.CharField(source="pending_price.product.slug")


class PlanSubscriptionResponse(PartialResponse):
    """The API plan; without a paid one: `free`, `active`, usage periods."""

    plan = serializers.CharField()
    status = serializers.CharField()
    interval = serializers.ChoiceField(choices=RECURRING, allow_null=True)
    current_period_start = serializers.DateTimeField()
    current_period_end = serializers.DateTimeField()
    cancel_at_period_end = serializers.BooleanField()
    pending_change = PendingPlanResponse(allow_null=True, help_text="The scheduled change, if any.")
    trial_end = serializers.DateTimeField(allow_null=True)


class PlanChoiceRequest(serializers.Serializer):
    plan = serializers.CharField(max_length=60, help_text="The slug of a plan from billing/plans.")
    interval = serializers.ChoiceField(choices=RECURRING, default=Interval.MONTH.value)


class CheckoutRequest(KeyedRequest, PlanChoiceRequest):
    promotion_code = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)


class ChangePlanRequest(KeyedRequest, PlanChoiceRequest):
    effective_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="A preview's, so that its amounts hold."
    )
    max_amount_due = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The maximum to pay now, in minor units; a higher amount is refused with price_changed.",
    )


class PreviewLineResponse(serializers.Serializer):
    description = serializers.CharField()
    amount = serializers.IntegerField()
    currency = serializers.CharField()
    proration = serializers.BooleanField(source="is_proration")
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()


class PreviewResponse(serializers.Serializer):
    at_once = serializers.BooleanField(
        help_text="False for a downgrade or a shorter interval: it begins at effective_at, the end of the paid period."
    )
    amount_due = serializers.IntegerField(help_text="Charged now, in minor units.")
    credit = serializers.IntegerField(help_text="Credit for the next invoices, in minor units.")
    currency = serializers.CharField()
    lines = PreviewLineResponse(many=True)
    effective_at = serializers.DateTimeField()
    renews_at = serializers.DateTimeField()
    renewal_amount = serializers.IntegerField()


class CancelPlanRequest(serializers.Serializer):
    at_period_end = serializers.BooleanField(default=True)
    reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class CheckoutResponse(serializers.Serializer):
    session_id = serializers.CharField()
    url = serializers.URLField()


class SubscribeResponse(CheckoutResponse):
    """A subscription that is not paid yet."""

    status = serializers.ChoiceField(
        choices=["pending"], help_text="The subscription is created when it is paid."
    )
    plan = serializers.CharField()
    interval = serializers.ChoiceField(choices=RECURRING)


class UrlResponse(PartialResponse):
    url = serializers.URLField()


class MeterUsageResponse(serializers.Serializer):
    meter = serializers.CharField()
    unit = serializers.CharField()
    included = serializers.IntegerField(allow_null=True, help_text="Null: unlimited.")
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)
    overage_quantity = serializers.IntegerField()
    overage_amount = serializers.IntegerField()
    currency = serializers.CharField()


class UsageResponse(PartialResponse):
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    meters = MeterUsageResponse(many=True)


# --- invoices and payments


class InvoiceLineResponse(serializers.ModelSerializer):
    proration = serializers.BooleanField(source="is_proration")

    class Meta:
        model = InvoiceLine
        fields = ["description", "quantity", "amount", "currency", "period_start", "period_end", "proration"]


class InvoiceResponse(PartialResponse, serializers.ModelSerializer):
    lines = InvoiceLineResponse(many=True)
    number = serializers.CharField(allow_null=True)

    class Meta:
        model = Invoice
        fields = [
            "id",
            "number",
            "status",
            "currency",
            "subtotal",
            "discount",
            "tax",
            "total",
            "amount_due",
            "amount_paid",
            "period_start",
            "period_end",
            "hosted_url",
            "pdf_url",
            "created_at",
            "paid_at",
            "lines",
        ]


class PaymentResponse(PartialResponse, serializers.ModelSerializer):
    class Meta:
        model = Payment
        fields = [
            "id",
            "status",
            "amount",
            "amount_refunded",
            "currency",
            "description",
            "failure_code",
            "failure_message",
            "card_brand",
            "card_last_four",
            "created_at",
        ]


# --- subscriptions and orders


class SubscriptionResponse(PartialResponse, serializers.ModelSerializer):
    product = serializers.CharField(source="product.slug")
    plan = serializers.CharField(source="plan.slug", allow_null=True, default=None)
    unit_amount = serializers.IntegerField(source="price.unit_amount")
    currency = serializers.CharField(source="price.currency")
    order = serializers.UUIDField(source="order_item.order_id", allow_null=True, default=None)
    order_item = serializers.UUIDField(
        source="order_item_id",
        allow_null=True,
        help_text="The license's order item; licenses?subscription= finds the license.",
    )
    pending_change = PendingChangeResponse(
        source="pending", allow_null=True, help_text="The scheduled change, if any."
    )

    class Meta:
        model = Subscription
        fields = [
            "id",
            "product",
            "plan",
            "status",
            "interval",
            "unit_amount",
            "currency",
            "current_period_start",
            "current_period_end",
            "cancel_at_period_end",
            "pending_change",
            "trial_end",
            "started_at",
            "ended_at",
            "is_collection_paused",
            "order",
            "order_item",
        ]


class OrderItemRequest(serializers.Serializer):
    product = serializers.CharField(max_length=60, help_text="The slug of a product from billing/products.")
    options = serializers.DictField(
        required=False, default=dict, help_text='Licenses: {"interval": "month" | "year"}; month by default.'
    )


class OrderRequest(KeyedRequest):
    items = OrderItemRequest(many=True, allow_empty=False)
    max_total = serializers.IntegerField(
        min_value=0, help_text="The maximum to pay, in minor units: the total that the buyer was shown."
    )
    currency = serializers.RegexField(r"^[A-Za-z]{3}$", default="usd")
    payment = serializers.ChoiceField(choices=Order.Payment.choices, default=Order.Payment.CHECKOUT)

    def validate_currency(self, value: str) -> str:
        return value.lower()


class OrderItemResponse(serializers.ModelSerializer):
    product = serializers.CharField(source="product.slug")
    subscription = serializers.SerializerMethodField(
        help_text="The subscription that pays for it; null until it is paid."
    )

    class Meta:
        model = OrderItem
        fields = ["id", "product", "options", "unit_amount", "currency", "status", "subscription"]

    def get_subscription(self, item: OrderItem) -> UUID | None:
        subscription = getattr(item, "subscription", None)
        return subscription.pk if subscription else None


class OrderResponse(PartialResponse, serializers.ModelSerializer):
    items = OrderItemResponse(many=True)
    checkout_url = serializers.SerializerMethodField(
        help_text="Where to pay, while it is pending by checkout."
    )

    class Meta:
        model = Order
        fields = [
            "id",
            "status",
            "total",
            "currency",
            "payment",
            "checkout_url",
            "failure",
            "items",
            "created_at",
            "paid_at",
        ]

    def get_checkout_url(self, order: Order) -> str | None:
        if order.status != Order.Status.PENDING:
            return None
        open_sessions = [session for session in order.checkout_sessions.all() if session.status == "open"]
        return open_sessions[-1].url if open_sessions else None
