"""What a fire has cost: each connection judged by its last look-up and by its provider's books.

*Lost* is a connection that cannot be used although neither its user nor its provider ended it.
At a provider that lets a replaced refresh token live on, or never replaces one, nothing may be
lost. At a strict provider a rotation whose answer nobody heard is the end of the grant, whatever
anybody does; that, proven from the provider's log, is the one excuse.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import fire_plan as plan

# How long after a request a process may still be storing its answer, in milliseconds: as long
# as the functions live.
STORING = 15_000
REPLAYED = "a replaced refresh token was used"


@dataclass(frozen=True)
class Ended:
    """The last look-up of a connection."""

    status: int
    # Whose the access token is, by the provider's own account.
    account: str | None = None
    code: str | None = None
    reason: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether another look-up would say the same."""
        return self.account is not None or self.status in (404, 409)


class Provider:
    """The books of one authorization server."""

    def __init__(self, requests: list, secrets: list, grants: list, counters: dict):
        # When each refresh token was used, in Unix milliseconds.
        self._uses: dict[str, list[int]] = {one["value"]: [] for one in secrets if one["kind"] == "refresh_token"}
        for one in requests:
            form = dict(one["form"])
            if one["request"] == "POST /token" and form.get("grant_type") == "refresh_token":
                self._uses[form["refresh_token"]].append(one["at_ms"])
        self._issued: dict[str, list[str]] = defaultdict(list)
        for one in secrets:
            if one["kind"] == "refresh_token":
                self._issued[one["account"]].append(one["value"])
        self._grants: dict[str, list[dict]] = defaultdict(list)
        for one in grants:
            self._grants[one["account"]].append(one)
        self._counters = counters

    def refreshes(self, client: str) -> int:
        """Refresh requests of a client."""
        tally = self._counters["by_client"].get(client, {"token_by_grant_type": {}})
        return tally["token_by_grant_type"].get("refresh_token", 0)

    def most_at_once(self) -> int:
        """The most refreshes that were ever in flight for one grant."""
        return max(self._counters["max_in_flight_by_grant"].values(), default=0)

    def unheard(self, account: str) -> int:
        """Refresh tokens that were issued and that nobody has: neither used nor kept."""
        issued = self._issued[account]
        # Of each grant the newest is kept, unless a replay ended it.
        kept = sum(one["ended_because"] != REPLAYED for one in self._grants[account])
        return max(0, len(issued) - sum(bool(self._uses[token]) for token in issued) - kept)

    def has_live_grant(self, account: str) -> bool:
        """Whether the provider would still serve the account."""
        return any(one["state"] == "live" for one in self._grants[account])

    def replayed(self, account: str) -> list[int]:
        """When the token that ended the account's newest grant by its replay was used before that."""
        newest = self._grants[account][-1]
        if newest["ended_because"] != REPLAYED:
            return []
        spent = [self._uses[token] for token in self._issued[account] if len(self._uses[token]) > 1]
        return max(spent, key=lambda uses: uses[-1], default=[])[:-1]

    def longest_in_use(self) -> float:
        """The longest time from the first to the last use of a refresh token, in seconds."""
        return max((uses[-1] - uses[0] for uses in self._uses.values() if uses), default=0) / 1000


@dataclass(frozen=True)
class Findings:
    """Everything a fire has left behind."""

    everybody: list[plan.Connection]
    ended: dict[str, Ended]
    kills: list
    # From when to when the emulated AWS stood still, in Unix milliseconds.
    frozen: list[tuple[int, int]]
    looked_up: int
    # How many of the faults that were prepared a request has met, and how many there were.
    faults: tuple[int, int]
    providers: dict[str, Provider]

    def fate(self, one: plan.Connection) -> str:
        """`well`, or what is wrong."""
        end = self.ended[one.account]
        if one.fate == "leaves":
            gone = end.status == 404 and not self.providers[one.kind].has_live_grant(one.account)
            return "well" if gone else "came back after it was disconnected"
        if end.status == 200:
            return "well" if end.account == one.account else f"token of {end.account}"
        if end.status == 409:
            return end.reason or "conflict"
        return "held" if end.code == "provider_unavailable" else f"{end.status} {end.code}"

    def is_inherent(self, one: plan.Connection) -> bool:
        """Whether no client on earth could have kept this grant."""
        if one.kind != "strict" or self.fate(one) not in ("refresh_outcome_lost", "held"):
            return False
        scripted = plan.FAULTS[one.fault].loses_answer
        uses = self.providers["strict"].replayed(one.account)
        return any(scripted or self._was_cut_short(at) for at in uses)

    def _was_cut_short(self, asked: int) -> bool:
        """Whether a process that may have asked then was killed before it can have stored the answer."""
        killed = any(kill.born <= asked <= kill.at <= asked + STORING for kill in self.kills)
        return killed or any(begin <= asked + STORING and asked <= end for begin, end in self.frozen)


def tell(findings: Findings) -> bool:
    """Prints the table and what follows from it. Whether the run has succeeded."""
    heads = {kind: ("connections", "refreshes", *(["answers lost"] if kind in plan.ROTATING else []), "lost") for kind in plan.KINDS}
    heads["strict"] = (*heads["strict"][:-1], "inherent", "lost")
    rows = [("the provider", *(f"{kind}: {head}" for kind in plan.KINDS for head in heads[kind]))]
    totals: dict[str, Counter] = defaultdict(Counter)
    for fault in plan.FAULTS:
        counts = {kind: _count(findings, fault, kind) for kind in plan.KINDS}
        rows.append((fault, *_cells(counts, heads)))
        for kind, row in counts.items():
            totals[kind].update(row)
    rows.append(("all", *_cells(totals, heads)))
    _print_table(rows)

    def total(what: str) -> int:
        return sum(row[what] for row in totals.values())

    killed = Counter(kill.function for kill in findings.kills)
    frozen = sum(end - begin for begin, end in findings.frozen) / 1000
    at_once = max(provider.most_at_once() for provider in findings.providers.values())
    in_use = findings.providers["grace"].longest_in_use()
    unwell = Counter(f"{fate} ({one.kind})" for one in findings.everybody if (fate := findings.fate(one)) != "well")
    print(f"""
{total("connections")} connections, {total("refreshes")} refreshes, {findings.looked_up} look-ups meanwhile; {findings.faults[0]} of {findings.faults[1]} faults met
killed: {_listed(killed)}; the emulated AWS stood still for {frozen:.0f} s
most refreshes of one grant at once: {at_once}
longest from a refresh token's first use to its last, where there is grace: {in_use:.0f} s
without a token in the end: {_listed(unwell)}
lost: {total("lost")}; inherent at strict providers: {total("inherent")}, with {totals["strict"]["answers lost"]} answers lost""")
    for one in findings.everybody:
        if (fate := findings.fate(one)) != "well" and not findings.is_inherent(one):
            print(f"  {one.user} ({one.fault}, {one.kind}, {one.fate}): {fate}")
    return total("lost") == 0 and at_once <= 1


def _count(findings: Findings, fault: str, kind: str) -> Counter:
    """What came of one cell."""
    here = [one for one in findings.everybody if (one.fault, one.kind) == (fault, kind)]
    provider = findings.providers[kind]
    inherent = sum(findings.is_inherent(one) for one in here)
    return Counter({
        "connections": len(here),
        "refreshes": provider.refreshes(plan.client_id(fault, kind)),
        "answers lost": sum(provider.unheard(one.account) for one in here),
        "inherent": inherent,
        "lost": sum(findings.fate(one) != "well" for one in here) - inherent,
    })  # fmt: skip


def _cells(counts: dict[str, Counter], heads: dict[str, tuple]) -> list[str]:
    return [str(counts[kind][head]) for kind in plan.KINDS for head in heads[kind]]


def _listed(counts: Counter) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "none"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    print()
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + "---|" * len(row))
