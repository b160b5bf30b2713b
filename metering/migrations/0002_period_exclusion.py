from django.db import migrations

# The embedded PostgreSQL has no btree_gist, so a range of timestamps cannot be excluded per organization. But GiST
# knows every range type: one over (organization, moment) does both at once.
FORWARD = """
CREATE TYPE metering_moment AS (organization_id uuid, moment timestamptz);
CREATE TYPE metering_span AS RANGE (subtype = metering_moment);
ALTER TABLE metering_usageperiod ADD CONSTRAINT usage_period_no_overlap EXCLUDE USING gist (
    metering_span(
        ROW(organization_id, start)::metering_moment, ROW(organization_id, "end")::metering_moment, '[)'
    ) WITH &&
);
"""
REVERSE = """
ALTER TABLE metering_usageperiod DROP CONSTRAINT usage_period_no_overlap;
DROP TYPE metering_span;
DROP TYPE metering_moment;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_meters_periods_and_facts")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
