// Debian 12 has Node 18, on which these tests run too: there Web Cryptography is no global yet.

import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto as Crypto;
