"""Opens the envelopes in envelope.json from the layout in shared/src/crypto/envelope.rs.

Shares no code with Grantry, so that the format is what is written down there and not what
one library happens to do. Fails when an envelope does not open to its plaintext, or opens
for another row.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LABEL = b"ucx1"
FORMAT, ALGORITHM = 1, 1


class Refused(Exception):
    """The envelope is not one, or not of this key and row."""


def open_envelope(key: bytes, row: dict, envelope: bytes) -> bytes:
    if len(envelope) < 98 or envelope[:2] != bytes([FORMAT, ALGORITHM]):
        raise Refused("no envelope of this format")
    version, salt, commit, nonce, sealed = envelope[2:6], envelope[6:38], envelope[38:70], envelope[70:82], envelope[82:]
    aad = b"".join(map(prefixed, [
        LABEL, bytes([ALGORITHM]), *(row[name].encode() for name in ("stack", "workspace", "record_type", "record_id", "field")),
        version, row["generation"].to_bytes(8, "big"),
    ]))
    info = LABEL + bytes([ALGORITHM]) + hashlib.sha256(aad).digest()
    derived = HKDF(SHA512(), 64, salt, info).derive(key)
    if not bytes_eq(derived[32:], commit):
        raise Refused("another key or row")
    try:
        return AESGCM(derived[:32]).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused("altered") from None


def prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def problems(vector: dict):
    key, row, envelope = bytes.fromhex(vector["key"]), vector["binding"], bytes.fromhex(vector["envelope"])
    if int.from_bytes(envelope[2:6], "big") != vector["key_version"]:
        yield "it names another key version"
    try:
        if open_envelope(key, row, envelope) != vector["plaintext"].encode():
            yield "it opens to something else"
    except Refused as refusal:
        yield f"it does not open: {refusal}"
    for name, value in row.items():
        moved = {**row, name: (value + 1) % 2**64 if name == "generation" else value + "x"}
        try:
            open_envelope(key, moved, envelope)
            yield f"it opens for another {name}"
        except Refused:
            pass


def main() -> int:
    vectors = json.loads((Path(__file__).parent / "envelope.json").read_text())
    found = [f"vector {n}: {problem}" for n, vector in enumerate(vectors) for problem in problems(vector)]
    for problem in found:
        print(f"tests/vectors/envelope.json: {problem}", file=sys.stderr)
    return 1 if found or not vectors else 0


if __name__ == "__main__":
    sys.exit(main())
