import assert from "node:assert/strict";
import { test } from "node:test";

import { type SignedWebhook, WebhookError, verifyWebhook } from "@grantry/client/server";

import "./globals.js";

// Signed by another implementation: Python's hmac.
const BODY =
  '{"id":"Q2hhbmdlLW9uZQ","version":1,"type":"connection.reconnect_required","time":"2023-11-14T22:13:19Z",' +
  '"workspace_id":"acme","actor":{"kind":"system"},"connector_id":"Gm9sQd1mVxkq3yYhA0b2Zw",' +
  '"connection_id":"Yp0c3VjaCBhbiBpZA","app_id":"shop","subject":"user","user_id":"auth0|5f7c8",' +
  '"reason":"grant_revoked"}';
const SENT = 1_700_000_000;
const SECRET = "whsec_b25lIHNlY3JldCBvZiB0aGlydHktdHdvIGJ5dGVzICE=";
const SIGNATURE = "v1,77Zo4VEVsmNSUx1fPtsXz+HklLWxhTMQxCdUY8s/INc=";
const OTHER_SECRET = "whsec_YW5vdGhlciBvZiB0aGlydHktdHdvIGJ5dGVzLCB5ZXM=";
const OTHER_SIGNATURE = "v1,C8zYp+SxoZQz5MwNzgf9rkGZGPDXcdUVpafvxoZFcRY=";

const HEADERS = {
  "webhook-id": "Q2hhbmdlLW9uZQ",
  "webhook-timestamp": String(SENT),
  "webhook-signature": SIGNATURE,
};
const WEBHOOK = { body: BODY, headers: HEADERS, secrets: [SECRET], now: at(0) };

/** The time so many seconds after the webhook was sent. */
function at(seconds: number): Date {
  return new Date((SENT + seconds) * 1000);
}

async function refusedFor(code: string, changed: Partial<SignedWebhook>): Promise<void> {
  await assert.rejects(verifyWebhook({ ...WEBHOOK, ...changed }), (error) => {
    assert(error instanceof WebhookError);
    assert.equal(error.code, code);
    return true;
  });
}

test("a signed webhook is its event", async () => {
  const event = await verifyWebhook(WEBHOOK);
  assert(event.type === "connection.reconnect_required");
  assert.deepEqual([event.id, event.userId, event.reason], ["Q2hhbmdlLW9uZQ", "auth0|5f7c8", "grant_revoked"]);
});

test("the body is taken as bytes too, headers as servers have them, and a secret without its prefix", async () => {
  const shouted = Object.fromEntries(Object.entries(HEADERS).map(([name, value]) => [name.toUpperCase(), value]));
  for (const headers of [HEADERS, shouted, new Headers(HEADERS)]) {
    const body = new TextEncoder().encode(BODY);
    const event = await verifyWebhook({ ...WEBHOOK, body, headers, secrets: [SECRET.slice("whsec_".length)] });
    assert.equal(event.workspaceId, "acme");
  }
});

test("one of several signatures and one of several secrets are enough", async () => {
  const both = { ...HEADERS, "webhook-signature": `v1a,AAAA ${OTHER_SIGNATURE} ${SIGNATURE}` };
  for (const secrets of [[SECRET], [OTHER_SECRET], [OTHER_SECRET, SECRET]]) {
    await verifyWebhook({ ...WEBHOOK, headers: both, secrets });
  }
  await verifyWebhook({ ...WEBHOOK, secrets: [OTHER_SECRET, SECRET] });
});

test("a webhook is refused when it is older or newer than the tolerance", async () => {
  for (const seconds of [-300, 300]) await verifyWebhook({ ...WEBHOOK, now: at(seconds) });
  for (const seconds of [-301, 301]) await refusedFor("timestamp", { now: at(seconds) });
  await verifyWebhook({ ...WEBHOOK, now: at(3600), toleranceSeconds: 3600 });
  await refusedFor("timestamp", { now: at(11), toleranceSeconds: 10 });
  // By the system's clock it was sent years ago.
  const { now: _, ...timeless } = WEBHOOK;
  await assert.rejects(verifyWebhook(timeless), WebhookError);
  await verifyWebhook({ ...timeless, toleranceSeconds: 1e10 });
  for (const sent of ["", "soon", `${SENT}.5`, `-${SENT}`, "Infinity"]) {
    await refusedFor("timestamp", { headers: { ...HEADERS, "webhook-timestamp": sent } });
  }
  await refusedFor("timestamp", { now: new Date(Number.NaN) });
});

test("what was changed on the way is refused", async () => {
  await refusedFor("signature", { body: `${BODY} ` });
  await refusedFor("signature", { headers: { ...HEADERS, "webhook-id": "another" } });
  await refusedFor("signature", { headers: { ...HEADERS, "webhook-timestamp": String(SENT + 1) } });
});

test("what no known secret signed in a known way is refused", async () => {
  const bare = SIGNATURE.slice("v1,".length);
  for (const signature of ["", bare, `v2,${bare}`, `v1a,${bare}`, "v1,", "v1,&", SIGNATURE.slice(0, -8), OTHER_SIGNATURE]) {
    await refusedFor("signature", { headers: { ...HEADERS, "webhook-signature": signature } });
  }
  await refusedFor("signature", { secrets: [OTHER_SECRET] });
  await refusedFor("signature", { secrets: [] });
});

test("a webhook without one of the headers is refused", async () => {
  for (const name of Object.keys(HEADERS)) {
    await refusedFor("missing_header", { headers: { ...HEADERS, [name]: undefined } });
  }
});

test("a secret that is none is told to who configured it", async () => {
  for (const secret of ["", "whsec_", "whsec_c2hvcnQ=", "whsec_&"]) {
    await assert.rejects(verifyWebhook({ ...WEBHOOK, secrets: [SECRET, secret] }), TypeError);
  }
});

test("what is signed and no event is told from what is not signed", async () => {
  const headers = { ...HEADERS, "webhook-signature": "v1,13XDpRTA/Y4gk4s9Tm1G6Xgob2LWSYKE7msOgz8pKDI=" };
  await refusedFor("body", { body: "no JSON", headers });
});
