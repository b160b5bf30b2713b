"""What a page costs: CPU of the web process a page, beside the users' list of a stock Django admin, in one run.

    .venv/bin/python bench/pages.py [--rounds 15] [--keep DIR] [--profile /keys/]

Two processes answer in turns, each through its WSGI application and with production settings: SuperAgent with its demo
organization, as an owner who is logged in, and a Django project with nothing but its admin and 25 users. Both use the
same PostgreSQL. Prints the table that is in pages.md; `--profile` prints where the time of one page goes instead.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ADMIN = "/admin/auth/user/"
# What a page may cost, in ms of CPU; for visitors, and for an owner who is logged in.
VISITORS = {"/": 1.0, "/docs/problems": 1.0, "/api/docs/": 1.0}
# The first two are the floor under all others: a view that answers nothing, and the frame around an empty page.
MEMBERS = {
    "/bench/nothing/": 6.0,
    "/bench/frame/": 6.0,
    "/api-keys/": 6.0,
    "/members/": 6.0,
    "/settings/": 6.0,
    "/billing/": 14.0,
    "/usage/": 14.0,
    "/dashboard/": 14.0,
}
WARM_UP = 4
A_ROUND = 4  # requests of a page in a round

FILES = {
    "bench_ours.py": """
        from superagent.settings import *

        MIGRATION_MODULES = {"djstripe": None}  # 40 s that no request needs
        STATIC_ROOT = DATA_DIR / "static"
        LOG_LEVEL = "WARNING"
        ROOT_URLCONF = "bench_ours_urls"
    """,
    "bench_ours_urls.py": """
        from django.http import HttpResponse
        from django.shortcuts import render
        from django.urls import path
        from accounts.access import portal_view
        from superagent.urls import *

        urlpatterns = [
            path("bench/nothing/", portal_view()(lambda request: HttpResponse("nothing"))),
            path("bench/frame/", portal_view()(lambda request: render(request, "portal.html"))),
            *urlpatterns,
        ]
    """,
    "bench_stock.py": """
        import os
        from django.core.management.utils import get_random_secret_key

        DEBUG = False
        SECRET_KEY = "stock" * 12
        ALLOWED_HOSTS = ["*"]
        ROOT_URLCONF = "bench_stock_urls"
        INSTALLED_APPS = [
            "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
            "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
        ]
        MIDDLEWARE = [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ]
        TEMPLATES = [{
            "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
            "OPTIONS": {"context_processors": [
                "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]},
        }]
        import environ
        _owner = environ.Env().db_url_config(os.environ["STOCK_URL"])
        _owner["OPTIONS"] = {**_owner.get("OPTIONS", {}), "options": "-c search_path=stock"}
        DATABASES = {"default": {**_owner, "CONN_MAX_AGE": 60}}
        USE_TZ = True
        STATIC_URL = "static/"
    """,
    "bench_stock_urls.py": """
        from django.contrib import admin
        from django.urls import path

        urlpatterns = [path("admin/", admin.site.urls)]
    """,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--keep", type=Path, help="a directory to keep the database in between runs")
    arguments.add_argument("--profile", metavar="PATH", help="print where the time of one page goes")
    arguments.add_argument("--serve", choices=["ours", "stock"], help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as temporary:
        run((options.keep or Path(temporary)).resolve(), options)


def run(directory: Path, options: argparse.Namespace) -> None:
    sys.path.insert(0, str(ROOT))
    from superagent.local import embedded

    directory.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (directory / name).write_text(textwrap.dedent(text))
    data = directory / "data"
    environment = os.environ | {
        "PYTHONPATH": f"{directory}:{ROOT}", "DATA_DIR": str(data), "LOCAL": "true", "DEBUG": "false",
        "SANDBOX_PORT": str(free_port()), "DJANGO_SETTINGS_MODULE": "bench_ours",
    }  # fmt: skip
    try:
        services = embedded.start(data)
        environment["STOCK_URL"] = services.database_owner_url
        if not (directory / "is_filled").exists():
            fill(environment)
            (directory / "is_filled").touch()
        measure(environment, options)
    finally:
        embedded.stop(data)


def fill(environment: dict[str, str]) -> None:
    """The demo, bought from the sandbox, and 25 users for the admin."""
    manage = [sys.executable, "manage.py"]
    sandbox = [sys.executable, "-m", "superagent.sandbox", "--port", environment["SANDBOX_PORT"]]
    sandbox += ["--data-dir", f"{environment['DATA_DIR']}/sandbox"]
    seller = subprocess.Popen(sandbox, cwd=ROOT, env=environment)
    try:
        for command in (
            ["migrate", "-v", "0"],
            ["collectstatic", "--noinput", "-v", "0"],
            ["sync_catalog"],
            ["seed_demo"],
        ):
            subprocess.run([*manage, *command], cwd=ROOT, env=environment, check=True)
    finally:
        seller.terminate()
        seller.wait()
    stock = environment | {"DJANGO_SETTINGS_MODULE": "bench_stock"}
    schema = "import django; django.setup(); from django.db import connection; "
    schema += "connection.cursor().execute('CREATE SCHEMA stock')"
    subprocess.run([sys.executable, "-c", schema], cwd=ROOT, env=stock, check=True)
    subprocess.run([sys.executable, "-m", "django", "migrate", "-v", "0"], cwd=ROOT, env=stock, check=True)


# --- The side that measures -------------------------------------------------------------------------------------------


class Side:
    """A process that answers one of the two projects."""

    def __init__(self, kind: str, environment: dict[str, str]) -> None:
        log = Path(environment["DATA_DIR"]).with_name(f"{kind}.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, env=environment | {"DJANGO_SETTINGS_MODULE": f"bench_{kind}"},
        )  # fmt: skip

    def ask(self, **question: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        sys.exit("a server ended: see its log in the directory of --keep")

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(environment: dict[str, str], options: argparse.Namespace) -> None:
    ours, stock = Side("ours", environment), Side("stock", environment)
    try:
        if options.profile:
            print(
                ours.ask(path=options.profile, member=options.profile not in VISITORS, profile=True)["text"]
            )
            return
        pages = [(path, False) for path in VISITORS] + [(path, True) for path in MEMBERS]
        times: dict[str, list[float]] = {path: [] for path, _ in pages} | {ADMIN: []}
        for _ in range(options.rounds):
            times[ADMIN] += stock.ask(path=ADMIN, member=True, times=A_ROUND)
            for path, is_member in pages:
                times[path] += ours.ask(path=path, member=is_member, times=A_ROUND)
        admin = statistics.median(times[ADMIN])
        print(
            "| page | CPU, ms | beside the admin's list | Python calls | queries | wanted, ms |\n"
            "|---|---|---|---|---|---|"
        )
        facts = stock.ask(path=ADMIN, member=True, count=True)
        print(
            f"| stock admin, list of 25 users | {admin:.2f} | 1.00 | {facts['calls']:,} | {facts['queries']} | |"
        )
        for path, is_member in pages:
            facts, cost = ours.ask(path=path, member=is_member, count=True), statistics.median(times[path])
            wanted = (VISITORS | MEMBERS)[path]
            print(
                f"| {path} | {cost:.2f} | {cost / admin:.2f} | {facts['calls']:,} | {facts['queries']} | {wanted:.0f} |"
            )
    finally:
        ours.close()
        stock.close()


# --- The side that answers --------------------------------------------------------------------------------------------


def serve(kind: str) -> None:
    sys.path[0] = str(ROOT)
    application, cookies = (_ours if kind == "ours" else _stock)()
    for line in sys.stdin:
        question = json.loads(line)
        cookie = cookies if question["member"] else ""
        ask = asker(application, question["path"], cookie)
        for _ in range(WARM_UP):
            ask()
        if question.get("profile") or question.get("count"):
            print("answer " + json.dumps(_profiled(ask)), flush=True)
        else:
            print("answer " + json.dumps([timed(ask) for _ in range(question["times"])]), flush=True)


def asker(application: Callable[..., Any], path: str, cookie: str) -> Callable[[], None]:
    path, _, query = path.partition("?")
    base = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000", "HTTP_USER_AGENT": "Mozilla/5.0 bench",
        "HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_LANGUAGE": "en", "HTTP_ACCEPT_ENCODING": "gzip",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    if cookie:
        base["HTTP_COOKIE"] = cookie
    answer: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        answer[:] = [status]

    def ask() -> None:
        body = application(base | {"wsgi.input": io.BytesIO()}, start_response)
        for _ in body:
            pass
        body.close()
        if answer[0] != "200 OK":
            sys.exit(f"{path} answered {answer[0]}")

    return ask


def timed(ask: Callable[[], None]) -> float:
    """Milliseconds of this thread's CPU."""
    begun = time.thread_time()
    ask()
    return (time.thread_time() - begun) * 1000


def _profiled(ask: Callable[[], None]) -> dict[str, Any]:
    from django.db import connection

    queries = [0]

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        queries[0] += 1
        return execute(*arguments)

    with connection.execute_wrapper(count):
        ask()
    profile = cProfile.Profile()
    profile.runcall(ask)
    out = io.StringIO()
    found = pstats.Stats(profile, stream=out)
    found.sort_stats("cumulative").print_stats(70)
    found.sort_stats("tottime").print_stats(40)
    text = re.sub(r"\S*/(site-packages|lib/python[\d.]+)/", "", out.getvalue()).replace(f"{ROOT}/", "")
    return {"calls": found.total_calls, "queries": queries[0], "text": text}


def _ours() -> tuple[Callable[..., Any], str]:
    application = import_module("superagent.wsgi").application  # sets Django up, before any model is imported
    from accounts.models import User
    from superagent.foundation import tenancy

    with tenancy.system("bench"):
        return application, _logged_in(User.objects.get(email="demo@superagent.example"))


def _stock() -> tuple[Callable[..., Any], str]:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    from django.contrib.auth.models import User

    if not User.objects.exists():
        User.objects.create_superuser("admin", "admin@example.com", "no matter")
        User.objects.bulk_create(
            User(username=f"user{number}", email=f"{number}@example.com") for number in range(24)
        )
    return application, _logged_in(User.objects.get(username="admin"))


def _logged_in(user: Any) -> str:
    """The cookies of a browser in which `user` has logged in, and has seen a form."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user, settings.AUTHENTICATION_BACKENDS[0])
    cookies: SimpleCookie = client.cookies
    cookies[settings.CSRF_COOKIE_NAME] = "a" * 32
    return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
