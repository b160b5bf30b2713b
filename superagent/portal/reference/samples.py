"""An operation as code to run: curl, Python and JavaScript, with nothing to install."""

import json
from dataclasses import dataclass
from textwrap import indent
from typing import Any
from urllib.parse import urlencode

KEY = "SUPERAGENT_KEY"
"""The variable that the samples read the credential from."""


@dataclass(frozen=True, slots=True)
class Sample:
    language: str
    title: str
    code: str


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    headers: dict[str, str]
    body: Any
    is_json: bool
    is_stream: bool


def of(server: str, path: str, method: str, operation: dict[str, Any]) -> tuple[Sample, ...]:
    """The samples of an operation, with the examples of its parameters and body."""
    query = []
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        elif parameter["in"] == "query" and parameter.get("required"):
            query.append((parameter["name"], parameter["example"]))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    names = {parameter["name"] for parameter in operation["parameters"]}
    headers = {"Idempotency-Key": "nightly-2026-11-21"} if "Idempotency-Key" in names else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    good = next(each for status, each in operation["responses"].items() if status.startswith("2"))
    call = _Call(
        method=method,
        url=f"{server}{path}" + (f"?{urlencode(query)}" if query else ""),
        headers=({"Authorization": "Bearer"} if operation.get("security") else {}) | headers,
        body=body,
        is_json="application/json" in good.get("content", {}),
        is_stream="text/event-stream" in good.get("content", {}),
    )
    return (
        Sample("curl", "Terminal", _curl(call)),
        Sample("python", "Python", _python(call)),
        Sample("javascript", "JavaScript", _javascript(call)),
    )


def _curl(call: _Call) -> str:
    is_plain = call.method == ("GET" if call.body is None else "POST")
    parts = [f"curl {'-N ' if call.is_stream else ''}{'' if is_plain else f'-X {call.method} '}{call.url}"]
    for name, value in call.headers.items():
        quote, shown = ('"', f"Bearer ${KEY}") if name == "Authorization" else ("'", value)
        parts.append(f"  -H {quote}{name}: {shown}{quote}")
    if call.body is not None:
        body = json.dumps(call.body, indent=2, ensure_ascii=False).replace("'", "'\\''")
        parts.append(f"  -d '{indent(body, '  ').strip()}'")
    return " \\\n".join(parts)


def _python(call: _Call) -> str:
    imports = ["json"] if call.body is not None or call.is_json else []
    imports += ["os"] if "Authorization" in call.headers else []
    lines = [f"import {name}" for name in [*imports, "urllib.request"]]
    lines += ["", "request = urllib.request.Request(", f'    "{call.url}",', f'    method="{call.method}",']
    if call.body is not None:
        lines.append(f"    data=json.dumps({_nested(_python_value(call.body), 4)}).encode(),")
    if call.headers:
        lines.append("    headers={")
        for name, value in call.headers.items():
            shown = f"f\"Bearer {{os.environ['{KEY}']}}\"" if name == "Authorization" else f'"{value}"'
            lines.append(f'        "{name}": {shown},')
        lines.append("    },")
    lines += [")", "with urllib.request.urlopen(request) as response:"]
    if call.is_stream:
        lines += ["    for line in response:", '        print(line.decode(), end="")']
    else:
        lines.append("    print(json.load(response))" if call.is_json else "    print(response.status)")
    return "\n".join(lines)


def _javascript(call: _Call) -> str:
    lines = [f'const response = await fetch("{call.url}", {{', f'  method: "{call.method}",']
    if call.headers:
        lines.append("  headers: {")
        for name, value in call.headers.items():
            shown = f"`Bearer ${{process.env.{KEY}}}`" if name == "Authorization" else f'"{value}"'
            lines.append(f'    "{name}": {shown},')
        lines.append("  },")
    if call.body is not None:
        lines.append(
            f"  body: JSON.stringify({_nested(json.dumps(call.body, indent=2, ensure_ascii=False), 2)}),"
        )
    lines.append("});")
    if call.is_stream:
        lines += [
            "for await (const part of response.body.pipeThrough(new TextDecoderStream())) console.log(part);"
        ]
    else:
        lines.append(
            "console.log(await response.json());" if call.is_json else "console.log(response.status);"
        )
    return "\n".join(lines)


def _nested(text: str, columns: int) -> str:
    return indent(text, " " * columns).strip()


def _python_value(value: Any) -> str:
    """JSON as Python writes it, where they differ."""
    if isinstance(value, dict):
        inner = ",\n".join(
            f"    {json.dumps(name)}: {_nested(_python_value(each), 4)}" for name, each in value.items()
        )
        return f"{{\n{inner},\n}}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_python_value(each) for each in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
