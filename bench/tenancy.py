"""What the tenant scope costs: the same queries with and without it, taken in turns in one run.

`python bench/tenancy.py` starts a PostgreSQL of its own in a temporary directory and writes bench/tenancy.md.
"without" logs in as the owner, whom row-level security does not concern, through Django's own backend, and filters by
organization; "prefix" is what SuperAgent does; "transaction" is the usual alternative, a transaction around the query
whose first statement sets the organization.
"""

from __future__ import annotations

import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORGANIZATIONS = 50
ROWS_EACH = 400
PAGE = 25
ROUNDS = 400
WARM_UP = 50

Query = Callable[[], object]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from superagent.local import embedded

    with tempfile.TemporaryDirectory(prefix="bench-tenancy-") as data_dir:
        os.environ |= {"DATA_DIR": data_dir, "LOCAL": "true", "DJANGO_SETTINGS_MODULE": "superagent.settings"}
        for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        try:
            print("migrating …", flush=True)
            subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, check=True)
            report = measure()
        finally:
            embedded.stop(Path(data_dir))
    (ROOT / "bench" / "tenancy.md").write_text(report)
    print(report)


def measure() -> str:
    import django

    django.setup()
    from django.db import connection, connections

    plain = {**connection.settings_dict, **connection.settings_dict["OWNER"]}
    plain |= {"ENGINE": "django.db.backends.postgresql"}
    connections.databases["plain"] = plain  # a copy of a complete configuration
    organization = fill()
    lines = [
        "# The cost of the tenant scope",
        "",
        f"`python bench/tenancy.py`, Python {platform.python_version()}, Django {django.get_version()}, "
        f"PostgreSQL {connection.pg_version // 10000}, {os.cpu_count()} cores, {ORGANIZATIONS} organizations with "
        f"{ROWS_EACH} rows each. Median of {ROUNDS} rounds, the three in turns, in µs for one evaluated queryset.",
        "",
        "| query | without | prefix | transaction | prefix costs | transaction costs |",
        "|---|---|---|---|---|---|",
    ]
    for name, queries in cases(organization).items():
        without, prefix, transaction = (median * 1e6 for median in take_turns(queries))
        lines.append(
            f"| {name} | {without:.0f} | {prefix:.0f} | {transaction:.0f} "
            f"| {prefix - without:+.0f} µs ({prefix / without - 1:+.0%}) "
            f"| {transaction - without:+.0f} µs ({transaction / without - 1:+.0%}) |"
        )
    lines += [
        "",
        "Part of the prefix column is row-level security itself: planning the policy and checking each row.",
    ]
    return "\n".join(lines) + "\n"


def fill() -> object:
    """Rows for every organization; answers one in the middle."""
    from accounts.models import ApiKey, Organization
    from superagent.foundation import tenancy

    with tenancy.system("benchmark"):
        organizations = [Organization(name=f"{n}", email="a@a.example") for n in range(ORGANIZATIONS)]
        Organization.objects.bulk_create(organizations)
        ApiKey.objects.bulk_create(
            [
                ApiKey(
                    organization=organization,
                    name=f"key {n}",
                    prefix="sa_test_",
                    last_four="0000",
                    key_hash=secrets.token_bytes(32),
                    scopes=["usage:write"],
                )
                for n in range(ROWS_EACH)
                for organization in organizations
            ]
        )
    from django.db import connections

    with connections["plain"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return organizations[ORGANIZATIONS // 2]


def cases(organization: object) -> dict[str, tuple[Query, Query, Query]]:
    from django.db import transaction

    from accounts.models import ApiKey
    from superagent.foundation import tenancy

    keys = ApiKey.objects.filter(organization=organization)
    with tenancy.tenant(organization):
        one = keys[PAGE].pk
    reads: dict[str, Callable[[str], object]] = {
        f"a page of {PAGE} rows": lambda using: list(keys.using(using)[:PAGE]),
        "one row by its id": lambda using: keys.using(using).get(pk=one),
        "count": lambda using: keys.using(using).count(),
        "update one row": lambda using: keys.using(using).filter(pk=one).update(last_four="1111"),
    }

    def three_ways(read: Callable[[str], object]) -> tuple[Query, Query, Query]:
        def with_prefix() -> object:
            with tenancy.tenant(organization):
                return read("default")

        def in_transaction() -> object:
            with tenancy.tenant(organization), transaction.atomic():
                return read("default")

        return (lambda: read("plain")), with_prefix, in_transaction

    return {name: three_ways(read) for name, read in reads.items()}


def take_turns(queries: tuple[Query, Query, Query]) -> list[float]:
    taken: list[list[float]] = [[], [], []]
    for number in range(WARM_UP + ROUNDS):
        for index, query in enumerate(queries):
            started = time.perf_counter()
            query()
            if number >= WARM_UP:
                taken[index].append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    main()
