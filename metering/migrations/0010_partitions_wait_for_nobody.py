from django.db import migrations

# Making and dropping a partition wants a lock for which it would wait behind every reader of the table (a report, a
# dump), and behind that wait everybody else would stand. So it gives up at once, and the job tries again later.
FUNCTIONS = ("metering_make_request_partition(date)", "metering_drop_request_partitions(date)")


class Migration(migrations.Migration):
    dependencies = [("metering", "0009_index_of_unrated_use")]

    operations = [
        migrations.RunSQL(
            [f"ALTER FUNCTION {name} SET lock_timeout = '300ms'" for name in FUNCTIONS],
            [f"ALTER FUNCTION {name} RESET lock_timeout" for name in FUNCTIONS],
        )
    ]
