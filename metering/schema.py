"""What the OpenAPI schema must be told."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts.schema import API_KEY
from metering.usage import events


class MeteredKeyScheme(OpenApiAuthenticationExtension):
    target_class = "metering.authentication.MeteredKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return API_KEY


CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0, JSON format. Extension attributes are taken and not kept.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {"type": "string", "minLength": 1, "maxLength": events.MAX_TEXT},
        "source": {"type": "string", "minLength": 1, "maxLength": events.MAX_TEXT},
        "type": {
            "type": "string",
            "minLength": 1,
            "maxLength": events.MAX_TEXT,
            "description": "The `event_name` of a meter.",
        },
        "time": {"type": "string", "format": "date-time"},
        "data": {
            "type": "object",
            "additionalProperties": {},
            "description": "Holds the quantity under the meter's `value_property`, and anything you want to keep.",
        },
    },
    "additionalProperties": {},
}


def describe_events(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: what usage/events takes is one event, of either form, or a batch of them."""
    result["components"]["schemas"]["CloudEvent"] = CLOUD_EVENT
    event = [{"$ref": "#/components/schemas/EventRequest"}, {"$ref": "#/components/schemas/CloudEvent"}]
    batch = {"type": "array", "items": {"anyOf": event}, "minItems": 1, "maxItems": events.MAX_BATCH}
    operation = result["paths"]["/api/v1/usage/events"]["post"]
    operation["requestBody"]["content"] = {"application/json": {"schema": {"anyOf": [*event, batch]}}}
    return result
