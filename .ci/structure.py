"""The rules of the house that no other tool checks: `python .ci/structure.py` prints what breaks them.

import-linter holds the floors (pyproject.toml); here are the names of modules, sizes, what domain modules may import,
and what templates may contain. tests/test_architecture.py runs the same rules.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APPS = (
    "superagent/foundation",
    "accounts",
    "metering",
    "billing",
    "licensing",
    "superagent/chat",
    "superagent/provisioning",
)
CODE = ("superagent", "accounts", "metering", "billing", "licensing", "tests", "bench")
VAGUE_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "services",
    "service",
    "common",
    "misc",
    "lib",
    "core",
    "shared",
}
FRAMEWORK_MODULES = frozenset(
    re.findall(
        r"\w+",
        "apps models managers migrations forms views urls api serializers api_urls schema filters admin middleware "
        "authentication permissions backends throttles checks context_processors tasks signals receivers webhooks "
        "webhook_handlers outbox_handlers templatetags management",
    )
)
NEVER_FROM_DOMAIN = {"views", "api", "forms", "tasks", "outbox_handlers", "webhook_handlers"}
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50
LONGEST_TEMPLATE_LINE = 120
TOLERANCE = 1.25  # "about" 400 and 50: beyond the limit it is reported, beyond this it fails


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    text: str
    is_advice: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'(advice) ' if self.is_advice else ''}{self.text}"


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def templates() -> Iterator[Path]:
    yield from sorted((ROOT / "templates").rglob("*.html"))
    for folder in CODE[:5]:
        yield from sorted(path for path in (ROOT / folder).rglob("*.html") if "sandbox" not in path.parts)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- Names and sizes


def vague_names() -> Iterator[Finding]:
    """A module is named for its subject, so that calls read as sentences."""
    for path in python_files(*CODE[:5]):
        name = path.parent.name if path.name == "__init__.py" else path.stem
        if name in VAGUE_NAMES:
            yield Finding(_relative(path), 1, f"'{name}' says nothing: name the module for its subject")


def sizes() -> Iterator[Finding]:
    """A long file becomes a package, a long function two functions."""
    for path in python_files(*CODE):
        source = path.read_text()
        lines = source.count("\n")
        if lines > MOST_LINES_OF_A_FILE:
            is_advice = lines <= MOST_LINES_OF_A_FILE * TOLERANCE
            yield Finding(_relative(path), 1, f"{lines} lines: split it along the domain", is_advice)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = _length(node)
                if length > MOST_LINES_OF_A_FUNCTION:
                    is_advice = length <= MOST_LINES_OF_A_FUNCTION * TOLERANCE
                    yield Finding(_relative(path), node.lineno, f"{node.name} has {length} lines", is_advice)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def unfinished() -> Iterator[Finding]:
    """What is not done is in the tracker, not in the code."""
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in [*python_files(*CODE), *templates()]:
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if mark.search(line):
                yield Finding(_relative(path), number, "unfinished work")


# --- Imports


def domain_imports() -> Iterator[Finding]:
    """A domain module knows neither pages nor the API nor the queue: a worker is nudged by the name of its task."""
    for app in APPS:
        for path in python_files(app):
            first = path.relative_to(ROOT / app).parts[0].removesuffix(".py")
            if first in FRAMEWORK_MODULES or first == "__init__":
                continue
            yield from _upward_imports(path)


def _upward_imports(path: Path) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(path.read_text())):
        for module in _imported_modules(node):
            parts = module.split(".")
            is_ours = parts[0] in CODE[:5] and "sandbox" not in parts
            if is_ours and NEVER_FROM_DOMAIN & set(parts[1:]):
                yield Finding(
                    _relative(path), getattr(node, "lineno", 1), f"a domain module imports {module}"
                )


def _imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def circles() -> Iterator[Finding]:
    """No modules import each other in a circle, not even inside functions: who reads one would have to read them all.

    Managers may name their models for types.
    """
    modules = {_dotted(path): path for path in python_files(*CODE[:5])}
    graph = {name: _first_party_imports(path, modules) for name, path in modules.items()}
    for circle in _strongly_connected(graph):
        yield Finding(_relative(modules[min(circle)]), 1, f"import each other: {', '.join(sorted(circle))}")


def _dotted(path: Path) -> str:
    return _relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _first_party_imports(path: Path, modules: Collection[str]) -> set[str]:
    tree = ast.parse(path.read_text())
    for_types: set[int] = set()
    if path.stem == "managers":
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.If)
                and isinstance(node.test, ast.Name)
                and node.test.id == "TYPE_CHECKING"
            ):
                for_types |= {id(each) for each in ast.walk(node)}
    names = [name for node in ast.walk(tree) if id(node) not in for_types for name in _imported_modules(node)]
    found = {name if name in modules else name.rpartition(".")[0] for name in names}
    return (found & set(modules)) - {_dotted(path)}


def _strongly_connected(graph: dict[str, set[str]]) -> Iterator[set[str]]:
    """Each set of at least two nodes that reach each other."""
    reached = {name: _reachable(graph, name) for name in graph}
    seen: set[str] = set()
    for name in graph:
        if name not in seen and name in reached[name]:
            circle = {other for other in reached[name] if name in reached[other]}
            seen |= circle
            yield circle


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    todo = [start]
    while todo:
        new = graph[todo.pop()] - reached
        reached |= new
        todo += new
    return reached


def unlisted_modules() -> Iterator[Finding]:
    """Every module at the top of superagent/ is in the contract of floors, else it could import anything."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed = set(re.findall(r"superagent\.(\w+)", " ".join(contracts[0]["layers"]))) | {"sandbox", "__init__"}
    for path in sorted((ROOT / "superagent").iterdir()):
        name = path.stem
        is_module = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_module and name not in listed:
            yield Finding(_relative(path), 1, "add it to the contract of floors in pyproject.toml")


# --- Tests

TESTS_OF = {
    "superagent/foundation": "foundation",
    "superagent/operations": "operations",
    "superagent/portal": "portal",
    "superagent/local": "local",
    "accounts": "accounts",
    "metering": "metering",
    "billing": "billing",
    "licensing": "licensing",
}
WITHOUT_A_TEST_FILE = Path(__file__).with_name("modules_without_test_file.txt")


def untested_modules() -> Iterator[Finding]:
    """Every domain module has a test file of its name: tests/APP/[PACKAGE/]test_MODULE.py.

    modules_without_test_file.txt names those that only other tests cover, each with which; it may only shrink.
    """
    lines = WITHOUT_A_TEST_FILE.read_text().splitlines()
    exempt = {path for line in lines if (path := line.partition("#")[0].strip())}
    missing = {_relative(path) for path in _domain_modules() if not _has_test_file(path)}
    for path in sorted(missing - exempt):
        yield Finding(path, 1, f"no test file of its name: write test_{Path(path).name} under tests/")
    for path in sorted(exempt - missing):
        yield Finding(
            _relative(WITHOUT_A_TEST_FILE), 1, f"{path} has a test file or is gone: take it off the list"
        )


def _domain_modules() -> Iterator[Path]:
    for app in TESTS_OF:
        for path in python_files(app):
            first = path.relative_to(ROOT / app).parts[0].removesuffix(".py")
            if first not in FRAMEWORK_MODULES and path.name not in ("__init__.py", "__main__.py"):
                yield path


def _has_test_file(path: Path) -> bool:
    """In the folder of tests that mirrors its package, or above that in the app's."""
    app = next(app for app in TESTS_OF if _relative(path).startswith(f"{app}/"))
    tests = ROOT / "tests" / TESTS_OF[app]
    folder = tests / path.relative_to(ROOT / app).parent
    folders = [each for each in (folder, *folder.parents) if each.is_relative_to(tests)]
    return any((each / f"test_{path.name}").exists() for each in folders)


# --- Templates

_COMMENT = re.compile(r"{#.*?#}|{% comment.*?%}.*?{% endcomment %}", re.DOTALL)
_FORBIDDEN_IN_TEMPLATES = (
    (re.compile(r"<style\b", re.IGNORECASE), "a <style> element: the policy of the page forbids it"),
    (
        re.compile(r"<script\b(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")", re.IGNORECASE),
        "an inline script",
    ),
    (re.compile(r"<[^>]*\sstyle\s*=", re.IGNORECASE), "an inline style"),
    (re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE), "an inline event handler"),
    (re.compile(r"javascript:", re.IGNORECASE), "a javascript: address"),
    (
        re.compile(r"(?<!help_text)\|\s*safe\b(?!seq)"),
        "|safe: clean the text where it is made (help_text is made in code)",
    ),
    (re.compile(r"{%\s*autoescape\s+off"), "autoescape off"),
)
_URL_TAG = re.compile(r"""{%\s*url\s+["']([^"']+)["']""")


def _lines_of(template: Path) -> str:
    """The template with comments blanked, so that line numbers stay."""
    return _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), template.read_text())


def unsafe_templates() -> Iterator[Finding]:
    """Nothing inline, because the Content-Security-Policy would silently kill it. Mail has no policy and no files."""
    for path in templates():
        if "email" in path.parts:
            continue
        text = _lines_of(path)
        for pattern, problem in _FORBIDDEN_IN_TEMPLATES:
            for found in pattern.finditer(text):
                yield Finding(_relative(path), text.count("\n", 0, found.start()) + 1, problem)


def long_template_lines() -> Iterator[Finding]:
    """Lines of templates end at 120, but for mail, which is as it is sent. A tag of Django ends in its line: name a
    long argument by {% with %} or {% blocktranslate asvar %}."""
    for path in templates():
        if "email" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if len(line) > LONGEST_TEMPLATE_LINE:
                text = f"{len(line)} characters: a line ends at {LONGEST_TEMPLATE_LINE}"
                yield Finding(_relative(path), number, text)


def dead_links() -> Iterator[Finding]:
    """Every {% url %} names a URL that exists."""
    names = _url_names()
    for path in templates():
        text = _lines_of(path)
        for found in _URL_TAG.finditer(text):
            if found.group(1) not in names:
                line = text.count("\n", 0, found.start()) + 1
                yield Finding(_relative(path), line, f"no URL is named {found.group(1)}")


def _url_names() -> set[str]:
    import django
    from django.urls import URLPattern, URLResolver, get_resolver

    django.setup()

    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix)
            elif isinstance(pattern, URLPattern) and pattern.name:
                yield prefix + pattern.name

    return set(walk(get_resolver(), ""))


RULES: tuple[Callable[[], Iterator[Finding]], ...] = (
    vague_names,
    sizes,
    unfinished,
    domain_imports,
    circles,
    unlisted_modules,
    untested_modules,
    unsafe_templates,
    long_template_lines,
    dead_links,
)


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "superagent.settings")
    findings = sorted(finding for rule in RULES for finding in rule())
    for finding in findings:
        print(finding)
    return 1 if any(not finding.is_advice for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
