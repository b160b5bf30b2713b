from django.db import migrations, models


class Migration(migrations.Migration):
    """The name that every queue of rows has for it (superagent.foundation.retries)."""

    dependencies = [("billing", "0010_lease_of_lane_has_an_owner")]

    operations = [
        migrations.RenameField("webhookevent", "handled_at", "finished_at"),
        migrations.AlterField(
            "webhookevent",
            "finished_at",
            models.DateTimeField(blank=True, null=True, verbose_name="finished"),
        ),
    ]
