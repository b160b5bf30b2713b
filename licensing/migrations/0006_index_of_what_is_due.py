from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Least


class Migration(migrations.Migration):
    atomic = False  # nobody waits for the index

    dependencies = [
        ("accounts", "0020_index_of_rehearsals"),
        ("licensing", "0005_licenses_held_by_staff"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="license",
            index=models.Index(
                models.Case(
                    models.When(status="active", then=Least("suspends_at", "expires_at")),
                    models.When(status="suspended", suspension_reason="payment", then=models.F("expires_at")),
                ),
                name="license_due",
            ),
        ),
        RemoveIndexConcurrently(model_name="license", name="license_suspends"),
        RemoveIndexConcurrently(model_name="license", name="license_expires"),
    ]
