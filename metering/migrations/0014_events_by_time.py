import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


def _without_index(name: str, to: str, index: str) -> migrations.SeparateDatabaseAndState:
    """A foreign key whose own index goes while events are written: AlterField's DROP INDEX would hold them up."""
    field = models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=to
    )
    drop = migrations.RunSQL(
        f"DROP INDEX CONCURRENTLY IF EXISTS {index}",
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON metering_usageevent ({name}_id)",
    )
    return migrations.SeparateDatabaseAndState(
        [drop], [migrations.AlterField(model_name="usageevent", name=name, field=field)]
    )


class Migration(migrations.Migration):
    """PostgreSQL 16 and 17 cannot skip a column: by (organization, meter, time), the last minutes of an organization
    were a read of all its events. The two other indexes are the beginning of larger ones, or asked by nobody."""

    atomic = False  # events are written by every customer: nobody waits for this

    dependencies = [
        ("accounts", "0018_scope_of_organizations_names_no_members"),
        ("metering", "0013_index_of_disproved_quotas"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="usageevent",
            index=models.Index(fields=["organization", "occurred_at"], name="usage_event_times"),
        ),
        RemoveIndexConcurrently(model_name="usageevent", name="usage_event_hours"),
        _without_index(
            "organization", "accounts.organization", "metering_usageevent_organization_id_5a863bca"
        ),
        _without_index("meter", "metering.meter", "metering_usageevent_meter_id_59b7d234"),
    ]
