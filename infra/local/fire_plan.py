"""What `make fire` sets alight: the ways a provider fails, and who is connected through which."""

import random
from dataclasses import dataclass

WORKSPACE = "fire"
APP = "fire"
RETURN_URL = "http://127.0.0.1:9/return"
KINDS = ("strict", "grace", "none")
ROTATING = ("strict", "grace")


@dataclass(frozen=True)
class Fault:
    """One way of failing, as the authorization server's script takes it."""

    behaviour: dict | None
    # How often it happens to each connection.
    times: int = 2
    # Whether the provider has done its part before it fails, so that a rotated token is lost.
    loses_answer: bool = False
    kinds: tuple = KINDS


def _respond(status: int, body: str = "", kind: str = "respond") -> dict:
    return {"kind": kind, "status": status, "body": body}


def _oauth_error(status: int, code: str) -> dict:
    return {"kind": "oauth_error", "status": status, "code": code}


def _retry_after(status: int, seconds: int | None) -> dict:
    return {"kind": "retry_after", "status": status, "seconds": seconds}


def _amend(set: dict | None = None, remove: list | None = None) -> dict:
    return {"kind": "amend", "set": set or {}, "remove": remove or []}


# F-numbers in the comments name the faults of the design that a row stands for.
FAULTS = {
    "none": Fault(None),
    # F10
    "500": Fault(_respond(500)),
    "502 once processed": Fault(_respond(502, kind="process_then_respond"), loses_answer=True),
    "503, Retry-After": Fault(_retry_after(503, 5)),
    # F11, F12
    "429, Retry-After": Fault(_retry_after(429, 5)),
    "429": Fault(_retry_after(429, None)),
    # F3, F4, F8
    "dropped before": Fault({"kind": "refuse_before_processing"}),
    "dropped once processed": Fault({"kind": "process_then_drop"}, loses_answer=True),
    # F9, F14: nothing for longer than a request may take, and processed late.
    "hangs, processed late": Fault({"kind": "delay", "ms": 9000}, times=1, loses_answer=True),
    # F15, F16, F17
    "200 with a web page": Fault({"kind": "garbage"}),
    "200 with half the JSON": Fault({"kind": "truncated_json"}, loses_answer=True),
    "200 with a megabyte": Fault({"kind": "huge_body", "bytes": 1_000_000}),
    "redirect": Fault({"kind": "redirect", "to": "http://127.0.0.1:9/elsewhere"}),
    # F18, F19: where the old one lives on; elsewhere the provider itself has ended the grant.
    "no refresh token": Fault(_amend(remove=["refresh_token"]), kinds=("none",)),
    "empty refresh token": Fault(_amend(set={"refresh_token": ""}), kinds=("none",)),
    # F20
    "expires_in as text": Fault(_amend(set={"expires_in": "30"})),
    "expires_in of -1": Fault(_amend(set={"expires_in": -1})),
    # F21
    "fewer scopes": Fault(_amend(set={"scope": "read"})),
    # F23: a mood. Twice in a row, a minute apart, would be a verdict.
    "invalid_grant, once": Fault(_oauth_error(400, "invalid_grant"), times=1),
    # F26 and its neighbours
    "invalid_client": Fault(_oauth_error(401, "invalid_client")),
    "invalid_request": Fault(_oauth_error(400, "invalid_request")),
    "200 with an error": Fault(_oauth_error(200, "temporarily_unavailable")),
    "418": Fault(_respond(418, "a teapot")),
}


@dataclass
class Connection:
    """One user's connection, and what becomes of it on purpose."""

    user: str
    fault: str
    kind: str
    connector: str
    # `stays`, `reconnects`, `returns` after a disconnect, or `leaves` for good.
    fate: str = "stays"

    @property
    def account(self) -> str:
        """The user's account at the provider."""
        return f"{self.user}@{self.kind}"


def cells() -> list[tuple[str, str]]:
    """Each fault with each kind of provider it can be told of."""
    return [(name, kind) for name, fault in FAULTS.items() for kind in fault.kinds]


def client_id(fault: str, kind: str) -> str:
    """The OAuth client of a cell: a connector has one to itself."""
    return f"{kind}-{list(FAULTS).index(fault)}"


def connections(number: int, connectors: dict[tuple[str, str], str], dice: random.Random) -> list[Connection]:
    """`number` connections, spread evenly over the cells; one in ten does not just stay."""
    spread = [cells()[n % len(cells())] for n in range(number)]
    everybody = [Connection(f"u{n}", fault, kind, connectors[fault, kind]) for n, (fault, kind) in enumerate(spread)]
    movers = dice.sample(everybody, number // 10)
    for n, mover in enumerate(movers):
        mover.fate = ("reconnects", "returns", "leaves")[n % 3]
    return everybody
