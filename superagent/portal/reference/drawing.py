"""How drf-spectacular draws the OpenAPI schema, part of the settings: its name, and who completes it in which order."""

from typing import Any

OF_SPECTACULAR: dict[str, Any] = {
    "TITLE": "SuperAgent API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "superagent.portal.reference.document.describe_stream",
        "metering.schema.describe_events",
        "superagent.foundation.schema.close_bodies",
        "superagent.foundation.schema.complete_answers",
        "superagent.foundation.schema.describe_parameters",
        "superagent.foundation.schema.describe_problems",
        "superagent.portal.reference.document.complete",
    ],
    "ENUM_NAME_OVERRIDES": {  # three fields that are all called interval
        "PriceInterval": "billing.models.Interval",
        "PlanInterval": "billing.serializers.RECURRING",
        "SeriesInterval": "metering.serializers.BUCKETS",
    },
}
