import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";

import { type Connected, GrantryError, type PageWindow, createClient } from "@grantry/client/browser";

import { type Scripted, fakeApi, problem, until } from "./fake.js";

const APP = "https://shop.example";
const GRANTRY = "https://connect.example";
const FILES = { connectorId: "files", returnUrl: `${APP}/connected` };
const BEGUN = { status: 201, body: { connect_url: `${GRANTRY}/connect/t`, expires_at: "2026-11-23T10:30:00Z" } };
const COMPLETED = {
  body: {
    connection_id: "c1", connector_id: "files", status: "connected",
    granted_scopes: ["read"], missing_scopes: ["write"], refreshable: false,
  },
};
const CONNECTED = { status: "connected", connectionId: "c1", missingScopes: true, refreshable: false } as const;

/** A page's window, whose popup is sent somewhere, says something and closes as a test likes. */
class FakeWindow {
  readonly location = { origin: APP, href: `${APP}/settings`, assign: (url: string) => void this.visited.push(url) };
  readonly visited: string[] = [];
  readonly popup = {
    closed: false,
    location: { replace: (url: string) => void this.visited.push(url) },
    close: () => void (this.popup.closed = true),
  };
  opened = 0;
  blocks = false;
  readonly listeners = new Set<(event: MessageEvent) => void>();
  readonly looks = new Set<() => void>();

  open() {
    this.opened += 1;
    return this.blocks ? null : this.popup;
  }
  addEventListener(_: "message", listener: (event: MessageEvent) => void) {
    this.listeners.add(listener);
  }
  removeEventListener(_: "message", listener: (event: MessageEvent) => void) {
    this.listeners.delete(listener);
  }
  setInterval(look: () => void) {
    this.looks.add(look);
    return look;
  }
  clearInterval(look: never) {
    this.looks.delete(look);
  }

  /** The popup, or something else, posts a message to the page. */
  says(data: unknown, { origin = GRANTRY, source = this.popup as unknown } = {}) {
    for (const listener of this.listeners) listener({ data, origin, source } as MessageEvent);
  }
  look() {
    for (const look of this.looks) look();
  }
  /** The flow has begun, and the popup is on its way. */
  away() {
    return until("the popup was sent away", () => this.visited.length > 0);
  }
}

async function page(context: TestContext, script: Scripted[]) {
  const [api, window] = [await fakeApi(context, script), new FakeWindow()];
  const client = createClient({ ...api, token: () => "jwt", window: window satisfies PageWindow });
  return { api, window, client };
}

const message = (members: object) => ({ type: "grantry.connect", ...members });

test("a popup is opened before anything is awaited, and its flow completed with its code", async (context) => {
  const { api, window, client } = await page(context, [BEGUN, COMPLETED]);
  const outcome = client.connectInPopup({ ...FILES, alias: "work" });
  assert.equal(window.opened, 1);
  assert.equal(api.seen.length, 0);
  await window.away();
  assert.deepEqual(window.visited, [`${GRANTRY}/connect/t`]);
  window.says(message({ status: "authorized", code: "once" }));
  // It closes itself, and that is not an end of its own.
  window.popup.closed = true;
  window.look();
  window.look();
  assert.deepEqual(await outcome, CONNECTED);
  const [begin, complete] = api.seen;
  const { connectorId: connector_id, returnUrl: return_url } = FILES;
  assert.deepEqual(JSON.parse(begin?.body ?? ""), { connector_id, return_url, alias: "work", display: "popup" });
  assert.equal(complete?.path, "/v1/me/connections/complete");
  assert.deepEqual(JSON.parse(complete?.body ?? ""), { code: "once" });
  assert.deepEqual([window.listeners.size, window.looks.size], [0, 0]);
});

test("a message from elsewhere ends no flow", async (context) => {
  const { api, window, client } = await page(context, [BEGUN]);
  const outcome = client.connectInPopup(FILES);
  await window.away();
  const forged = message({ status: "authorized", code: "of mallory" });
  window.says(forged, { origin: "https://evil.example" });
  window.says(forged, { origin: APP });
  window.says(forged, { source: { closed: false } });
  window.says({ status: "authorized", code: "untyped" });
  window.says(null);
  window.says(message({ status: "denied", code: "access_denied" }));
  assert.deepEqual(await outcome, { status: "denied", code: "access_denied" });
  assert.equal(api.seen.length, 1);
});

test("a flow that is finished on Grantry's page needs no completion", async (context) => {
  const { api, window, client } = await page(context, [BEGUN]);
  const outcome = client.connectInPopup(FILES);
  await window.away();
  window.says(message({ status: "connected", connection_id: "c1", missing_scopes: "true", refreshable: "false" }));
  assert.deepEqual(await outcome, CONNECTED);
  assert.equal(api.seen.length, 1);
});

test("a popup that stays closed has ended the flow for this page", async (context) => {
  const { window, client } = await page(context, [BEGUN]);
  const outcome = client.connectInPopup(FILES);
  await window.away();
  window.look();
  window.popup.closed = true;
  window.look();
  await new Promise(setImmediate);
  assert.equal(window.listeners.size, 1);
  window.look();
  assert.deepEqual(await outcome, { status: "closed" });
  assert.deepEqual([window.listeners.size, window.looks.size], [0, 0]);
});

test("a popup that is blocked begins nothing", async (context) => {
  const { api, window, client } = await page(context, []);
  window.blocks = true;
  assert.deepEqual(await client.connectInPopup(FILES), { status: "blocked" });
  assert.equal(api.seen.length, 0);
});

test("a flow that does not begin, or whose completion is refused, closes the popup and says why", async (context) => {
  const { window, client } = await page(context, [problem(409, "connector_disabled"), BEGUN, problem(403, "user_mismatch")]);
  const refused = (code: string) => (error: unknown) => error instanceof GrantryError && error.code === code;
  await assert.rejects(client.connectInPopup(FILES), refused("connector_disabled"));
  assert(window.popup.closed);
  const outcome = client.connectInPopup(FILES);
  await window.away();
  window.says(message({ status: "authorized", code: "once" }));
  await assert.rejects(outcome, refused("user_mismatch"));
});

test("a return URL of another origin is refused: the popup would tell this page nothing", async (context) => {
  const { window, client } = await page(context, []);
  await assert.rejects(client.connectInPopup({ ...FILES, returnUrl: "https://www.shop.example/connected" }), TypeError);
  assert.equal(window.opened, 0);
});

test("a popup that lost its opener is finished at the return URL, which tells the page", async (context) => {
  const { window, client } = await page(context, [BEGUN]);
  const told: Connected[] = [];
  context.after(client.onConnected((connected) => told.push(connected)));
  const outcome = client.connectInPopup(FILES);
  await window.away();
  window.popup.closed = true;
  window.look();
  window.look();
  assert.deepEqual(await outcome, { status: "closed" });

  const { client: atReturnUrl, api } = await page(context, [COMPLETED]);
  const address = `${FILES.returnUrl}?status=authorized&code=once`;
  assert.deepEqual(await atReturnUrl.finish(address), CONNECTED);
  assert.deepEqual(JSON.parse(api.seen[0]?.body ?? ""), { code: "once" });
  await until("the page was told", () => told.length > 0);
  assert.deepEqual(told, [CONNECTED]);
});

test("a page that is sent away comes back to how its flow ended", async (context) => {
  const { api, window, client } = await page(context, [BEGUN]);
  await client.connect(FILES);
  assert.deepEqual(window.visited, [`${GRANTRY}/connect/t`]);
  assert.equal(JSON.parse(api.seen[0]?.body ?? "").display, "redirect");
  // No flow leads to the address it has now.
  assert.equal(await client.finish(), undefined);
  for (const [query, expected] of [
    ["status=cancelled&code=cancelled", { status: "cancelled", code: "cancelled" }],
    ["status=connected&connection_id=c1", { ...CONNECTED, missingScopes: false, refreshable: true }],
    // From nobody here.
    ["status=connected", { status: "failed", code: "unknown" }],
    ["status=authorized", { status: "failed", code: "unknown" }],
    ["status=splendid&code=better", { status: "failed", code: "unknown" }],
  ] as const) {
    window.location.href = `${FILES.returnUrl}?${query}`;
    assert.deepEqual(await client.finish(), expected);
  }
});

test("every end in docs/CONNECT.md is known by its status and code", async (context) => {
  const { client } = await page(context, []);
  const guide = await readFile(new URL("../../../docs/CONNECT.md", import.meta.url), "utf8");
  const [, table = ""] = guide.split("## How a flow ends at the app");
  const rows = [...(table.split("\n## ")[0] ?? "").matchAll(/^\| `(\w+)` \| `(\w+)` \|/gm)];
  assert(rows.length > 10, `${rows.length} rows`);
  for (const [, status, code] of rows) {
    const outcome = await client.finish(`${APP}/?status=${status}&code=${code}`);
    assert.deepEqual(outcome, { status, code });
  }
});
