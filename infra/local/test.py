"""`make test`: every check there is, the end-to-end tests against a stack of their own.

When they are through, the stack's answers are compared with the OpenAPI document that it serves, and
a small fire is lit on it. The last line printed adds up what passed and what failed, and is this
program's status.
"""

import tools

tools.enter()

import json  # noqa: E402  the line above may restart the script
import os  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import stack as local  # noqa: E402
from contract import Contract  # noqa: E402
from fire import Fire, Options  # noqa: E402

# Of requests made up for an operation in each phase, and what they are drawn from: the same each time.
CONTRACT_CASES = 5
CONTRACT_SEED = 7

# Every fault at every kind of provider; one tick of the schedule comes while it burns.
SMALL_FIRE = Options(connections=65, lifetime=20, grace=1800, burn=60, heal=300, kill_ms=400, freeze=0, lookups=10, seed=7)

# Everything there is to log is logged, and then searched for secrets.
LOG_LEVEL = "trace"

# Cargo tells of a test binary in one line, Node of all its tests in two (TAP).
RESULT = re.compile(r"test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed|# pass (?P<pass>\d+)|# fail (?P<fail>\d+)")


def main() -> int:
    stack = local.Stack(tools.STATE / "test", "grantry-test", local.Ports(*local.free_ports(4)), LOG_LEVEL)
    local.listen_for_interrupts()
    try:
        if missing := [program for program in ("chromium", "chromedriver", "node", "npm", "curl") if not shutil.which(program)]:
            raise local.Failed(
                f"Missing: {', '.join(missing)}. The end-to-end tests walk through a browser, the client for TypeScript and Base44's SDK run on Node, "
                "and an example runs curl; on Debian: apt-get install chromium chromium-driver nodejs npm curl."
            )
        stack.claim()
        client, sdk = tools.node(tools.ROOT / "clients" / "typescript"), tools.node(tools.ROOT / "tests" / "base44")
        with local.step("Checking the format"):
            local.run(["cargo", "fmt", "--all", "--check"])
        with local.step("Checking with clippy"):
            local.run(["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
        with local.step("Checking that the functions compile with their own features alone, as for AWS"):
            local.run(["cargo", "check", "--locked", *local.packages(local.FUNCTIONS)])
        with local.step("Checking the template and the envelope format"):
            local.run([sys.executable, str(tools.ROOT / "infra" / "local" / "check.py")])
        # Before the stack is up: compiling would slow what the tests time.
        with local.step("Building the tests"):
            local.run(["cargo", "test", "--workspace", "--locked", "--no-run"])
        with local.step("Building the client for TypeScript and its tests"):
            local.run(["npm", "--silent", "--prefix", str(client), "run", "pretest"])
        stack.start(local.build())
        description = str(describe(stack))
        results = [cargo_test(description), client_test(client, description), sdk_test(sdk, description), examples(stack)]
        passed, failed = (sum(counts) for counts in zip(*results))
        for is_well in (Contract(stack, CONTRACT_CASES, CONTRACT_SEED).holds, Fire(stack, SMALL_FIRE).burn):
            if not failed:
                passed, failed = (passed + 1, failed) if is_well() else (passed, failed + 1)
        print(f"{passed} passed, {failed} failed", flush=True)
        return 1 if failed else 0
    except local.Interrupted as signal:
        print(f"\n{signal}: stopping.", file=sys.stderr)
        return 130
    except local.Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    finally:
        local.ignore_interrupts()
        stack.stop()


def describe(stack: local.Stack) -> Path:
    """Writes down where everything is, with what only the tests need, and answers where."""
    path, seen, received = (stack.folder / name for name in ("stack.json", "seen-secrets", "received"))
    description = stack.describe()
    description |= {
        "events_queue_url": record_events(stack, description["event_bus"]),
        "dump_command": [sys.executable, str(tools.ROOT / "infra" / "local" / "dump.py"), str(path)],
        # The end-to-end tests note there, one a line, what must not be found in the dump.
        "seen_secrets": str(seen),
        # And there, what the stack answered them and must not hold a secret either.
        "received": str(received),
    }
    seen.write_text("")
    received.write_text("")
    path.write_text(json.dumps(description, indent=2))
    return path


def record_events(stack: local.Stack, bus: str) -> str:
    """A queue that gets a copy of every event from now on: a bus itself remembers none."""
    sqs, events, name = stack.client("sqs"), stack.client("events"), f"{stack.name}-events"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # No queue policy lets the bus in: the emulator asks for none.
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps({"source": ["grantry"]}))
    if events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])["FailedEntryCount"]:
        raise local.Failed("The bus does not take the queue that should record its events.")
    return url


def cargo_test(description: str) -> tuple[int, int]:
    return counted(["cargo", "test", "--workspace", "--locked"], tools.ROOT, {**os.environ, "GRANTRY_E2E_STACK": description})


def client_test(folder: Path, description: str) -> tuple[int, int]:
    """The client for TypeScript, by itself and against the stack."""
    # Nothing of the developer's, such as a proxy.
    env = {"PATH": os.environ["PATH"], "GRANTRY_E2E_STACK": description}
    # By their names: what Node takes a folder for differs from version to version.
    tests = sorted((folder / "build").rglob("*.test.js"))
    return counted(["node", "--test", "--test-reporter=tap", *tests], folder, env)


def sdk_test(folder: Path, description: str) -> tuple[int, int]:
    """Base44's JavaScript SDK, as it is published, against the stack."""
    # Nothing of the developer's, such as a proxy; and the SDK prints no error that is expected.
    env = {"PATH": os.environ["PATH"], "NODE_ENV": "production", "GRANTRY_E2E_STACK": description}
    return counted(["node", "--test", "--test-reporter=tap"], folder, env)


def examples(stack: local.Stack) -> tuple[int, int]:
    """The scripts of docs/examples, as who reads them would run them: what passed, and what failed."""
    urls = {"GRANTRY_URL": stack.public_url, "ISSUER_URL": stack.issuer_url, "PROVIDER_URL": stack.provider_url}
    passed = []
    for argv in (["sh", "connect.sh"], [sys.executable, "-B", "connect.py"]):
        with local.step(f"Running docs/examples/{argv[-1]}"):
            done = subprocess.run(argv, cwd=tools.ROOT / "docs" / "examples", env={"PATH": os.environ["PATH"], **urls})
        passed.append(done.returncode == 0)
    return passed.count(True), passed.count(False)


def counted(argv: list, folder: Path, env: dict) -> tuple[int, int]:
    """Runs tests with their own output, in this process group so that Ctrl-C reaches them.

    The answer adds up what passed and what failed, which is one at least where their program says
    that not all is well.
    """
    child = subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    counts = [0, 0]
    try:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if result := RESULT.match(line):
                told = [result["passed"] or result["pass"], result["failed"] or result["fail"]]
                counts = [total + int(more or 0) for total, more in zip(counts, told)]
        status = child.wait()
    except local.Interrupted:
        child.terminate()
        child.wait()
        raise
    return counts[0], max(counts[1], 1 if status else 0)


if __name__ == "__main__":
    sys.exit(main())
