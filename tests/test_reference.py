"""The pages of the API reference, drawn from the schema."""

from __future__ import annotations

import ast
import re
import subprocess
from html import unescape

import pytest
from django.test import Client

from superagent.foundation import schema
from superagent.portal import menu
from superagent.portal.reference import document, page

pytestmark = pytest.mark.django_db


def operations() -> list[page.Operation]:
    return [operation for area in page.areas() for operation in area.operations]


def code(language: str) -> list[str]:
    return [
        sample.code
        for operation in operations()
        for sample in operation.samples
        if sample.language == language
    ]


def test_the_introduction_leads_to_every_area_and_operation(client: Client):
    """Portal B11."""
    html = client.get("/api/docs/").content.decode()
    for heading in ("authentication", "errors", "repeating-a-request", "lists", "limits", "values"):
        assert f'<h2 id="{heading}">' in html
    for area in page.areas():
        for operation in area.operations:
            assert f'href="/api/docs/{area.slug}/#{operation.id}"' in html


@pytest.mark.parametrize("slug", document.AREAS)
def test_every_operation_is_told_whole(client: Client, slug: str):
    html = client.get(f"/api/docs/{slug}/").content.decode()
    area = next(each for each in page.areas() if each.slug == slug)
    assert area.operations
    for operation in area.operations:
        part = html.partition(f'<article class="operation" id="{operation.id}"')[2].partition("</article>")[0]
        text = unescape(re.sub(r"<[^>]+>", "", part))
        assert operation.summary in text
        assert operation.path in text
        for each in (*operation.parameters, *operation.body, *operation.answer):
            assert f"<code>{each.name}</code>" in part, f"{operation.id}: {each.name}"
        for sample in operation.samples:
            assert sample.code in text
        assert all(error.text in text for error in operation.errors)


def test_the_pages_know_every_operation_of_the_schema():
    names = {operation["operationId"] for operation in schema.operations(schema.document())}
    assert {operation.id for operation in operations()} == names


def test_an_area_that_there_is_not(client: Client):
    assert client.get("/api/docs/nothing/").status_code == 404
    assert client.get("/api/docs").headers["Location"] == "/api/docs/"
    assert client.get("/api/docs/billing").headers["Location"] == "/api/docs/billing/"


def test_the_reference_is_reached_from_everywhere(client: Client):
    assert client.get("/").content.decode().count('href="/api/docs/"') >= 2
    assert any(entry.page == "api:docs" for section in menu.SECTIONS for entry in section.entries)


def test_samples_of_python_can_be_run():
    for sample in code("python"):
        tree = ast.parse(sample)
        imported = {
            alias.name.split(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert imported <= used, sample


def test_samples_of_curl_can_be_run():
    for sample in code("curl"):
        done = subprocess.run(["bash", "-n"], input=sample, text=True, capture_output=True, check=False)
        assert done.returncode == 0, sample + done.stderr


def test_a_word_of_ours_cannot_become_markup():
    assert "<script>" not in page._inline("a <script>alert(1)</script> `b`")
    assert page._inline("a `b`") == "a <code>b</code>"
