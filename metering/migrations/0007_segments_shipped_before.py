from django.db import migrations
from django.db.models import F


def finish(apps, schema_editor):
    """Until now nobody wrote down that a segment was at its end. One that is not is unfinished again with its next line."""
    apps.get_model("metering", "SpoolCheckpoint").objects.update(finished_at=F("updated_at"))


class Migration(migrations.Migration):
    dependencies = [("metering", "0006_spool_state")]

    operations = [migrations.RunPython(finish, migrations.RunPython.noop)]
