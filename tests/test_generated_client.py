"""A Python client that is generated from the schema can be imported, sends every form and reads every answer."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from superagent.foundation import schema

USE = textwrap.dedent(
    """
    import importlib, json, sys
    import httpx
    from generated import Client, models

    document = json.load(open(sys.argv[1]))
    client = Client(base_url="https://api.example.com")
    read = 0
    for methods in document["paths"].values():
        for operation in methods.values():
            area = operation["tags"][0].replace("-", "_")
            module = importlib.import_module(f"generated.api.{area}.{operation['operationId']}")
            for status, response in operation["responses"].items():
                example = response.get("content", {}).get("application/json", {}).get("example")
                if example is not None:
                    answer = httpx.Response(int(status), json=example)
                    parsed = module._parse_response(client=client, response=answer)
                    assert parsed is not None, operation["operationId"]
                    read += 1
    assert read > 50

    from generated.api.usage import usage_events_create
    event = models.EventRequest(event_id="a", meter="ai_tokens", quantity=3)
    cloud = models.CloudEvent.from_dict(
        {"specversion": "1.0", "id": "x", "source": "s", "type": "ai.tokens", "data": {"tokens": 1}}
    )
    sent = [usage_events_create._get_kwargs(body=body)["json"] for body in (event, cloud, [event, cloud])]
    assert sent[0]["event_id"] == "a" and sent[1]["id"] == "x" and sent[2] == sent[:2]
    headers = usage_events_create._get_kwargs(body=event, idempotency_key="k")["headers"]
    assert headers["Idempotency-Key"] == "k"
    """
)


@pytest.mark.verify
def test_a_generated_client_calls_and_reads_every_operation(tmp_path: Path):
    """Licensing and API A3 and A4: a cancellation raised KeyError, reporting usage TypeError."""
    (tmp_path / "openapi.json").write_text(json.dumps(schema.document(), default=str))
    (tmp_path / "use.py").write_text(USE)
    program = str(Path(sys.executable).parent / "openapi-python-client")
    arguments = ["generate", "--path", "openapi.json", "--output-path", "generated", "--meta", "none"]
    for command in ([program, *arguments], [sys.executable, "use.py", "openapi.json"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING parsing" not in done.stdout
