// Grantry's events as signed webhooks (Standard Webhooks 1.0.0): what an endpoint verifies. With Web
// Cryptography, so that it runs wherever this package does.

import { inCamelCase } from "./names.js";
import type { WebhookEvent } from "./types.js";

/** Seconds. What is older was repeated by somebody. */
const TOLERANCE = 300;
const PREFIX = "whsec_";

/** A call as the endpoint got it. */
export interface SignedWebhook {
  /** The body as it came. Parsed and written again it would not be what was signed. */
  body: string | Uint8Array;
  /** The request's headers. */
  headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The secrets that may have signed it, `whsec_…`: one, or two while it is being changed. */
  secrets: readonly string[];
  /** The present; the system's when left out. */
  now?: Date;
  /** How many seconds the call may be old, or ahead of `now`; 300 when left out. */
  toleranceSeconds?: number;
}

/** Why a call is not taken for Grantry's. */
export type WebhookCode =
  /** A header of Standard Webhooks is not there. */
  | "missing_header"
  /** Signed too long ago, or for a time that is yet to come. */
  | "timestamp"
  /** No signature that this package knows is of one of the secrets. */
  | "signature"
  /** Signed, and no JSON object. */
  | "body";

/** A call that is not taken for Grantry's. Answer it with 400. */
export class WebhookError extends Error {
  override readonly name = "WebhookError";
  readonly code: WebhookCode;

  constructor(code: WebhookCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The event of a call that one of the secrets has signed. It rejects with a {@link WebhookError}
 * what nobody signed or what is too old, and with a `TypeError` where a secret is none.
 *
 * Events come at least once: what must not be done twice remembers their `id`s.
 */
export async function verifyWebhook(webhook: SignedWebhook): Promise<WebhookEvent> {
  const { body, headers, secrets, now = new Date(), toleranceSeconds = TOLERANCE } = webhook;
  const keys = await Promise.all(secrets.map(keyOf));
  const id = header(headers, "webhook-id");
  const sent = header(headers, "webhook-timestamp");
  const signatures = signaturesOf(header(headers, "webhook-signature"));
  const age = /^\d{1,12}$/.test(sent) ? now.getTime() / 1000 - Number(sent) : Number.NaN;
  if (!(Math.abs(age) <= toleranceSeconds)) {
    throw new WebhookError("timestamp", `the webhook is not of the last ${toleranceSeconds} seconds`);
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = joined(new TextEncoder().encode(`${id}.${sent}.`), bytes);
  const pairs = keys.flatMap((key) => signatures.map((signature) => ({ key, signature })));
  const known = await Promise.all(
    // The platform compares in constant time.
    pairs.map(({ key, signature }) => crypto.subtle.verify("HMAC", key, signature, signed)),
  );
  if (!known.includes(true)) throw new WebhookError("signature", "the webhook is signed with no known secret");
  return eventOf(bytes);
}

async function keyOf(secret: string): Promise<CryptoKey> {
  const bytes = fromBase64(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret);
  // As Standard Webhooks has it. An empty one would be everybody's.
  if (bytes === undefined || bytes.length < 24 || bytes.length > 64) {
    throw new TypeError(`a webhook secret is ${PREFIX} and the base64 of 24 to 64 bytes`);
  }
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

function header(headers: SignedWebhook["headers"], name: string): string {
  const value = isFetched(headers) ? headers.get(name) : recorded(headers, name);
  if (typeof value !== "string") throw new WebhookError("missing_header", `the webhook has no ${name}`);
  return value;
}

/** Not every server's `Headers` are of the platform's class. */
function isFetched(headers: SignedWebhook["headers"]): headers is Headers {
  return typeof headers["get" as keyof typeof headers] === "function";
}

/** Servers differ in how they write a header's name. */
function recorded(headers: Record<string, unknown>, name: string): unknown {
  return Object.entries(headers).find(([known]) => known.toLowerCase() === name)?.[1];
}

/** Those of version 1. Of other versions there may be more. */
function signaturesOf(list: string): Uint8Array<ArrayBuffer>[] {
  const ours = list.split(" ").filter((one) => one.startsWith("v1,"));
  return ours.map((one) => fromBase64(one.slice(3))).filter((bytes) => bytes !== undefined);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}

function eventOf(bytes: Uint8Array): WebhookEvent {
  let event: unknown;
  try {
    event = inCamelCase(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    event = undefined;
  }
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw new WebhookError("body", "the webhook is no JSON object");
  }
  return event as WebhookEvent;
}
