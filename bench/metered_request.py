"""What metering costs: a bare DRF view against an API-key-authenticated, metered, quota-checked one.

    .venv/bin/python bench/metered_request.py [--rounds 5] [--seconds 5] [--server granian|uvicorn|granian-asgi]

Both are served by the same server with 2 processes, at the same time on two ports, and loaded in turn by wrk. The bare
side is Django with no middleware and one DRF view without authentication, permission or throttle; the metered side is
SuperAgent as it is, with the same view added under /api/v1/. After each round the spool is shipped by a process of its
own, as the worker does, and its CPU is told apart: web processes that nobody ships for do it themselves after ten
seconds, in the middle of a round. In the end every answer that wrk counted must be in PostgreSQL. Results are in
metered_request.md.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import psutil

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PROCESSES = 2
THREADS = 4
CONNECTIONS = 16
SHIPPING_SECONDS = 60
QUIET = 0.1  # others took less than this share of the machine

FILES = {
    "bench_view.py": """
        from rest_framework.response import Response
        from rest_framework.views import APIView

        class Answer(APIView):
            required_scope = None

            def get(self, request):
                return Response({"data": [{"id": number, "name": "thing"} for number in range(5)]})
    """,
    "bench_bare.py": """
        from django.urls import path

        SECRET_KEY = "bench"
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "bench_bare_urls"
        INSTALLED_APPS = []
        MIDDLEWARE = []
        USE_TZ = True
        REST_FRAMEWORK = {
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "DEFAULT_PERMISSION_CLASSES": [],
            "UNAUTHENTICATED_USER": None,
        }
    """,
    "bench_bare_urls.py": """
        from django.urls import path
        from bench_view import Answer

        urlpatterns = [path("api/v1/bench", Answer.as_view())]
    """,
    "bench_metered.py": """
        from superagent.settings import *

        ROOT_URLCONF = "bench_metered_urls"
        MIGRATION_MODULES = {"djstripe": None}  # 40 s that no request needs
        API_RATE_PER_SECOND = API_RATE_BURST = 1_000_000
        LOG_LEVEL = "WARNING"
    """,
    "bench_metered_urls.py": """
        from django.urls import path
        from bench_view import Answer
        from superagent.urls import urlpatterns as product

        urlpatterns = [path("api/v1/bench", Answer.as_view()), *product]
    """,
    "bench_wsgi.py": """
        from django.core.wsgi import get_wsgi_application

        application = get_wsgi_application()
    """,
    "bench_metered_wsgi.py": """
        from superagent.wsgi import application
    """,
    "bench_asgi.py": """
        from bench_wsgi import application as pages
        from superagent.operations.serving import StreamsAndPages

        application = StreamsAndPages(streams=None, pages=pages, stream_paths=frozenset(), threads=8)
    """,
    "bench_metered_asgi.py": """
        from superagent.asgi import application
    """,
}

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
        organization = Organization.objects.create(name="Bench", email="bench@example.com")
        allowances.apply(
            organization=organization, terms=[allowances.Terms("api_requests", 10**12, is_hard=True)], now=now
        )
        _, key = api_keys.create(
            organization=organization, name="bench", scopes=["usage:read"], created_by=None, expires_at=None, now=now
        )
    print(key)
"""

SHIPPER = """
    import sys, time
    import django
    django.setup()
    from metering.models import Quota, RequestRecord
    from metering.request_path import backlog, shipping
    from superagent.foundation import tenancy

    for _ in sys.stdin:
        begun = time.process_time()
        shipped = shipping.ship_all()
        seconds = time.process_time() - begun
        with tenancy.isolated(), tenancy.system("bench"):
            waiting = backlog.of_this_host().waiting_bytes + backlog.quarantined().count()
            counted = Quota.objects.filter(meter__slug="api_requests").values_list("used", flat=True)
            print(shipped, seconds, waiting, RequestRecord.objects.count(), sum(counted), flush=True)
"""


class Shipment(NamedTuple):
    requests: int
    cpu_seconds: float
    waiting: int
    """Bytes in the spool, and lines in quarantine, that PostgreSQL does not have."""
    rows: int
    counted: int


class Shipper:
    """What the worker is in production."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SHIPPER)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ship(self) -> Shipment:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        requests, seconds, waiting, rows, counted = self._process.stdout.readline().split()
        return Shipment(int(requests), float(seconds), int(waiting), int(rows), int(counted))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--server", choices=["granian", "uvicorn", "granian-asgi"], default="granian")
    arguments.add_argument("--keep", type=Path, help="a directory to keep the databases in between runs")
    options = arguments.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or Path(temporary)
        run(place, options)


def environment(place: Path) -> dict[str, str]:
    """Of all processes; writes the modules that they serve."""
    code = place / "code"
    code.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (code / name).write_text(textwrap.dedent(text))
    return os.environ | {"PYTHONPATH": f"{code}:{ROOT}", "DATA_DIR": str(place / "data"), "LOCAL": "true"}


def run(place: Path, options: argparse.Namespace) -> None:
    common = environment(place)
    bare = common | {"DJANGO_SETTINGS_MODULE": "bench_bare"}
    metered = common | {"DJANGO_SETTINGS_MODULE": "bench_metered"}
    python(metered, [str(ROOT / "manage.py"), "migrate", "-v", "0"])
    key = python(metered, ["-c", textwrap.dedent(PREPARE)]).split()[-1]
    ports = {"bare": free_port(), "metered": free_port()}
    servers: list[subprocess.Popen[bytes]] = []
    shipper = Shipper(metered)
    try:
        already = shipper.ship().rows
        servers.append(serve(options.server, "bench", ports["bare"], bare))
        servers.append(serve(options.server, "bench_metered", ports["metered"], metered))
        for port in ports.values():
            wait_for(port, key)
        load(ports["bare"], "", 2)
        answered = already + load(ports["metered"], key, 2)[1]
        processes = {"bare": [servers[0].pid], "metered": [servers[1].pid, redis_of(place)]}
        answered += compare(ports, processes, key, shipper, options)
        check(shipper, answered)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()
        shipper.close()
        if not options.keep:
            stop_databases(place)


def check(shipper: Shipper, answered: int) -> None:
    """Every answer is in PostgreSQL, and counted once. What waits in the spool is neither lost nor known: the machine
    is busy, or a server is just shipping it."""
    deadline = time.monotonic() + SHIPPING_SECONDS
    while (found := shipper.ship()).waiting and time.monotonic() < deadline:
        time.sleep(1)
    print(f"answered {answered:,}, rows {found.rows:,}, counted {found.counted:,}")
    if found.waiting:
        sys.exit(f"after {SHIPPING_SECONDS} s the spool is not shipped yet: run it again with less beside it")
    if found.rows < answered or found.rows != found.counted:
        sys.exit("an answered request is missing, or was counted twice")


def compare(
    ports: dict[str, int],
    processes: dict[str, list[int]],
    key: str,
    shipper: Shipper,
    options: argparse.Namespace,
) -> int:
    """Load both in turns and print how they compare; returns how many metered requests were answered."""
    answered = 0
    ratios, cpu_ratios, shipments = [], [], []
    for number in range(options.rounds):
        plain, plain_count, plain_cpu, others = measured(
            ports["bare"], "", options.seconds, processes["bare"]
        )
        full, count, full_cpu, more = measured(ports["metered"], key, options.seconds, processes["metered"])
        shipments.append(shipper.ship())
        answered += count
        others = max(others, more)
        ratios.append((others, full / plain))
        cpu_ratios.append((plain_cpu / plain_count) / (full_cpu / count))
        print(
            f"round {number + 1}: bare {plain:,.0f}/s  metered {full:,.0f}/s  ratio {ratios[-1][1]:.3f}  CPU"
            f" {plain_cpu / plain_count * 1e6:.0f} µs, {full_cpu / count * 1e6:.0f} µs  ratio {cpu_ratios[-1]:.3f}"
            f"  others {others:.0%}",
            flush=True,
        )
    quiet = [ratio for others, ratio in ratios if others < QUIET]
    shipped = sum(each.cpu_seconds for each in shipments) / max(1, sum(each.requests for each in shipments))
    print(
        f"{options.server}, {PROCESSES} processes: median ratio "
        f"{statistics.median(ratio for _, ratio in ratios):.3f}, of {len(quiet)} quiet rounds "
        f"{statistics.median(quiet) if quiet else float('nan'):.3f}, by CPU {statistics.median(cpu_ratios):.3f}; "
        f"shipping {shipped * 1e6:.0f} µs a request, in the worker"
    )
    return answered


def python(environment: dict[str, str], arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def serve(server: str, prefix: str, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    common = ["--host", "127.0.0.1", "--port", port, "--workers", PROCESSES, "--log-level", "warning"]
    if server == "granian":
        threads = ["--blocking-threads", THREADS, "--no-ws"]
        command = [BIN / "granian", "--interface", "wsgi", *common, *threads, f"{prefix}_wsgi:application"]
    elif server == "granian-asgi":
        command = [BIN / "granian", "--interface", "asgi", *common, "--no-ws", f"{prefix}_asgi:application"]
    else:
        command = [BIN / "uvicorn", *common, "--no-access-log", f"{prefix}_asgi:application"]
    return subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )


def load(port: int, key: str, seconds: int) -> tuple[float, int]:
    """Requests per second, and how many were answered with 200."""
    header = ["-H", f"Authorization: Bearer {key}"] if key else []
    command = [
        "wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", *header, f"http://127.0.0.1:{port}/api/v1/bench"
    ]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    assert rate and count, text
    return float(rate[1]), int(count[1])


def measured(port: int, key: str, seconds: int, processes: list[int]) -> tuple[float, int, float, float]:
    """`load`; the CPU seconds of wrk, the server's processes and Redis; and the share of the machine that others took:
    their work lowers the rates, and more so where three processes take turns, but hardly the CPU of a request."""
    busy = busy_seconds()
    before = [cpu_seconds(pid) for pid in processes]
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    rate, count = load(port, key, seconds)
    wrk = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = wrk.ru_utime + wrk.ru_stime - waited.ru_utime - waited.ru_stime
    ours = own + sum(cpu_seconds(pid) for pid in processes) - sum(before)
    return rate, count, ours, max(0.0, (busy_seconds() - busy - ours) / seconds / (os.cpu_count() or 1))


def busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.system + times.nice


def cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(
        each.cpu_times().user + each.cpu_times().system
        for each in [process, *process.children(recursive=True)]
    )


def stop_databases(place: Path) -> None:
    command = [sys.executable, "-m", "superagent.local.embedded", "stop", str(place / "data")]
    subprocess.run(command, cwd=ROOT, check=False)


def redis_of(place: Path) -> int:
    return int((place / "data" / "redis" / "redis.pid").read_text())


def wait_for(port: int, key: str) -> None:
    """Until both processes have answered: each imports Django when it starts."""
    asked = Request(f"http://127.0.0.1:{port}/api/v1/bench", headers={"Authorization": f"Bearer {key}"})
    deadline = time.monotonic() + 90
    answered = 0
    while time.monotonic() < deadline:
        try:
            with urlopen(asked, timeout=30) as answer:
                answered += answer.status == 200
        except OSError:
            time.sleep(0.2)
        if answered > 50:
            return
    sys.exit("the server did not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
