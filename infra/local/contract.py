"""`make contract`: whether the deployed stack answers as the OpenAPI document that it serves says.

schemathesis makes requests of the document, such as it describes and such as it rules out,
one by one and as stories of several, and checks each answer against it (schemathesis.toml).
"""

import tools

tools.enter()

import argparse  # noqa: E402  the line above may restart the script
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import urllib.parse  # noqa: E402
from http.client import HTTPConnection, HTTPMessage  # noqa: E402
from pathlib import Path  # noqa: E402

import stack as local  # noqa: E402

HERE = Path(__file__).parent

# Of its own, so that nothing else is disturbed on a stack that others use.
WORKSPACE = "contract"
# What the document's examples name, so that they work here as they stand.
EXAMPLE_ID = "Gm9sQd1mVxkq3yYhA0b2Zw"
EXAMPLE_APP = "shop"
EXAMPLE_USER = "auth0|5f7c8"
EXAMPLE_RETURN_URL = "https://shop.example.com/connected"
# What changes of all kinds may befall, and what has to last as long as the run.
EXPOSED = {"connector_id": EXAMPLE_ID, "app_id": EXAMPLE_ID, "user_id": "leaver"}
LASTING = {"connector_id": ["lasting", "shared"], "app_id": [EXAMPLE_APP], "user_id": [EXAMPLE_USER]}
# For the issuer's tokens, in seconds: a run takes what it takes.
LIFETIME = 24 * 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="how many an operation gets in each phase, at most")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--built", action="store_true", help="run the binaries that are there and build none")
    told = parser.parse_args()
    stack = local.Stack(tools.STATE / "contract", "grantry-contract", local.Ports(*local.free_ports(4)))
    local.listen_for_interrupts()
    try:
        stack.claim()
        stack.start(local.built() if told.built else local.build())
        return 0 if Contract(stack, told.cases, told.seed).holds() else 1
    except local.Interrupted as interrupt:
        print(f"\n{interrupt}: stopping.", file=sys.stderr)
        return 130
    except local.Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    finally:
        local.ignore_interrupts()
        stack.stop()


class Contract:
    """One run on a stack that is up."""

    def __init__(self, stack: local.Stack, cases: int, seed: int):
        self._stack = stack
        self._cases = cases
        self._seed = seed
        self._folder = stack.folder / "contract"
        self._folder.mkdir(exist_ok=True)

    def holds(self) -> bool:
        """Whether no answer was at odds with the document."""
        print(f"\nSEED={self._seed}", flush=True)
        with local.step("Preparing a workspace for the contract"):
            told = self._prepare()
        with local.step("Comparing what the stack answers with its OpenAPI document"):
            return self._compare(told)

    def _prepare(self) -> dict:
        """Apps, connectors of both kinds and accounts connected; answers what the hooks are told."""
        stack = self._stack
        admin = self._mint("root", role="owner", plan="builder")
        for app in (EXPOSED["app_id"], EXAMPLE_APP):
            stack.api("PUT", f"/v1/apps/{app}", admin, {"name": app, "return_urls": [EXAMPLE_RETURN_URL]})
        key = stack.api("POST", f"/v1/apps/{EXAMPLE_APP}/keys", admin, {"name": "backend"})["key"]
        lasting, shared = LASTING["connector_id"]
        for connector in (EXPOSED["connector_id"], lasting, shared):
            stack.api("PUT", f"/v1/connectors/{connector}", admin, self._connector(connector, "app" if connector == shared else "user"))
        users = {user: self._mint(user, app_id=EXAMPLE_APP) for user in (EXPOSED["user_id"], EXAMPLE_USER)}
        for token in users.values():
            for connector in (EXPOSED["connector_id"], lasting):
                self._connect(token, "/v1/me/connections", {"connector_id": connector})
        self._connect(admin, f"/v1/connectors/{shared}/connect", {"app_id": EXAMPLE_APP})
        credentials = {"admin": admin, "user": users[EXAMPLE_USER], "leaver": users[EXPOSED["user_id"]], "app": key, "exchange": key}
        return {"credentials": credentials, "users": users, "exposed": EXPOSED, "lasting": LASTING}

    def _connector(self, name: str, kind: str) -> dict:
        at = self._stack.provider_url
        return {
            "name": name, "provider": "custom", "kind": kind,
            "client_id": "demo-client", "client_secret": "demo-secret", "scopes": ["read", "write"],
            "config": {"authorize_url": f"{at}/authorize", "token_url": f"{at}/token", "revoke_url": f"{at}/revoke"},
        }  # fmt: skip

    def _mint(self, subject: str, **claims: str) -> str:
        minted = {"sub": subject, "claims": {"workspace_id": WORKSPACE, **claims}, "aud": local.AUDIENCE, "ttl": LIFETIME}
        return local.call("POST", f"{self._stack.issuer_url}/_mint", minted)["token"]

    def _connect(self, token: str, begin: str, what: dict) -> None:
        """Walks through a connect flow as a browser would, to its end."""
        link = self._stack.api("POST", begin, token, {"return_url": EXAMPLE_RETURN_URL, **what})["connect_url"]
        headers, _ = visit(link)
        cookie, consent = headers["Set-Cookie"].split(";")[0], headers["Location"]
        _, page = visit(consent)
        ticket = re.search(r'name="request" value="([^"]+)"', page)[1]
        decision = {"request": ticket, "decision": "connect", "account": "contract"}
        headers, _ = visit(urllib.parse.urljoin(consent, "/authorize/decision"), form=decision)
        headers, _ = visit(headers["Location"], cookie=cookie)
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(headers["Location"]).query)["code"][0]
        self._stack.api("POST", f"{begin}/complete", token, {"code": code})

    def _compare(self, told: dict) -> bool:
        stack = self._stack
        host = urllib.parse.urlsplit(stack.public_url).netloc
        argv = [
            sys.executable, "-m", "schemathesis.cli",
            "--config-file", str(HERE / "schemathesis.toml"),
            "run", f"{stack.aws_endpoint}/openapi.json", "--url", stack.aws_endpoint,
            "--header", f"Host: {host}",
            "--max-examples", str(self._cases), "--seed", str(self._seed),
            "--report", "ndjson", "--report-dir", str(self._folder),
        ]  # fmt: skip
        # Where the hooks are found, and who may be called how.
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE), "GRANTRY_CONTRACT": json.dumps(told)}
        return subprocess.run(argv, cwd=self._folder, env=env, stdin=subprocess.DEVNULL).returncode == 0


def visit(url: str, *, cookie: str = "", form: dict | None = None) -> tuple[HTTPMessage, str]:
    """What a browser gets that follows no redirect: headers and page."""
    address = urllib.parse.urlsplit(url)
    headers = {"Host": address.netloc, "Content-Type": "application/x-www-form-urlencoded"} | ({"Cookie": cookie} if cookie else {})
    connection = HTTPConnection(local.HOST, address.port, timeout=30)
    try:
        path = f"{address.path}?{address.query}" if address.query else address.path
        connection.request("POST" if form else "GET", path, urllib.parse.urlencode(form) if form else None, headers)
        answer = connection.getresponse()
        page = answer.read().decode()
    finally:
        connection.close()
    if answer.status >= 400:
        raise local.Failed(f"{address.path} answered {answer.status}: {page}")
    return answer.headers, page


if __name__ == "__main__":
    sys.exit(main())
