"""What docs/operations and docs/deployment name exists: alarms that nobody can raise are worse than none."""

import re
from pathlib import Path

import pytest
from django.test import Client

from superagent import celery
from superagent.operations import backlogs

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "docs" / "deployment").glob("*.yml"),
    ROOT / "README.md",
]
TEXT = "\n".join(path.read_text() for path in DOCUMENTS)


def test_every_metric_that_is_named_is_measured(client: Client, db: None) -> None:
    client.get("/robots.txt")
    text = client.get("/metrics").content.decode()
    measured = set(
        re.findall(r"^(?:# TYPE )?(superagent_\w+)", text, re.MULTILINE)
    )  # also what counts nothing yet
    named = set(re.findall(r"\b(superagent_[a-z_]+)\b(?!/)", TEXT))
    assert named
    families = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in measured}
    assert {name for name in named if name not in measured | families} == set()


def test_every_part_that_is_named_is_reported(client: Client, db: None) -> None:
    reported = set(
        re.findall(r'superagent_part_is_well{part="(\w+)"}', client.get("/metrics").content.decode())
    )
    named = set(re.findall(r'superagent_part_is_well{part!?="(\w+)"}', TEXT))
    assert named <= reported


def test_every_queue_that_is_named_is_measured() -> None:
    found = re.findall(r'superagent_queue_\w+{queue=~?"([\w|]+)"}', TEXT)
    named = {name for names in found for name in names.split("|")}
    assert named
    assert named <= {queue.name for queue in backlogs.QUEUES}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "deployment" / "systemd").iterdir()), ids=lambda path: path.name
)
def test_units_start_programs_that_servers_install(path: Path) -> None:
    command = re.search(r"^ExecStart=\S+/bin/(\w+)", path.read_text(), re.MULTILINE)
    assert command
    assert re.search(rf"^{command[1]}(\[|==)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def test_the_documented_workers_serve_every_queue() -> None:
    units = ROOT / "docs" / "deployment" / "systemd"
    for name, served in (("worker", celery.WORKING), ("payments", celery.PAYING)):
        assert f"--queues {','.join(served)} " in (units / f"superagent-{name}.service").read_text()
    page = (ROOT / "docs" / "deployment" / "README.md").read_text()
    by_queue = re.findall(r"celery -A superagent.celery worker --queues (\S+)", page)
    assert {queue for queues in by_queue for queue in queues.split(",")} == set(celery.QUEUES)
