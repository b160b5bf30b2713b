"""License products for price tables."""

from dataclasses import dataclass

from billing.catalog import plans
from billing.models import Interval, Price, Product
from licensing import policies


@dataclass(frozen=True, slots=True)
class LicenseOffer:
    """`monthly` and `yearly` are in minor units, None if not on sale; a limit of None is unlimited."""

    slug: str
    name: str
    currency: str
    monthly: int | None
    yearly: int | None
    features: tuple[tuple[str, int | None], ...]


def license_offers() -> list[LicenseOffer]:
    """Returns the license products on sale that have a policy, in catalog order, in four queries."""
    by_slug = policies.by_product()
    return [
        _offer(product, by_slug[product.slug])
        for product in plans.of_kind(Product.Kind.LICENSE)
        if product.slug in by_slug
    ]


def price_of(product: str, interval: str) -> Price | None:
    """Returns the price of a license product; None if it is not on sale for that interval or has no policy."""
    if product not in policies.by_product():
        return None
    found = Price.objects.filter(
        product__slug=product,
        product__kind=Product.Kind.LICENSE,
        product__is_active=True,
        is_active=True,
        interval=interval,
    )
    return found.select_related("product").first()


def _offer(product: Product, policy: policies.Policy) -> LicenseOffer:
    prices = {price.interval: price for price in product.prices.all()}
    monthly, yearly = prices.get(Interval.MONTH), prices.get(Interval.YEAR)
    first = monthly or yearly
    return LicenseOffer(
        slug=product.slug,
        name=product.name,
        currency=first.currency if first else "usd",
        monthly=monthly.unit_amount if monthly else None,
        yearly=yearly.unit_amount if yearly else None,
        features=tuple((feature.name, feature.limit) for feature in policy.features.all()),
    )
