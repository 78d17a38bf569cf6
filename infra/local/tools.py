"""Python environments and Node packages inside the checkout, made on first use from what is pinned.

Runs on the system's Python and its standard library alone: everything else in infra/
starts by calling `enter`, which makes the environment and restarts the script in it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
REQUIREMENTS = {
    "local": ROOT / "infra" / "local" / "requirements.txt",
    "build": ROOT / "infra" / "build" / "requirements.txt",
}
# The least version the pinned packages support.
PYTHON = (3, 11)


def enter(name: str = "local") -> None:
    """Restarts the running script in environment `name`, unless it already runs there."""
    try:
        environment = ensure(name)
    except KeyboardInterrupt:
        sys.exit(130)
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = str(environment / "bin" / "python")
    os.execv(python, [python, *sys.argv])


def ensure(name: str) -> Path:
    """The environment `name`, installed if it is missing or its requirements changed."""
    if sys.version_info < PYTHON:
        sys.exit(f"Python {PYTHON[0]}.{PYTHON[1]} or later is needed; this is {sys.version.split()[0]}.")
    environment = STATE / f"venv-{name}"
    stamp = environment / "installed"
    wanted = _fingerprint(REQUIREMENTS[name])
    STATE.mkdir(exist_ok=True)
    with open(STATE / f"venv-{name}.lock", "w") as lock:
        # Two commands started together must not install into one folder at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _install(environment, REQUIREMENTS[name])
            stamp.write_text(wanted)
    return environment


def _install(environment: Path, requirements: Path) -> None:
    print(f"Installing {requirements.relative_to(ROOT)} into {environment.relative_to(ROOT)} ...", file=sys.stderr)
    started = time.monotonic()
    shutil.rmtree(environment, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(environment)], capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(f"{made.stdout}{made.stderr}\nCannot make a virtual environment. On Debian and Ubuntu the package python3-venv is missing.")
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", "--quiet", "-r", str(requirements)]).returncode != 0:
        sys.exit("The installation failed; see pip's message above.")
    print(f"  installed in {time.monotonic() - started:.0f} s", file=sys.stderr)


def node(package: Path) -> Path:
    """A copy of a Node package with what its lock file pins to the byte, installed if that changed.

    Node looks for packages beside the files that import them, so those come along.
    """
    copy = STATE / f"node-{package.name}"
    installed, stamp = copy / "node_modules", copy / "installed"
    pins = [package / name for name in ("package.json", "package-lock.json")]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {package.relative_to(ROOT)} into {copy.relative_to(ROOT)} ...", file=sys.stderr)
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        for file in pins:
            shutil.copy2(file, copy)
        # No package runs anything of its own while it is installed.
        if subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=copy).returncode != 0:
            sys.exit("The installation failed; see npm's message above.")
        stamp.write_text(wanted)
    # Nothing of an earlier copy stays, such as a test that was deleted meanwhile.
    for old in set(copy.iterdir()) - {installed, stamp}:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    # Nor is taken along what somebody installed or built in the checkout.
    shutil.copytree(package, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "dist", "build"))
    return copy


def _fingerprint(requirements: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(requirements.parent.glob("*.txt")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    # For make: where the environment or, by its folder, the Node package is.
    print(node(ROOT / sys.argv[1]) if "/" in sys.argv[1] else ensure(sys.argv[1]))
