"""The style guide is for developers only."""

import shutil

import pytest
from django.conf import settings
from django.test import Client

from metering.request_path import spool


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Other tests answer requests of organizations that were never committed: their lines wait for ever."""
    spool.writer().close()
    shutil.rmtree(settings.SPOOL_DIR, ignore_errors=True)


def test_the_style_guide_is_for_developers(client: Client, db: None, settings) -> None:
    assert client.get("/_styleguide/").status_code == 404
    settings.DEBUG = True
    assert client.get("/_styleguide/").status_code == 200
