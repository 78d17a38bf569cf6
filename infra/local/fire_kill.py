"""The harm that `make fire` does to the machine: kills functions and stops the emulated AWS.

Reaches nothing but the emulator it is told of and that one's own children.
"""

import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kill:
    """A process that was killed: what it was, and from when to when it lived, in Unix milliseconds."""

    function: str
    born: int
    at: int


class Harm:
    """What has been done to one emulator."""

    def __init__(self, emulator: int, victims: dict[str, str]):
        """`victims` are the functions whose processes are killed: our names and the deployed ones."""
        self._emulator = emulator
        self._victims = {f"AWS_LAMBDA_FUNCTION_NAME={deployed}".encode(): name for name, deployed in victims.items()}
        self.kills: list[Kill] = []
        # From when to when the emulated AWS stood still, in Unix milliseconds.
        self.frozen: list[tuple[int, int]] = []

    def kill(self, mean: float, until: threading.Event, dice: random.Random) -> None:
        """SIGKILL for a process chosen at random, every `mean` seconds or so."""
        while not until.wait(dice.uniform(0.5, 1.5) * mean):
            if alive := self._processes():
                # One function or the other, however many processes each has.
                function = dice.choice(sorted({name for name, _, _ in alive}))
                _, pid, since = dice.choice([one for one in alive if one[0] == function])
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills.append(Kill(function, since, _now()))

    def freeze(self, seconds: float) -> None:
        """Stops the emulated AWS and lets it go on: every table, queue and key hangs meanwhile."""
        began = _now()
        os.kill(self._emulator, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(self._emulator, signal.SIGCONT)
        self.frozen.append((began, _now()))

    def _processes(self) -> list[tuple[str, int, int]]:
        """The victims that run: function, process id, and when each was started."""
        found = []
        for task in Path(f"/proc/{self._emulator}/task").iterdir():
            try:
                children = (task / "children").read_text().split()
            except OSError:
                continue
            for child in map(int, children):
                try:
                    environment = set(Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))
                    found += [(name, child, _born(child)) for variable, name in self._victims.items() if variable in environment]
                except OSError:
                    # It has ended by itself.
                    continue
        return sorted(found)


def _born(pid: int) -> int:
    """When a process was started, in Unix milliseconds."""
    # Behind the name, which may hold anything: the twentieth field is the start, in ticks since boot.
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return int((time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")) * 1000)


def _now() -> int:
    """Unix time in milliseconds, as the authorization servers note it."""
    return int(time.time() * 1000)
