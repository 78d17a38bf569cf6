"""`make fire`: the scheduled refresh on a deployed stack, while everything around it fails.

Some thousand connections at providers that fail in every way of `fire_plan.FAULTS`, their
tokens due over and over, app back ends that look tokens up, users who leave and come back;
and every few hundred milliseconds SIGKILL for a process that refreshes. Then the fire is put
out, every connection is looked up, and `fire_verdict` counts what has been lost.
"""

import tools

tools.enter()

import argparse  # noqa: E402  the line above may restart the script
import http.client  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import urllib.parse  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from dataclasses import dataclass  # noqa: E402

import fire_plan as plan  # noqa: E402
import fire_verdict as verdict  # noqa: E402
import stack as local  # noqa: E402
from fire_kill import Harm  # noqa: E402

VICTIMS = ("token-refresher", "token-lookup")
# How many look-ups are under way at a time when everything is asked for in the end.
AT_ONCE = 6


@dataclass(frozen=True)
class Options:
    """How big a fire, for how long."""

    connections: int
    # Of an access token, in seconds.
    lifetime: int
    # How long a replaced refresh token may be used again at a provider with grace, in seconds.
    grace: int
    # How long it burns, in seconds.
    burn: float
    # How long connections have to be well again, in seconds.
    heal: float
    # Mean time between two kills, in milliseconds; 0 kills nobody.
    kill_ms: int
    # For how long the emulated AWS stands still in the middle, in seconds.
    freeze: float
    # Look-ups a second while it burns.
    lookups: float
    seed: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=5, help="how long it burns")
    parser.add_argument("--heal-minutes", type=float, default=15, help="how long connections have to be well again, at most")
    parser.add_argument("--lifetime", type=int, default=90, help="of an access token, in seconds")
    parser.add_argument("--grace", type=int, default=1800, help="of a replaced refresh token at the providers with grace, in seconds")
    parser.add_argument("--kill-ms", type=int, default=400, help="mean time between two kills; 0 kills nobody")
    parser.add_argument("--freeze", type=float, default=10, help="for how many seconds the emulated AWS stands still")
    parser.add_argument("--lookups", type=float, default=10, help="look-ups a second while it burns")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--built", action="store_true", help="run the binaries that are there and build none")
    told = parser.parse_args()
    options = Options(
        connections=told.connections,
        lifetime=told.lifetime,
        grace=told.grace,
        burn=told.minutes * 60,
        heal=told.heal_minutes * 60,
        kill_ms=told.kill_ms,
        freeze=told.freeze,
        lookups=told.lookups,
        seed=told.seed,
    )
    stack = local.Stack(tools.STATE / "fire", "grantry-fire", local.Ports(*local.free_ports(4)))
    local.listen_for_interrupts()
    try:
        stack.claim()
        stack.start(local.built() if told.built else local.build())
        return 0 if Fire(stack, options).burn() else 1
    except local.Interrupted as interrupt:
        print(f"\n{interrupt}: stopping.", file=sys.stderr)
        return 130
    except local.Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    finally:
        local.ignore_interrupts()
        stack.stop()


class Fire:
    """One run on a stack that is up."""

    def __init__(self, stack: local.Stack, options: Options):
        self._stack = stack
        self._options = options
        self._dice = random.Random(options.seed)
        self._told = stack.describe()
        self._out = threading.Event()
        self._providers: dict[str, str] = {}
        self._key = ""
        self._everybody: list[plan.Connection] = []
        self._harm = Harm(stack.emulator_pid, {name: self._told["functions"][name] for name in VICTIMS})
        self._looked_up = 0
        self._faults = 0

    def burn(self) -> bool:
        """Whether nothing was lost that could have been kept."""
        options = self._options
        print(f"\nSEED={options.seed}", flush=True)
        with local.step("Building what plays the providers"):
            local.run(["cargo", "build", "--quiet", "--locked", "-p", "grantry-tests", "--example", "fire"])
        with local.step(f"Making {len(plan.cells())} connectors"):
            self._start_providers()
            connectors = self._make_connectors()
        self._everybody = plan.connections(options.connections, connectors, self._dice)
        with local.step(f"Connecting {len(self._everybody)} users"):
            self._connect(self._everybody)
        with local.step(f"Burning for {options.burn:.0f} s"):
            self._light()
            self._let_burn()
        with local.step("Healing"):
            unmet = sum(self._control(kind, "GET", "script", None)["steps_left"] for kind in plan.KINDS)
            for kind in plan.KINDS:
                self._control(kind, "DELETE", "script", None)
            ended = self._heal()
        findings = verdict.Findings(
            everybody=self._everybody,
            ended=ended,
            kills=self._harm.kills,
            frozen=self._harm.frozen,
            looked_up=self._looked_up,
            faults=(self._faults - unmet, self._faults),
            providers={kind: self._books(kind) for kind in plan.KINDS},
        )
        return verdict.tell(findings)

    def _books(self, kind: str) -> verdict.Provider:
        parts = ("requests", "secrets", "grants", "counters")
        return verdict.Provider(*(self._control(kind, "GET", part, None) for part in parts))

    # --- Before ---

    def _start_providers(self) -> None:
        ports = local.free_ports(len(plan.KINDS))
        rotations = {kind: {"mode": kind} for kind in plan.KINDS}
        rotations["grace"]["seconds"] = self._options.grace
        descriptions = []
        for kind, port in zip(plan.KINDS, ports):
            self._providers[kind] = f"http://{local.HOST}:{port}"
            clients = [plan.client_id(fault, own) for fault, own in plan.cells() if own == kind]
            descriptions.append({
                "name": kind, "port": port, "rotation": rotations[kind], "lifetime": self._options.lifetime, "seed": str(self._options.seed),
                "clients": [{"id": one, "secrets": [f"secret-of-{one}"], "redirects": "any"} for one in clients],
            })  # fmt: skip
        described = self._stack.folder / "providers.json"
        described.write_text(json.dumps(descriptions))
        self._stack.start_beside("providers", [self._program(), "providers", str(described)], ports)

    def _program(self) -> str:
        return str(tools.ROOT / "target" / "debug" / "examples" / "fire")

    def _make_connectors(self) -> dict[tuple[str, str], str]:
        stack = self._stack
        admin = stack.mint("root", workspace_id=plan.WORKSPACE, role="owner", plan="builder")
        stack.api("PUT", f"/v1/apps/{plan.APP}", admin, {"name": "Fire", "return_urls": [plan.RETURN_URL]})
        self._key = stack.api("POST", f"/v1/apps/{plan.APP}/keys", admin, {"name": "backend"})["key"]
        return {(fault, kind): self._make_connector(admin, fault, kind) for fault, kind in plan.cells()}

    def _make_connector(self, admin: str, fault: str, kind: str) -> str:
        at, client = self._providers[kind], plan.client_id(fault, kind)
        config = {
            "authorize_url": f"{at}/authorize",
            "token_url": f"{at}/token",
            "revoke_url": f"{at}/revoke",
            "userinfo_url": f"{at}/userinfo",
            "rotation": kind,
            "pkce": "off",
        }
        if kind == "grace":
            config["grace_seconds"] = str(self._options.grace)
        made = self._stack.api("POST", "/v1/connectors", admin, {
            "name": f"{fault} ({kind})", "provider": "custom", "kind": "user",
            "client_id": client, "client_secret": f"secret-of-{client}",
            "scopes": ["read", "write"], "config": config,
        })  # fmt: skip
        return made["id"]

    def _connect(self, whom: list[plan.Connection]) -> None:
        """Connects users with oauth-complete's own code in its own environment, see tests/fire."""
        function = self._told["functions"]["oauth-complete"]
        config = self._stack.client("lambda").get_function_configuration(FunctionName=function)
        env = {
            "PATH": os.environ["PATH"],
            **config["Environment"]["Variables"],
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_ENDPOINT_URL": self._stack.aws_endpoint,
            "AWS_ACCESS_KEY_ID": local.ACCESS_KEY["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": local.ACCESS_KEY["secret_access_key"],
            "AWS_REGION": local.REGION,
        }
        wanted = self._stack.folder / "connect.json"
        wanted.write_text(json.dumps({
            "workspace": plan.WORKSPACE, "app": plan.APP, "return_url": plan.RETURN_URL,
            "connections": [
                {"user": one.user, "connector": one.connector, "account": one.account, "authorize_url": f"{self._providers[one.kind]}/authorize"}
                for one in whom
            ],
        }))  # fmt: skip
        local.run([self._program(), "connect", str(wanted)], env=env, log=self._stack.folder / "connect.log")

    # --- Meanwhile ---

    def _light(self) -> None:
        """Tells the providers how to fail, each connection for itself."""
        for one in self._everybody:
            fault = plan.FAULTS[one.fault]
            if fault.behaviour:
                when = {"endpoint": "token", "grant_type": "refresh_token", "account": one.account}
                for _ in range(fault.times):
                    self._faults += 1
                    self._control(one.kind, "POST", "script", {"when": when, "behaviour": fault.behaviour})

    def _let_burn(self) -> None:
        until = time.monotonic() + self._options.burn
        # Each has dice of its own: threads do not take turns the same way twice.
        work = [self._look_up, self._come_and_go, *([self._kill] if self._options.kill_ms else [])]
        dice = [random.Random(self._dice.random()) for _ in work]
        with ThreadPoolExecutor(len(work)) as pool:
            running = [pool.submit(one, own) for one, own in zip(work, dice)]
            try:
                if self._options.freeze:
                    self._out.wait(self._options.burn / 2)
                    self._harm.freeze(self._options.freeze)
                while time.monotonic() < until and not any(one.done() and one.exception() for one in running):
                    time.sleep(0.2)
            finally:
                self._out.set()
            for one in running:
                one.result()

    def _kill(self, dice: random.Random) -> None:
        self._harm.kill(self._options.kill_ms / 1000, self._out, dice)

    def _look_up(self, dice: random.Random) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._out.wait(dice.expovariate(self._options.lookups)):
                pool.submit(self._one_of_many, dice.choice(self._everybody))

    def _one_of_many(self, one: plan.Connection) -> None:
        try:
            self._ask(one)
        except OSError:
            # The gateway itself may be standing still.
            return
        self._looked_up += 1

    def _come_and_go(self, dice: random.Random) -> None:
        """Some users disconnect, and some of those and others connect again, all in the middle."""
        self._out.wait(self._options.burn / 4)
        movers = [one for one in self._everybody if one.fate != "stays"]
        dice.shuffle(movers)
        for one in movers:
            if one.fate in ("returns", "leaves"):
                self._disconnect(one)
        self._connect([one for one in movers if one.fate in ("reconnects", "returns")])

    def _disconnect(self, one: plan.Connection) -> None:
        path = f"/v1/users/{one.user}/connections/{one.connector}"
        for _ in range(60):
            try:
                status, answer = self._api("DELETE", path, None)
            except OSError:
                status, answer = 504, {}
            if status < 500:
                break
            time.sleep(1)
        if status not in (200, 202):
            raise local.Failed(f"DELETE {path} answered {status}: {answer}")

    # --- After ---

    def _heal(self) -> dict[str, verdict.Ended]:
        """Looks everybody's token up until each has one, or it is clear that there will be none."""
        began = time.monotonic()
        # Two ticks at the least: what only the schedule can mend is to be mended by it.
        time.sleep(120)
        ended: dict[str, verdict.Ended] = {}
        waiting = list(self._everybody)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while waiting:
                for one, end in zip(waiting, pool.map(self._end_of, waiting)):
                    ended[one.account] = end
                waiting = [one for one in waiting if not ended[one.account].is_final]
                if time.monotonic() - began > self._options.heal or self._only_the_dead(waiting):
                    break
                time.sleep(5)
        return ended

    def _only_the_dead(self, waiting: list[plan.Connection]) -> bool:
        """Whether all who still have no token are at a provider that has ended their newest grant."""
        newest = {grant["account"]: grant["state"] for kind in plan.KINDS for grant in self._control(kind, "GET", "grants", None)}
        return all(newest[one.account] != "live" for one in waiting)

    def _end_of(self, one: plan.Connection) -> verdict.Ended:
        status, body = self._ask(one)
        if status == 200:
            address = f"{self._providers[one.kind]}/userinfo"
            answered, claims = request("GET", address, None, body["access_token"])
            return verdict.Ended(status, account=claims.get("sub") if answered == 200 else None)
        return verdict.Ended(status, code=body.get("code"), reason=body.get("reason"))

    # --- Over HTTP ---

    def _ask(self, one: plan.Connection) -> tuple[int, dict]:
        """A look-up by the app's back end."""
        return self._api("POST", "/v1/tokens", {"connector_id": one.connector, "user_id": one.user})

    def _api(self, method: str, path: str, body: dict | None) -> tuple[int, dict]:
        return request(method, f"{self._stack.public_url}{path}", body, self._key)

    def _control(self, kind: str, method: str, what: str, body: dict | None):
        status, answer = request(method, f"{self._providers[kind]}/_control/{what}", body)
        if status >= 300:
            raise local.Failed(f"{method} /_control/{what} answered {status}: {answer}")
        return answer


def request(method: str, url: str, body: dict | None, bearer: str | None = None) -> tuple[int, dict | list]:
    """One JSON request to something on this machine; any status is an answer."""
    address = urllib.parse.urlsplit(url)
    headers = {"Content-Type": "application/json", "Host": address.netloc}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    connection = http.client.HTTPConnection(local.HOST, address.port, timeout=60)
    try:
        connection.request(method, address.path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text) if text else {}
    except ValueError:
        return answer.status, {}


if __name__ == "__main__":
    sys.exit(main())
