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

# Everything there is to log is logged, and then searched for secrets. Not the phases of each call
# in the SDKs' engine and the pool of connections: nine lines of ten, which say nothing of what is
# sent, and more than the emulator can take down while it serves a crowd.
LOG_LEVEL = "trace,aws_smithy_runtime=info,aws_smithy_runtime_api=info,hyper_util=info"

RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed")


def main() -> int:
    stack = local.Stack(tools.STATE / "test", "grantry-test", local.Ports(*local.free_ports(4)), LOG_LEVEL)
    local.listen_for_interrupts()
    try:
        if missing := [program for program in ("chromium", "chromedriver") if not shutil.which(program)]:
            raise local.Failed(f"Missing: {', '.join(missing)}. The end-to-end tests walk through a browser; on Debian: apt-get install chromium chromium-driver.")
        stack.claim()
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
        stack.start(local.build())
        passed, failed = cargo_test(describe(stack))
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


def cargo_test(description: Path) -> tuple[int, int]:
    """Runs the tests with cargo's own output, in this process group so that Ctrl-C reaches them.

    Cargo counts by test binary; the answer adds up what passed and what failed, which is one at
    least where cargo says that not all is well.
    """
    env = {**os.environ, "GRANTRY_E2E_STACK": str(description)}
    child = subprocess.Popen(
        ["cargo", "test", "--workspace", "--locked"],
        cwd=tools.ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    counts = [0, 0]
    try:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if result := RESULT.match(line):
                counts = [total + int(more) for total, more in zip(counts, result.groups())]
        status = child.wait()
    except local.Interrupted:
        child.terminate()
        child.wait()
        raise
    return counts[0], max(counts[1], 1 if status else 0)


if __name__ == "__main__":
    sys.exit(main())
