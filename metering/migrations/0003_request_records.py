import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import superagent.foundation.identifiers

# Partitioned by month on the id: its first 48 bits are the milliseconds since 1970, so a month is a range of ids and
# the id alone stays the primary key. app_system may make and drop partitions by two functions that run as the owner.
FORWARD = """
CREATE TABLE metering_requestrecord (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL
        CONSTRAINT metering_requestrecord_organization REFERENCES accounts_organization (id)
        DEFERRABLE INITIALLY DEFERRED,
    request_id varchar(64) NOT NULL,
    user_id uuid NULL,
    api_key_id uuid NULL,
    period_id uuid NULL,
    method varchar(10) NOT NULL,
    endpoint varchar(200) NOT NULL,
    path varchar(500) NOT NULL,
    status smallint NOT NULL CHECK (status >= 0),
    duration_us bigint NOT NULL,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    is_counted boolean NOT NULL,
    started_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX request_organization ON metering_requestrecord (organization_id, id DESC);
CREATE INDEX request_started ON metering_requestrecord (organization_id, started_at);
CREATE INDEX request_by_request_id ON metering_requestrecord (organization_id, request_id);
CREATE INDEX request_by_key ON metering_requestrecord (organization_id, api_key_id, id DESC);
CREATE TABLE metering_requestrecord_rest PARTITION OF metering_requestrecord DEFAULT;

CREATE FUNCTION metering_lowest_id(moment timestamptz) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE FUNCTION metering_make_request_partition(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first timestamptz := date_trunc('month', month::timestamptz);
    name text := 'metering_requestrecord_' || to_char(first, 'YYYYMM');
    low uuid := metering_lowest_id(first);
    high uuid := metering_lowest_id(first + interval '1 month');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE metering_requestrecord INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM metering_requestrecord_rest WHERE id >= %L AND id < %L RETURNING *) '
        'INSERT INTO %I SELECT * FROM moved', low, high, name);
    EXECUTE format('ALTER TABLE metering_requestrecord ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   name, low, high);
    RETURN true;
END
$$;

CREATE FUNCTION metering_drop_request_partitions(before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    IF before > now() - interval '1 month' THEN
        RAISE EXCEPTION 'requests of the last month are kept';
    END IF;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'metering_requestrecord'::regclass
          AND c.relname ~ '^metering_requestrecord_[0-9]{6}$'
          AND right(c.relname, 6) < to_char(before, 'YYYYMM')
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION metering_make_request_partition(date), metering_drop_request_partitions(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION metering_make_request_partition(date), metering_drop_request_partitions(date) TO app_system;
SELECT metering_make_request_partition((date_trunc('month', now()) + n * interval '1 month')::date)
FROM generate_series(0, 3) AS n;
"""
REVERSE = """
DROP TABLE metering_requestrecord;
DROP FUNCTION metering_make_request_partition(date);
DROP FUNCTION metering_drop_request_partitions(date);
DROP FUNCTION metering_lowest_id(timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_api_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("metering", "0002_period_exclusion"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(FORWARD, REVERSE)],
            state_operations=[
                migrations.CreateModel(
                    name="RequestRecord",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=superagent.foundation.identifiers.uuid7,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("request_id", models.CharField(max_length=64, verbose_name="request id")),
                        (
                            "period_id",
                            models.UUIDField(help_text="The usage period that it counts in.", null=True),
                        ),
                        ("method", models.CharField(max_length=10, verbose_name="method")),
                        (
                            "endpoint",
                            models.CharField(
                                help_text="The route's template.", max_length=200, verbose_name="endpoint"
                            ),
                        ),
                        ("path", models.CharField(max_length=500, verbose_name="path")),
                        ("status", models.PositiveSmallIntegerField(verbose_name="status")),
                        ("duration_us", models.BigIntegerField(verbose_name="duration, µs")),
                        ("request_bytes", models.BigIntegerField(verbose_name="request size")),
                        ("response_bytes", models.BigIntegerField(verbose_name="response size")),
                        (
                            "is_counted",
                            models.BooleanField(
                                help_text="Used one unit of the request quota.", verbose_name="counted"
                            ),
                        ),
                        ("started_at", models.DateTimeField(verbose_name="started")),
                        (
                            "api_key",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="accounts.apikey",
                            ),
                        ),
                        (
                            "organization",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="accounts.organization",
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                null=True,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-id"],
                        "abstract": False,
                        "indexes": [
                            models.Index(fields=["organization", "-id"], name="request_organization"),
                            models.Index(fields=["organization", "started_at"], name="request_started"),
                            models.Index(fields=["organization", "request_id"], name="request_by_request_id"),
                            models.Index(fields=["organization", "api_key", "-id"], name="request_by_key"),
                        ],
                    },
                ),
            ],
        ),
    ]
