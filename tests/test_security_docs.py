"""docs/security.md is believed by who cannot read the code: what it names exists, and no requirement is left out."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
TEXT = PAGE.read_text()

# ASVS 5.0.0: how many requirements of levels 1 and 2 each section has; they are numbered from 1.
REQUIREMENTS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2,
    "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2,
    "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4,
    "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2,
    "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
    "9.1": 3, "9.2": 4,
    "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3,
    "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4,
    "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5,
    "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7,
    "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3,
    "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
ROWS = re.findall(r"^\| (V[\d.]+) \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)
FILES = re.compile(
    r"`([\w.][\w./@-]*\.(?:py|md|sql|js|html|conf|yml|txt|toml|example)|static/[\w/]+)(?:::(\w+))?`"
)
LINKS = re.compile(r"\]\(([^)\s]+)\)|^\[\d+\]: (\S+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_requirement_has_one_row() -> None:
    expected = {
        f"V{section}.{number + 1}" for section, count in REQUIREMENTS.items() for number in range(count)
    }
    assert len(expected) == 253
    assert Counter(row[0] for row in ROWS) == Counter(expected)


def test_every_verdict_is_one_of_four_and_the_sums_are_right() -> None:
    verdicts = Counter(verdict.strip("*") for _, _, verdict, _ in ROWS)
    assert set(verdicts) == {"met", "partly", "not met", "does not apply"}
    told = re.search(
        r"Of (\d+) requirements, (\d+) are met, (\d+) partly, (\d+) are not, and (\d+) do not apply", TEXT
    )
    assert told
    assert [int(number) for number in told.groups()] == [
        len(ROWS),
        *(verdicts[verdict] for verdict in ("met", "partly", "not met", "does not apply")),
    ]


@pytest.mark.parametrize("path, test", sorted(set(FILES.findall(TEXT))))
def test_what_is_named_exists(path: str, test: str) -> None:
    assert (ROOT / path).exists()
    if test:
        assert f"def {test}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("link", sorted({inline or defined for inline, defined in LINKS.findall(TEXT)}))
def test_links_lead_somewhere(link: str) -> None:
    if link.startswith("https://"):
        return
    path, _, anchor = link.partition("#")
    page = (PAGE.parent / path).resolve() if path else PAGE
    assert page.exists()
    assert not anchor or anchor in _anchors(page)


def test_every_decision_that_is_referred_to_is_linked() -> None:
    used = set(re.findall(r"\[(\d+)\](?![:(])", TEXT))
    assert used == set(re.findall(r"^\[(\d+)\]:", TEXT, re.MULTILINE))
