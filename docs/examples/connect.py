"""From an OAuth client at a provider to an access token and back, with Python's standard library.

Runs against `make up`; GRANTRY_URL, ISSUER_URL and PROVIDER_URL name another stack.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from browser import agree, dial_localhost

GRANTRY = os.environ.get("GRANTRY_URL", "http://10ca1a91.execute-api.localhost:4566")
ISSUER = os.environ.get("ISSUER_URL", "http://127.0.0.1:4570")
PROVIDER = os.environ.get("PROVIDER_URL", "http://127.0.0.1:4571")
WORKSPACE = os.environ.get("WORKSPACE", f"python-{os.getpid()}")
RETURN_URL = "https://shop.example.com/connected"


@dataclass
class Refused(Exception):
    """A problem (RFC 9457). Its `code` is what a program decides by."""

    status: int
    problem: dict


def call(method: str, url: str, bearer: str | None = None, body: dict | None = None) -> dict:
    """One call of the API."""
    request = urllib.request.Request(url, method=method)
    if bearer:
        request.add_header("Authorization", f"Bearer {bearer}")
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise Refused(refusal.code, json.load(refusal)) from None


def jwt(subject: str, **claims: str) -> str:
    """The platform's issuer signs somebody in. The local one signs what it is asked to."""
    return call("POST", f"{ISSUER}/_mint", body={"sub": subject, "claims": claims})["token"]


def register(admin: str) -> tuple[str, str]:
    """The admin registers the app, an API key for its back end, and a connector."""
    call("PUT", f"{GRANTRY}/v1/apps/shop", admin, {"name": "Shop", "return_urls": [RETURN_URL]})
    key = call("POST", f"{GRANTRY}/v1/apps/shop/keys", admin, {"name": "backend"})
    connector = call("POST", f"{GRANTRY}/v1/connectors", admin, {
        "name": "Files",
        "provider": "custom",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "scopes": ["read"],
        "config": {
            "authorize_url": f"{PROVIDER}/authorize",
            "token_url": f"{PROVIDER}/token",
            "revoke_url": f"{PROVIDER}/revoke",
            "userinfo_url": f"{PROVIDER}/userinfo",
        },
    })  # fmt: skip
    return key["key"], connector["id"]


def connect(user: str, connector: str) -> None:
    """The app's page, where a user is signed in: begins, and at the return URL completes."""
    begun = call("POST", f"{GRANTRY}/v1/me/connections", user, {"connector_id": connector, "return_url": RETURN_URL})
    # Here an app sends the browser to the link.
    back = agree(begun["connect_url"], "alice@example.com")
    told = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    if told["status"] != "authorized":
        raise SystemExit(f"The flow ended with {told['status']}: {told.get('code')}.")
    call("POST", f"{GRANTRY}/v1/me/connections/complete", user, {"code": told["code"]})


def look_up(key: str, connector: str, user_id: str) -> str:
    """The app's back end fetches a fresh token whenever it needs one."""
    token = call("POST", f"{GRANTRY}/v1/tokens", key, {"connector_id": connector, "user_id": user_id})
    return token["access_token"]


def main() -> None:
    dial_localhost()
    key, connector = register(jwt("root", workspace_id=WORKSPACE, role="owner", plan="builder"))
    print(f"The connector is {connector}.")
    alice = jwt("alice", workspace_id=WORKSPACE, app_id="shop")
    connect(alice, connector)
    print("Alice is connected.")
    token = look_up(key, connector, "alice")
    print(f"The provider says the token is of {call('GET', f'{PROVIDER}/userinfo', token)['sub']}.")
    call("DELETE", f"{GRANTRY}/v1/me/connections/{connector}", alice)
    try:
        look_up(key, connector, "alice")
    except Refused as refusal:
        print(f"A look-up now answers {refusal.problem['code']}.")
        if refusal.problem["code"] != "not_connected":
            raise
    else:
        raise SystemExit("A look-up after the disconnect was answered with a token.")


if __name__ == "__main__":
    main()
