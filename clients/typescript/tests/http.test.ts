import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "@grantry/client/browser";
import { GrantryError, createServerClient } from "@grantry/client/server";

import { TOKEN, fakeApi, problem, until } from "./fake.js";

const ALICE = { connectorId: "files", userId: "alice" };
const SOON = { "retry-after": "0" };

/** The error of a call that has to fail. */
async function failure(call: Promise<unknown>): Promise<GrantryError> {
  const error = await call.then(
    (value) => assert.fail(`answered ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  assert(error instanceof GrantryError);
  return error;
}

test("a request and its answer have the API's names on the wire and camelCase here", async (context) => {
  const api = await fakeApi(context, [{ body: TOKEN }]);
  const server = createServerClient({ ...api, apiKey: "grantry_sk_1" });
  const token = await server.getToken({ ...ALICE, minTtl: 300, onBehalfOf: "jwt" });
  assert.equal(token.accessToken, "at-1");
  // Its members are the provider's, not ours to rename.
  assert.deepEqual(token.connectionConfig, { instance_host: "acme.example" });
  const [seen] = api.seen;
  assert.equal(`${seen?.method} ${seen?.path}`, "POST /v1/tokens");
  assert.deepEqual(JSON.parse(seen?.body ?? ""), { connector_id: "files", user_id: "alice", min_ttl: 300 });
  assert.equal(seen?.headers.authorization, "Bearer grantry_sk_1");
  assert.equal(seen?.headers["on-behalf-of"], "Bearer jwt");
  // It changes nothing, and the API takes no key for it.
  assert.equal(seen?.headers["idempotency-key"], undefined);
});

test("equal look-ups at the same time share a request, and the next one asks anew", async (context) => {
  let answer = () => {};
  const after = new Promise<void>((resolve) => (answer = resolve));
  const api = await fakeApi(context, [
    { body: TOKEN, after },
    { body: { ...TOKEN, access_token: "of bob" }, after },
    { body: { ...TOKEN, access_token: "at-2" } },
  ]);
  const server = createServerClient({ ...api, apiKey: "k" });
  const first = server.getToken(ALICE);
  const second = server.getToken({ userId: "alice", connectorId: "files" });
  await until("the first request arrived", () => api.seen.length === 1);
  const other = server.getToken({ ...ALICE, userId: "bob" });
  await until("the other request arrived", () => api.seen.length === 2);
  answer();
  assert.equal((await first).accessToken, "at-1");
  assert.equal((await second).accessToken, "at-1");
  assert.equal((await other).accessToken, "of bob");
  assert.equal((await server.getToken(ALICE)).accessToken, "at-2");
  assert.equal(api.seen.length, 3);
});

test("a look-up that failed is not shared with the next", async (context) => {
  const api = await fakeApi(context, [problem(404, "not_connected"), { body: TOKEN }]);
  const server = createServerClient({ ...api, apiKey: "k" });
  assert.equal((await failure(server.getToken(ALICE))).code, "not_connected");
  assert.equal((await server.getToken(ALICE)).accessToken, "at-1");
});

for (const [status, code] of [[429, "rate_limited"], [503, "provider_unavailable"]] as const) {
  test(`${code} is asked again twice when it says when, and then told`, async (context) => {
    const busy = { ...problem(status, code), headers: SOON };
    const api = await fakeApi(context, [busy, busy, { body: TOKEN }, busy, busy, busy]);
    const server = createServerClient({ ...api, apiKey: "k" });
    assert.equal((await server.getToken(ALICE)).accessToken, "at-1");
    const error = await failure(server.getToken(ALICE));
    assert.deepEqual([error.status, error.code, error.retryAfter], [status, code, 0]);
    assert.equal(api.seen.length, 6);
  });
}

test("a Retry-After is waited for, and one that is too long is not", async (context) => {
  const busy = (seconds: string) => ({ ...problem(503, "kms_unavailable"), headers: { "retry-after": seconds } });
  const api = await fakeApi(context, [busy("1"), { body: TOKEN }, busy("11")]);
  const server = createServerClient({ ...api, apiKey: "k" });
  const begun = performance.now();
  await server.getToken(ALICE);
  assert(performance.now() - begun >= 990);
  assert.equal((await failure(server.getToken(ALICE))).retryAfter, 11);
  assert.equal(api.seen.length, 3);
});

test("a refusal that stays one is asked once", async (context) => {
  const refusals = [
    problem(409, "reconnect_required", { reason: "grant_revoked" }),
    problem(409, "conflict"),
    problem(500, "internal"),
    problem(502, "code_refused"),
  ];
  const api = await fakeApi(context, refusals);
  const server = createServerClient({ ...api, apiKey: "k" });
  const error = await failure(server.getToken(ALICE));
  assert.deepEqual([error.code, error.reason], ["reconnect_required", "grant_revoked"]);
  for (const code of ["conflict", "internal", "code_refused"]) {
    assert.equal((await failure(server.getToken(ALICE))).code, code);
  }
  assert.equal(api.seen.length, refusals.length);
});

test("a change keeps its idempotency key when it is repeated, and every change has its own", async (context) => {
  const done = { body: { status: "disconnected", revocation: "revoked" } };
  const running = { ...problem(409, "idempotency_in_progress"), headers: SOON };
  const api = await fakeApi(context, [{ lost: true }, running, done, done, done]);
  const server = createServerClient({ ...api, apiKey: "k" });
  await server.disconnect({ ...ALICE, alias: "work" });
  await server.disconnect({ ...ALICE, alias: "work" });
  await server.disconnect({ ...ALICE, alias: "work", idempotencyKey: "mine" });
  const keys = api.seen.map((seen) => seen.headers["idempotency-key"]);
  assert.equal(new Set(keys.slice(0, 3)).size, 1);
  assert.match(keys[0] as string, /^[0-9a-f]{32}$/);
  assert.notEqual(keys[3], keys[0]);
  assert.equal(keys[4], "mine");
  assert.equal(api.seen[4]?.path, "/v1/users/alice/connections/files?alias=work");
});

test("a completion is repeated without a key, which would keep the answer that says to repeat it", async (context) => {
  const completed = {
    connection_id: "c1", connector_id: "files", status: "connected",
    granted_scopes: [], missing_scopes: [], refreshable: true,
  };
  const busy = { ...problem(409, "conflict"), headers: SOON };
  const api = await fakeApi(context, [busy, { body: completed }]);
  const client = createClient({ ...api, token: () => "jwt" });
  assert.equal((await client.complete("code")).connectionId, "c1");
  for (const seen of api.seen) assert.equal(seen.headers["idempotency-key"], undefined);
});

test("the JWT is asked for before each request, and why there is none is told as it is", async (context) => {
  const page = (item: string, cursor?: string) => ({ body: { items: [{ id: item }], next_cursor: cursor } });
  const api = await fakeApi(context, [page("one", "a/b"), page("two")]);
  let asked = 0;
  const client = createClient({ ...api, token: async () => `jwt-${(asked += 1)}` });
  const entries = [];
  for await (const entry of client.audit({ pageSize: 1 })) entries.push(entry.id);
  assert.deepEqual(entries, ["one", "two"]);
  assert.deepEqual(api.seen.map((seen) => [seen.path, seen.headers.authorization]), [
    ["/v1/me/audit?limit=1", "Bearer jwt-1"],
    ["/v1/me/audit?limit=1&cursor=a%2Fb", "Bearer jwt-2"],
  ]);
  const signedOut = createClient({ ...api, token: () => Promise.reject(new Error("signed out")) });
  await assert.rejects(signedOut.complete("code"), /^Error: signed out$/);
  assert.equal(api.seen.length, 2);
});

test("a list asks for a page when its items are wanted and not before", async (context) => {
  const api = await fakeApi(context, [{ body: { items: [{ connector_id: "files" }], next_cursor: "next" } }]);
  const server = createServerClient({ ...api, apiKey: "k" });
  for await (const item of server.listConnectors({ userId: "auth0|a/b" })) {
    assert.equal(item.connectorId, "files");
    break;
  }
  assert.deepEqual(api.seen.map((seen) => seen.path), ["/v1/users/auth0%7Ca%2Fb/connections"]);
});

test("what is wrong with a request is told by field", async (context) => {
  const errors = [{ field: "min_ttl", detail: "at most 3600" }];
  const api = await fakeApi(context, [problem(400, "invalid_request", { errors })]);
  const server = createServerClient({ ...api, apiKey: "k" });
  const error = await failure(server.getToken({ ...ALICE, minTtl: 9999 }));
  assert.deepEqual(error.fieldErrors, errors);
  assert.equal(error.message, "invalid_request.");
});

test("a refusal of a token exchange and of the gateway have a code like every other", async (context) => {
  const oauth = { error: "invalid_grant", error_description: "no account", code: "not_connected" };
  const api = await fakeApi(context, [
    { status: 400, body: oauth },
    { status: 401, body: { message: "Unauthorized" } },
  ]);
  const server = createServerClient({ ...api, apiKey: "k" });
  const exchange = { connectorId: "files", subjectToken: "jwt", scopes: ["a", "b"] };
  let error = await failure(server.exchangeToken(exchange));
  assert.deepEqual([error.status, error.code, error.message], [400, "not_connected", "no account"]);
  assert.equal(new URLSearchParams(api.seen[0]?.body).get("scope"), "a b");
  error = await failure(server.exchangeToken(exchange));
  assert.deepEqual([error.code, error.message], ["unauthenticated", "Unauthorized"]);
});

test("what is not the API's answer is not taken for one", async (context) => {
  const elsewhere = { status: 302, headers: { location: "https://elsewhere.example/" } };
  const api = await fakeApi(context, [
    { body: "<h1>Welcome</h1>" },
    { status: 502, body: "<h1>Bad gateway</h1>" },
    elsewhere, elsewhere, elsewhere,
  ]);
  const server = createServerClient({ ...api, apiKey: "k" });
  for (const status of [200, 502]) {
    const error = await failure(server.getToken(ALICE));
    assert.deepEqual([error.status, error.code], [status, "unexpected_answer"]);
  }
  // The key goes nowhere but to Grantry.
  assert.equal((await failure(server.getToken(ALICE))).code, "unreachable");
});

test("an answer that does not come in time is no answer", { timeout: 60_000 }, async () => {
  let asked = 0;
  const silent: typeof fetch = (_, request) => {
    asked += 1;
    const signal = request?.signal;
    return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  };
  const server = createServerClient({ baseUrl: "https://connect.example", apiKey: "k", fetch: silent, timeout: 20 });
  // The timer of a signal keeps nobody waiting by itself, as a socket would.
  const waiting = setInterval(() => {}, 1_000);
  const error = await failure(server.getToken(ALICE)).finally(() => clearInterval(waiting));
  assert.deepEqual([error.status, error.code], [0, "unreachable"]);
  assert.equal((error.cause as Error).name, "TimeoutError");
  assert.equal(asked, 3);
});

test("an id that a URL would resolve is refused before anything is sent", async (context) => {
  const api = await fakeApi(context, []);
  const server = createServerClient({ ...api, apiKey: "k" });
  for (const userId of ["..", ".", ""]) {
    await assert.rejects(server.eraseUser({ userId }), TypeError);
  }
  assert.equal(api.seen.length, 0);
});

test("the API may be below a path", async (context) => {
  const api = await fakeApi(context, [{ body: TOKEN }]);
  await createServerClient({ baseUrl: `${api.baseUrl}/connect/`, apiKey: "k" }).getToken(ALICE);
  assert.equal(api.seen[0]?.path, "/connect/v1/tokens");
});
