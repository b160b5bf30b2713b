"""Orders and subscriptions as billing leaves them, for tests of what follows."""

from datetime import timedelta

from accounts.models import Organization
from billing.models import Order, OrderItem, Price, Product, Subscription
from superagent.foundation import tenancy
from tests.licensing.conftest import NOW


def product(slug: str) -> Product:
    made, _ = Product.objects.get_or_create(
        slug=slug, defaults={"name": slug.replace("-", " ").title(), "kind": Product.Kind.LICENSE}
    )
    return made


def price(slug: str) -> Price:
    made, _ = Price.objects.get_or_create(
        product=product(slug), interval="month", currency="usd", defaults={"unit_amount": 1900}
    )
    return made


def paid_item(organization: Organization, slug: str) -> OrderItem:
    with tenancy.system("test"):
        order = Order.objects.create(
            organization=organization,
            status="paid",
            payment="checkout",
            total=1900,
            currency="usd",
            created_at=NOW,
        )
        return OrderItem.objects.create(
            organization=organization,
            order=order,
            product=product(slug),
            price=price(slug),
            unit_amount=1900,
            currency="usd",
            status="paid",
            paid_at=NOW,
        )


def subscribe(item: OrderItem, **fields) -> Subscription:
    with tenancy.system("test"):
        return Subscription.objects.create(
            **{
                "organization": item.organization,
                "stripe_id": f"sub_{item.pk.hex}",
                "stripe_item_id": f"si_{item.pk.hex}",
                "product": item.product,
                "price": item.price,
                "order_item": item,
                "status": "active",
                "interval": "month",
                "current_period_start": NOW,
                "current_period_end": NOW + timedelta(days=30),
                "started_at": NOW,
            }
            | fields
        )
