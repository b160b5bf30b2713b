from django.db import migrations

METERS = [
    # slug, name, unit, event name, value property
    ("api_requests", "API requests", "requests", "api.request", ""),
    ("ai_tokens", "AI tokens", "tokens", "ai.tokens", "tokens"),
    ("storage_mb_hours", "Storage", "MB hours", "storage.mb_hours", "mb_hours"),
]


def make_meters(apps, schema_editor):
    meter = apps.get_model("metering", "Meter")
    for slug, name, unit, event_name, value_property in METERS:
        meter.objects.get_or_create(
            slug=slug,
            defaults={"name": name, "unit": unit, "event_name": event_name, "value_property": value_property},
        )


class Migration(migrations.Migration):
    dependencies = [("metering", "0003_request_records")]

    operations = [migrations.RunPython(make_meters, migrations.RunPython.noop)]
