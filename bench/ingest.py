"""What reporting usage costs: POST usage/events with one event, 100 and 1,000, each answered when PostgreSQL has it.

    .venv/bin/python bench/ingest.py [--rounds 3] [--seconds 4]

SuperAgent as it is, under granian with 2 processes, loaded by wrk; the embedded PostgreSQL has fsync and
synchronous_commit on. In the end every event that was acknowledged must be in PostgreSQL and in the quota. Results are
in ingest.md.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import metered_request as serving

SIZES = (1, 100, 1000)
CONNECTIONS = {1: 16, 100: 8, 1000: 4}

LUA = """
    local threads = 0
    function setup(thread)
      threads = threads + 1
      thread:set("number", threads)
    end

    function init(args)
      name, size, made = args[1] .. "-" .. number, tonumber(args[2]), 0
      wrk.method = "POST"
      wrk.headers["Content-Type"] = "application/json"
    end

    function request()
      local events = {}
      for i = 1, size do
        made = made + 1
        events[i] = string.format(
          '{"event_id":"%s-%d","meter":"ai_tokens","quantity":%d,"properties":{"model":"small","job":"%d"}}',
          name, made, made % 1000, made)
      end
      local body = table.concat(events, ",")
      if size > 1 then body = "[" .. body .. "]" end
      return wrk.format(nil, nil, nil, body)
    end

    function response(status, headers, body)
      if status ~= 200 or string.find(body, '"rejected":[{', 1, true) then
        io.stderr:write(status, " ", string.sub(body, 1, 300), "\\\\n")
      end
    end
"""

PREPARE = """
    import django
    django.setup()
    from django.utils import timezone
    from accounts import api_keys
    from accounts.models import Organization
    from metering.quotas import allowances
    from superagent.foundation import tenancy

    now = timezone.now()
    with tenancy.system("bench"):
        organization = Organization.objects.create(name="Ingest", email="bench@example.com")
        allowances.apply(
            organization=organization,
            terms=[allowances.Terms(meter, 10**12) for meter in ("api_requests", "ai_tokens")],
            now=now,
        )
        _, key = api_keys.create(
            organization=organization, name="bench", scopes=["usage:write"], created_by=None, expires_at=None, now=now
        )
    print(organization.pk, key)
"""

CHECK = """
    import sys
    import django
    django.setup()
    from django.db.models import Sum
    from metering.models import Quota, UsageEvent
    from superagent.foundation import tenancy

    with tenancy.system("bench"):
        events = UsageEvent.objects.filter(organization=sys.argv[1])
        used = Quota.objects.get(organization=sys.argv[1], meter__slug="ai_tokens").used
        print(events.count(), events.aggregate(total=Sum("quantity"))["total"], used)
"""


@dataclass(frozen=True)
class Figures:
    events_per_second: float
    web_us: float
    """CPU of the web processes for an event."""
    postgres_us: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=4)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(Path(temporary), options)


def run(place: Path, options: argparse.Namespace) -> None:
    environment = serving.environment(place) | {"DJANGO_SETTINGS_MODULE": "bench_metered"}
    script = place / "events.lua"
    script.write_text(textwrap.dedent(LUA))
    serving.python(environment, [str(serving.ROOT / "manage.py"), "migrate", "-v", "0"])
    organization, key = serving.python(environment, ["-c", textwrap.dedent(PREPARE)]).split()[-2:]
    port = serving.free_port()
    server = serving.serve("granian", "bench_metered", port, environment)
    try:
        serving.wait_for(port, key)
        pids = server.pid, postgres_of(place)
        acknowledged = load(port, key, script, name="warm", size=100, seconds=2)
        found: dict[int, list[Figures]] = {size: [] for size in SIZES}
        for number in range(options.rounds):
            for size in SIZES:
                before = [serving.cpu_seconds(pid) for pid in pids]
                count = load(port, key, script, name=f"{number}-{size}", size=size, seconds=options.seconds)
                web, postgres = (
                    serving.cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)
                )
                found[size].append(
                    Figures(count / options.seconds, web / count * 1e6, postgres / count * 1e6)
                )
                acknowledged += count
        report(found)
        check(environment, organization, acknowledged)
    finally:
        server.terminate()
        server.wait()
        serving.stop_databases(place)


def load(port: int, key: str, script: Path, *, name: str, size: int, seconds: int) -> int:
    """Returns how many events were acknowledged."""
    command = [
        "wrk", "-t2", f"-c{CONNECTIONS[size]}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script),
        "-H", f"Authorization: Bearer {key}", f"http://127.0.0.1:{port}/api/v1/usage/events", "--", name, str(size),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if done.stderr or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(done.stderr[:1000] + done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    assert count, done.stdout
    return int(count[1]) * size


def report(found: dict[int, list[Figures]]) -> None:
    for size, figures in found.items():
        print(
            f"{size:5} a request: {statistics.median(each.events_per_second for each in figures):8,.0f} events/s, "
            f"web {statistics.median(each.web_us for each in figures):6,.0f} µs an event, "
            f"PostgreSQL {statistics.median(each.postgres_us for each in figures):6,.0f} µs"
        )


def check(environment: dict[str, str], organization: str, acknowledged: int) -> None:
    """What was in flight when wrk stopped is recorded too, and not acknowledged."""
    arguments = ["-c", textwrap.dedent(CHECK), organization]
    events, total, used = map(int, serving.python(environment, arguments).split()[-3:])
    print(f"acknowledged {acknowledged:,}, events {events:,}; their sum {total:,}, counted {used:,}")
    if events < acknowledged or total != used:
        sys.exit("an acknowledged event is missing, or was counted otherwise")


def postgres_of(place: Path) -> int:
    return int((place / "data" / "postgres" / "postmaster.pid").read_text().split()[0])


if __name__ == "__main__":
    main()
