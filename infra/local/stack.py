"""The local stack: builds the binaries, runs the emulated AWS and the demo, deploys, seeds.

`up.py` runs one for a person, `test.py` a second beside it for the tests: a `Stack` is
told its ports and its folder and shares nothing with another. It leaves nothing behind
but that folder, and never signals a process it did not start.
"""

import fcntl
import filecmp
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from tools import ROOT

FUNCTIONS = [
    "connector-admin",
    "oauth-start",
    "oauth-callback",
    "oauth-complete",
    "connections",
    "disconnect",
    "token-lookup",
    "token-refresher",
]
HOST = "127.0.0.1"
REGION = "us-east-1"
# The emulator's root user. It reaches nothing outside this machine.
ACCESS_KEY = {"access_key_id": "test", "secret_access_key": "test"}
# Pinned, because it is part of every redirect URI. The emulator wants eight hex digits.
API_ID = "10ca1a91"
AUDIENCE = "grantry"


class Failed(Exception):
    """Something the person at the terminal can act on; printed without a traceback."""


class Interrupted(Exception):
    """Ctrl-C, or a polite kill."""


# --- Telling what happens ------------------------------------------------------------


@contextmanager
def step(what: str):
    """Prints what is being done and, when it is done, how long it took."""
    started = time.monotonic()
    print(f"{what} ...", flush=True)
    yield
    print(f"  {time.monotonic() - started:.1f} s", flush=True)


def listen_for_interrupts() -> None:
    """Turns the usual ways to end a program into `Interrupted`, so that `finally` runs."""

    def interrupt(number, _frame):
        raise Interrupted(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def ignore_interrupts() -> None:
    """A second Ctrl-C must not stop the stopping."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


# --- Processes -----------------------------------------------------------------------


def run(argv: list, *, env: dict | None = None, log: Path | None = None, capture: bool = False) -> str:
    """Runs a command to its end, in a process group of its own so that an interrupt takes all of it.

    Output goes to the terminal, or to `log`, which a failure quotes.
    """
    output = open(log, "w") if log else None
    child = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=env,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else output,
        stderr=subprocess.STDOUT if log else None,
        text=True,
    )
    try:
        printed, _ = child.communicate()
    except BaseException:
        _end_group(child)
        raise
    finally:
        if output:
            output.close()
    if child.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-40:]) if log else ""
        raise Failed(f"{tail}\n`{Path(argv[0]).name} {' '.join(map(str, argv[1:3]))} ...` failed with status {child.returncode}.".strip())
    return printed or ""


def _end_group(child: subprocess.Popen) -> None:
    """Asks a process group to end and, after five seconds, ends it."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        if _await_end(child.pid, patience, child):
            break
    child.wait()


def _await_end(group: int, patience: float, child: subprocess.Popen | None = None) -> bool:
    """Whether a process group is gone, after waiting for that a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if child:
            # Or it stays in the process table, dead.
            child.poll()
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return True
        time.sleep(0.05)
    return False


def _start_time(pid: int) -> str:
    """When a process started, which with its id names it beyond the id's reuse. Empty if it is gone."""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip()


class Processes:
    """The long-running children of one stack, and the record by which the next run finds leftovers."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._children: list[tuple[str, subprocess.Popen]] = []

    def start(self, name: str, argv: list, env: dict, log: Path) -> subprocess.Popen:
        with open(log, "w") as output:
            child = subprocess.Popen(
                argv,
                cwd=self._folder,
                env=env,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._children.append((name, child))
        record = {"pid": child.pid, "started": _start_time(child.pid)}
        (self._folder / f"{name}.pid").write_text(json.dumps(record))
        return child

    def ended(self) -> str | None:
        """The name of a child that is no longer running."""
        return next((name for name, child in self._children if child.poll() is not None), None)

    def stop(self) -> None:
        while self._children:
            name, child = self._children.pop()
            _end_group(child)
            (self._folder / f"{name}.pid").unlink(missing_ok=True)

    def stop_leftovers(self) -> None:
        """Ends what an earlier run started and, being killed itself, could not stop."""
        for record_file in self._folder.glob("*.pid"):
            try:
                record = json.loads(record_file.read_text())
            except ValueError:
                record = {"pid": 0, "started": ""}
            if record["started"] and _start_time(record["pid"]) == record["started"]:
                print(f"Stopping {record_file.stem}, left over from a run that was killed.", flush=True)
                os.killpg(record["pid"], signal.SIGKILL)
                _await_end(record["pid"], 5)
            record_file.unlink()


# --- Building ------------------------------------------------------------------------


def build() -> Path:
    """Builds what the stack runs, for this machine, and answers where the demo is.

    One selection for functions and demo: the demo asks more of tokio, and by itself would
    compile that and everything above it, the AWS SDKs too, a second time. `test.py` checks
    that the functions do not come to need what only the demo asks for.
    """
    with step("Building the functions and the demo (release, for this machine)"):
        # Without its default features the test kit leaves out a whole DynamoDB engine.
        binaries = _cargo_build([*packages([*FUNCTIONS, "testkit"]), "--bins", "--no-default-features"])
        for name in FUNCTIONS:
            _place(binaries[name], _bootstrap(name))
    return binaries["demo"]


def built() -> Path:
    """What an earlier `build` has left, for a run that is to compile nothing; answers where the demo is."""
    demo = ROOT / "target" / "release" / "demo"
    if missing := [str(one.relative_to(ROOT)) for one in [demo, *map(_bootstrap, FUNCTIONS)] if not one.exists()]:
        raise Failed(f"{', '.join(missing)} is not there: nothing has been built yet.")
    return demo


def _bootstrap(function: str) -> Path:
    """Where the template looks for a function's binary."""
    return ROOT / "target" / "lambda" / function / "bootstrap"


def packages(names: list[str]) -> list[str]:
    """The arguments that select packages for cargo."""
    return [argument for name in names for argument in ("-p", name)]


def _cargo_build(selection: list[str]) -> dict[str, Path]:
    """Runs cargo, which decides what is out of date, and answers where it put the binaries."""
    lines = run(["cargo", "build", "--release", "--locked", *selection, "--message-format=json-render-diagnostics"], capture=True)
    messages = (json.loads(line) for line in lines.splitlines() if line.startswith("{"))
    return {message["target"]["name"]: Path(message["executable"]) for message in messages if message.get("executable")}


def _place(binary: Path, bootstrap: Path) -> None:
    """Copies a binary to the folder the template deploys, if it is another than the one there."""
    if bootstrap.exists() and filecmp.cmp(binary, bootstrap, shallow=False):
        return
    bootstrap.parent.mkdir(parents=True, exist_ok=True)
    # Through a new file: a running stack may still have the old one open.
    fresh = bootstrap.with_name("bootstrap.new")
    shutil.copy2(binary, fresh)
    fresh.replace(bootstrap)


# --- The stack -----------------------------------------------------------------------


@dataclass(frozen=True)
class Ports:
    aws: int
    issuer: int
    provider: int
    app: int


def free_ports(number: int) -> list[int]:
    """So many ports nobody listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Stack:
    """One emulated AWS with Grantry deployed to it, and one demo beside it."""

    def __init__(self, folder: Path, name: str, ports: Ports):
        self.folder = folder
        self.name = name
        self.ports = ports
        self.aws_endpoint = f"http://{HOST}:{ports.aws}"
        self.issuer_url = f"http://{HOST}:{ports.issuer}"
        self.provider_url = f"http://{HOST}:{ports.provider}"
        self.app_url = f"http://{HOST}:{ports.app}"
        self.public_url = f"http://{API_ID}.execute-api.localhost:{ports.aws}"
        self.app_config = folder / "app.json"
        self.emulator_log = folder / "ministack.log"
        self.demo_log = folder / "demo.log"
        self.emulator_pid: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(folder / "lock", "w")
        self._processes = Processes(folder)

    def claim(self) -> None:
        """Makes the folder and the ports this run's own."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(f"{self.folder.relative_to(ROOT)} is in use: this stack is already running.") from None
        self._processes.stop_leftovers()
        for what, port in asdict(self.ports).items():
            with socket.socket() as probe:
                # As servers do, so that a port the previous run just left counts as free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    raise Failed(f"Port {port} ({what}) is taken by another program. Choose another: {what.upper()}_PORT=<port>.") from None

    def start(self, demo: Path) -> None:
        """Starts the emulator, deploys to it and starts the demo."""
        with step("Starting the local AWS"):
            self._start_emulator()
        with step("Starting the demo issuer, provider and app"):
            self._start_demo(demo)
        with step("Deploying infra/template.yaml with SAM"):
            self._deploy()

    def start_beside(self, name: str, argv: list, ports: list[int]) -> None:
        """Starts one more server, which ends with the stack, and waits until it listens."""
        log = self.folder / f"{name}.log"
        self._processes.start(name, argv, {"PATH": os.environ["PATH"]}, log)
        for port in ports:
            self._await(port, log)

    def stop(self) -> None:
        self._processes.stop()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        self._lock.close()

    def wait(self) -> str:
        """Blocks until a child ends by itself, and answers which."""
        while (name := self._processes.ended()) is None:
            time.sleep(0.5)
        return name

    def _start_emulator(self) -> None:
        temporary = self.folder / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        env = {
            # A function inherits this environment, so it holds nothing of the developer's.
            "PATH": os.environ["PATH"],
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "GATEWAY_PORT": str(self.ports.aws),
            # By default it listens on every interface.
            "BIND_HOST": HOST,
            # Enforces the roles' policies.
            "AUTH": "true",
            # The functions' SDKs call this; without it, AWS itself.
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY["secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            # As on AWS. The default follows the machine's memory.
            "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
            # Listeners on fixed ports that a second stack would collide with.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
        child = self._processes.start("ministack", [sys.executable, str(ROOT / "infra/local/emulator.py")], env, self.emulator_log)
        self.emulator_pid = child.pid
        self._await(self.ports.aws, self.emulator_log)

    def _start_demo(self, demo: Path) -> None:
        argv = [
            str(demo), "--host", HOST,
            "--issuer-port", str(self.ports.issuer),
            "--provider-port", str(self.ports.provider),
            "--app-port", str(self.ports.app),
            "--app-config", str(self.app_config),
        ]  # fmt: skip
        self.app_config.unlink(missing_ok=True)
        self._processes.start("demo", argv, {"PATH": os.environ["PATH"], "RUST_LOG": "info"}, self.demo_log)
        for port in (self.ports.issuer, self.ports.provider, self.ports.app):
            self._await(port, self.demo_log)

    def _await(self, port: int, log: Path) -> None:
        """Waits until a child listens on `port`."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if (name := self._processes.ended()) is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    return
            time.sleep(0.05)
        else:
            name = "it"
        tail = "\n".join(log.read_text().splitlines()[-20:])
        raise Failed(f"{tail}\n{name} did not start listening on port {port}; see {log.relative_to(ROOT)}.")

    def _deploy(self) -> None:
        bucket = f"{self.name}-artifacts"
        self.client("s3").create_bucket(Bucket=bucket)
        parameters = {
            "JwtIssuer": self.issuer_url,
            "JwtAudience": AUDIENCE,
            "PublicUrl": self.public_url,
            "AllowedOrigins": self.app_url,
            "Architecture": {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}[platform.machine().lower()],
            "AllowLocalHttp": "true",
        }
        argv = [
            str(Path(sys.prefix) / "bin" / "sam"), "deploy",
            "--template-file", str(ROOT / "infra" / "template.yaml"),
            "--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local",
            "--stack-name", self.name,
            "--s3-bucket", bucket,
            # The emulator takes the API's id from this tag, which reaches it from the stack.
            "--tags", f"ms-custom-id={API_ID}",
            "--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items()),
        ]  # fmt: skip
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "tmp"),
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY["secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
        }
        run(argv, env=env, log=self.folder / "deploy.log")

    def client(self, service: str):
        return client(service, self.aws_endpoint)

    def describe(self) -> dict:
        """Where everything is: what the end-to-end tests are told."""
        stacks = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        output = {one["OutputKey"]: one["OutputValue"] for one in stacks[0]["Outputs"]}

        def logical(name: str) -> str:
            return "".join(part.capitalize() for part in name.split("-")) + "Function"

        return {
            "stack_name": self.name,
            "public_url": self.public_url,
            "api_id": output["ApiId"],
            "aws_endpoint": self.aws_endpoint,
            "region": REGION,
            "credentials": ACCESS_KEY,
            "tables": {name: output[f"{name.capitalize()}Table"] for name in ("registry", "connections", "sessions", "due", "keys", "audit")},
            "kms_key_arn": output["EnvelopeKeyArn"],
            "event_bus": output["EventBus"],
            "functions": {name: output[logical(name)] for name in FUNCTIONS},
            "log_groups": {name: f"/grantry/{self.name}/{name}" for name in FUNCTIONS},
            "dlq_urls": [output["ScheduleDeadLetterQueue"], output["FailedJobQueue"], output["RefreshDeadLetterQueue"]],
            "issuer_url": self.issuer_url,
            "audience": AUDIENCE,
            "provider_url": self.provider_url,
            "app_url": self.app_url,
            "ministack_pid": self.emulator_pid,
            "ministack_log": str(self.emulator_log),
            "demo_log": str(self.demo_log),
        }

    # --- Over HTTP, as anybody would ---

    def mint(self, subject: str, **claims: str) -> str:
        """A token of the demo issuer."""
        answer = call("POST", f"{self.issuer_url}/_mint", {"sub": subject, "claims": claims, "aud": AUDIENCE, "ttl": 3600})
        return answer["token"]

    def api(self, method: str, path: str, token: str, body: dict) -> dict:
        return call(method, f"{self.public_url}{path}", body, token)


def client(service: str, endpoint: str):
    """A client of the emulated AWS, whatever the developer's own profile says."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY["access_key_id"],
        aws_secret_access_key=ACCESS_KEY["secret_access_key"],
    )


def call(method: str, url: str, body: dict, token: str | None = None) -> dict:
    """One JSON request to something on this machine."""
    address = urllib.parse.urlsplit(url)
    headers = {"Content-Type": "application/json", "Host": address.netloc}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # Dialled by address: browsers and curl take every name under localhost to this
    # machine, the system's resolver often does not.
    connection = http.client.HTTPConnection(HOST, address.port, timeout=30)
    try:
        connection.request(method, address.path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status >= 300:
        raise Failed(f"{method} {url} answered {answer.status}: {text}")
    return json.loads(text) if text else {}
