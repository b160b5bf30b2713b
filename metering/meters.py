"""The meters of the product as it is shipped. Written once; from then on the rows belong to staff."""

from metering.models import REQUESTS, Meter

SHIPPED = (
    {"slug": REQUESTS, "name": "API requests", "unit": "requests", "event_name": "api.request"},
    {
        "slug": "ai_tokens",
        "name": "AI tokens",
        "unit": "tokens",
        "event_name": "ai.tokens",
        "value_property": "tokens",
    },
    {
        "slug": "storage_mb_hours",
        "name": "Storage",
        "unit": "MB hours",
        "event_name": "storage.mb_hours",
        "value_property": "mb_hours",
    },
)


def seed() -> None:
    """Write the shipped meters that are missing; what staff changed stays."""
    for meter in SHIPPED:
        Meter.objects.get_or_create(slug=meter["slug"], defaults=meter)
