"""What one port costs: the same view under granian's WSGI and under the bridge from ASGI to WSGI.

    .venv/bin/python bench/serving.py [--rounds 5] [--seconds 5] [--connections 16] [--metered]

All contenders run at the same time with 2 processes each and are loaded in turns by wrk over kept connections. The CPU
of a request is user and system time of the server's processes alone: a machine that does other work too changes rates
much and this little. Without `--metered` the view is a bare DRF view without middleware; with it, the same view as a
request of the product that is authenticated, metered and quota-checked (metered_request.py). Results are in serving.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import metered_request as base
from metered_request import FILES, PREPARE, ROOT, cpu_seconds, free_port, python, serve, wait_for

REFERENCE = "granian WSGI"
CONTENDERS = {
    REFERENCE: ("granian", "bench"),
    "one port, uvicorn": ("uvicorn", "bench"),
    "one port, granian ASGI": ("granian-asgi", "bench"),
    "before: uvicorn and a2wsgi": ("uvicorn", "bench_before"),
}
BEFORE = {
    "bench_before_asgi.py": """
        from a2wsgi import WSGIMiddleware
        from bench_wsgi import application as pages

        application = WSGIMiddleware(pages, workers=8)
    """,
    "bench_metered_before_asgi.py": """
        from a2wsgi import WSGIMiddleware
        from bench_metered_wsgi import application as pages

        application = WSGIMiddleware(pages, workers=8)
    """,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--connections", type=int, default=16)
    arguments.add_argument("--metered", action="store_true")
    arguments.add_argument("--only", help="contenders whose name has this in it, beside the reference")
    options = arguments.parse_args()
    base.CONNECTIONS = options.connections
    with tempfile.TemporaryDirectory() as place:
        run(Path(place), options)


def run(place: Path, options: argparse.Namespace) -> None:
    code = place / "code"
    code.mkdir()
    for name, text in (FILES | BEFORE).items():
        (code / name).write_text(textwrap.dedent(text))
    environment = os.environ | {
        "PYTHONPATH": f"{code}:{ROOT}",
        "DATA_DIR": str(place / "data"),
        "LOCAL": "true",
        "DJANGO_SETTINGS_MODULE": "bench_metered" if options.metered else "bench_bare",
    }
    key = ""
    servers: dict[str, subprocess.Popen[bytes]] = {}
    ports: dict[str, int] = {}
    try:
        if options.metered:
            python(environment, [str(ROOT / "manage.py"), "migrate", "-v", "0"])
            key = python(environment, ["-c", textwrap.dedent(PREPARE)]).split()[-1]
        for name, (server, prefix) in chosen(options).items():
            ports[name] = free_port()
            metered = prefix.replace("bench", "bench_metered") if options.metered else prefix
            servers[name] = serve(server, metered, ports[name], environment)
        for port in ports.values():
            wait_for(port, key)
            base.load(port, key, 2)
        compare(servers, ports, key, options)
    finally:
        for process in servers.values():
            process.terminate()
        for process in servers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        if options.metered:
            stop = [sys.executable, "-m", "superagent.local.embedded", "stop", environment["DATA_DIR"]]
            subprocess.run(stop, cwd=ROOT, check=False)


def chosen(options: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """a2wsgi is no dependency any more: it takes part if somebody has installed it."""
    found = {
        name: contender
        for name, contender in CONTENDERS.items()
        if not options.only or name == REFERENCE or options.only in name
    }
    if importlib.util.find_spec("a2wsgi") is None:
        found = {name: contender for name, contender in found.items() if "before" not in contender[1]}
    return found


def compare(
    servers: dict[str, subprocess.Popen[bytes]], ports: dict[str, int], key: str, options: argparse.Namespace
) -> None:
    """Each round loads all in turns; what is compared is always of one round."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(options.rounds):
        for name, server in servers.items():
            before = cpu_seconds(server.pid)
            rate, count = base.load(ports[name], key, options.seconds)
            rates[name].append(rate)
            costs[name].append((cpu_seconds(server.pid) - before) / count * 1e6)
        print(
            f"round {number + 1}: " + "  ".join(f"{name} {costs[name][-1]:.0f} µs" for name in servers),
            flush=True,
        )
    print(
        f"\n| {options.connections} connections | CPU of a request | by CPU | rate | by rate |\n|---|---|---|---|---|"
    )
    for name in servers:
        by_cpu = [mine and theirs / mine for mine, theirs in zip(costs[name], costs[REFERENCE], strict=True)]
        by_rate = [mine / theirs for mine, theirs in zip(rates[name], rates[REFERENCE], strict=True)]
        print(
            f"| {name} | {statistics.median(costs[name]):.0f} µs | {statistics.median(by_cpu):.2f} "
            f"| {statistics.median(rates[name]):,.0f}/s | {statistics.median(by_rate):.2f} |"
        )


if __name__ == "__main__":
    main()
