"""Until now a policy with a number of activations required them, and one without had no limit."""

from django.db import migrations


def require(apps, schema_editor):
    for name in ("Policy", "License"):
        model = apps.get_model("licensing", name)
        model.objects.filter(max_activations__isnull=False, requires_activation=False).update(
            requires_activation=True
        )


class Migration(migrations.Migration):
    dependencies = [("licensing", "0002_requires_activation")]

    operations = [migrations.RunPython(require, migrations.RunPython.noop)]
