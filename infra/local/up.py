"""`make up`: the local stack for a person, until Ctrl-C."""

import tools

tools.enter()

import argparse  # noqa: E402  the lines above may restart the script
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import stack as local  # noqa: E402

WORKSPACE = "demo-workspace"
APP = "demo"
USER = "alice"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name, port in (("aws", 4566), ("issuer", 4570), ("provider", 4571), ("app", 4572)):
        arguments.add_argument(f"--{name}-port", dest=name, type=int, default=port)
    ports = local.Ports(**vars(arguments.parse_args()))
    stack = local.Stack(tools.STATE / "up", "grantry-local", ports)
    started = time.monotonic()
    local.listen_for_interrupts()
    try:
        stack.claim()
        stack.start(local.build())
        with local.step("Seeding a workspace with one app, one connector and one API key"):
            key, connector = seed(stack)
        print(f"\nGrantry runs, after {time.monotonic() - started:.0f} s.\n\n{next_steps(stack, key, connector)}", flush=True)
        print(f"\n{stack.wait()} ended by itself; its log is in .local/up. Stopping the rest.", file=sys.stderr)
        return 1
    except local.Interrupted as signal:
        print(f"\n{signal}: stopping.", flush=True)
        return 0
    except local.Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    finally:
        local.ignore_interrupts()
        stack.stop()


def seed(stack: local.Stack) -> tuple[str, str]:
    """What an admin does before the first user comes, through the API like an admin."""
    admin = stack.mint("root", workspace_id=WORKSPACE, role="owner", plan="builder")
    stack.api("PUT", f"/v1/apps/{APP}", admin, {"name": "Demo app", "return_urls": [f"{stack.app_url}/return"]})
    connector = stack.api("POST", "/v1/connectors", admin, {
        "name": "Demo",
        "provider": "custom",
        "kind": "user",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "scopes": ["read", "write"],
        "config": {
            "authorize_url": f"{stack.provider_url}/authorize",
            "token_url": f"{stack.provider_url}/token",
            "revoke_url": f"{stack.provider_url}/revoke",
        },
    })["id"]  # fmt: skip
    key = stack.api("POST", f"/v1/apps/{APP}/keys", admin, {"name": "backend"})["key"]
    stack.app_config.write_text(json.dumps({
        "api_url": stack.public_url,
        "issuer_url": stack.issuer_url,
        "workspace_id": WORKSPACE,
        "app_id": APP,
        "connector_id": connector,
        "user_id": USER,
    }))  # fmt: skip
    return key, connector


def next_steps(stack: local.Stack, key: str, connector: str) -> str:
    look_up = json.dumps({"connector_id": connector, "user_id": USER})
    return f"""\
1. Open {stack.app_url}/ and press Connect. You are {USER}, and come back connected.

2. Fetch {USER}'s access token, as the app's back end does:

   curl -s {stack.public_url}/v1/tokens -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{look_up}'

3. Run it again after a minute or two: the demo's tokens live for 90 seconds, and the
   scheduled function has refreshed this one by itself.

4. Disconnect. {stack.provider_url}/grants shows the grant revoked, and the
   first curl answers 404 not_connected:

   curl -s -X DELETE {stack.public_url}/v1/users/{USER}/connections/{connector} -H 'Authorization: Bearer {key}'

Logs are in .local/up; `make logs` shows the functions'. Ctrl-C stops everything."""


if __name__ == "__main__":
    sys.exit(main())
