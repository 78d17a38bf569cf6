import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { GrantryError, createClient } from "@grantry/client/browser";
import { type ServerClient, createServerClient } from "@grantry/client/server";

import { types } from "../../scripts/types.mjs";
import { Page, Person, RETURN, STACK, Workspace } from "./stack.js";

const baseUrl = STACK.public_url;

/** A workspace with a connector, and both halves of the client. */
async function shop(story: string, app = {}) {
  const workspace = await Workspace.new(story, app);
  const connectorId = await workspace.connector();
  const page = new Page(`alice@${workspace.id}`);
  const client = createClient({ baseUrl, token: () => workspace.user("alice"), window: page });
  const server = createServerClient({ baseUrl, apiKey: workspace.apiKey });
  const files = { connectorId, returnUrl: RETURN };
  return { workspace, connectorId, page, client, server, files };
}

/** Whom an access token belongs to at the provider. */
async function whose(accessToken: string): Promise<string | undefined> {
  const headers = { authorization: `Bearer ${accessToken}` };
  const answer = await fetch(`${STACK.provider_url}/userinfo`, { headers });
  return answer.ok ? (await answer.json()).sub : undefined;
}

async function statusOf(server: ServerClient, connectorId: string, userId = "alice") {
  for await (const connector of server.listConnectors({ userId })) {
    if (connector.connectorId === connectorId) return connector;
  }
  return assert.fail("the connector is not listed");
}

const refused = (status: number, code: string, reason?: string) => (error: unknown) => {
  assert(error instanceof GrantryError);
  assert.deepEqual([error.status, error.code, error.reason], [status, code, reason]);
  return true;
};

test("an account is connected, its token handed out, and then no more", async () => {
  const { workspace, connectorId, page, client, server, files } = await shop("redirect");
  const alice = { connectorId, userId: "alice" };
  await assert.rejects(server.getToken(alice), refused(404, "not_connected"));
  await client.connect(files);
  page.location.href = await new Person().agree(page.left, page.account);
  const outcome = await client.finish();
  assert(outcome?.status === "connected");
  assert.deepEqual([outcome.missingScopes, outcome.refreshable], [false, true]);

  const token = await server.getToken({ ...alice, minTtl: 30, scopes: ["read"] });
  assert.equal(await whose(token.accessToken), page.account);
  assert.deepEqual([token.tokenType, token.scopes, token.connectionConfig], ["Bearer", ["read"], {}]);
  assert(Date.parse(token.expiresAt ?? "") > Date.now());
  const status = await statusOf(server, connectorId);
  assert.deepEqual([status.status, status.connectionId], ["connected", outcome.connectionId]);
  const mine = [];
  for await (const connector of client.listConnectors({ pageSize: 1 })) mine.push(connector.connectionId);
  assert.deepEqual(mine, [outcome.connectionId]);

  assert.equal((await client.disconnect({ connectorId })).status, "disconnected");
  await assert.rejects(server.getToken(alice), refused(404, "not_connected"));
  const actions = [];
  for await (const entry of client.audit({ pageSize: 1 })) actions.push(entry.action);
  assert.deepEqual(actions.sort(), ["connection.connected", "connection.disconnected", "token.read"]);
  assert.equal((await statusOf(server, connectorId)).status, "not_connected");
  // Whoever is signed in meanwhile cannot finish what another began.
  await client.connect(files);
  const back = await new Person().agree(page.left, page.account);
  const bob = createClient({ baseUrl, token: () => workspace.user("bob") });
  await assert.rejects(bob.finish(back), refused(403, "user_mismatch"));
});

test("an account is connected in a popup by what the last page hands over", async () => {
  const { connectorId, page, client, server, files } = await shop("popup");
  const outcome = await Promise.race([client.connectInPopup(files), page.trouble]);
  assert.equal(outcome.status, "connected");
  const { accessToken } = await server.getToken({ connectorId, userId: "alice" });
  assert.equal(await whose(accessToken), page.account);
});

test("a flow that ends on Grantry's own page is connected by the button there", async () => {
  const { connectorId, page, client, server, files } = await shop("screen", { completion: "screen" });
  await client.connect(files);
  const person = new Person();
  const back = await person.confirm(await person.agree(page.left, page.account));
  const outcome = await client.finish(back);
  assert(outcome?.status === "connected");
  assert.equal((await statusOf(server, connectorId)).connectionId, outcome.connectionId);
});

test("who says no at the provider comes back as one who did", async () => {
  const { page, client, files } = await shop("denied");
  await client.connect(files);
  const outcome = await client.finish(await new Person().refuse(page.left));
  assert.deepEqual(outcome, { status: "denied", code: "access_denied" });
});

test("a back end acts for a user: begins, exchanges the JWT, disconnects and erases", async () => {
  const { workspace, connectorId, page, client, server } = await shop("back-end");
  await workspace.admin("PATCH", `/v1/connectors/${connectorId}`, { accounts: "several" }, { "if-match": '"1"' });
  const alice = { userId: "alice", onBehalfOf: await workspace.user("alice") };
  for (const alias of [undefined, "work"]) {
    const files = { connectorId, returnUrl: RETURN, ...(alias && { alias }) };
    const { connectUrl } = await server.beginConnect({ ...alice, ...files });
    const outcome = await client.finish(await new Person().agree(connectUrl, `${alias}-${page.account}`));
    assert.equal(outcome?.status, "connected");
  }
  const subjectToken = alice.onBehalfOf;
  const exchanged = await server.exchangeToken({ connectorId, subjectToken, scopes: ["read"] });
  assert.equal(exchanged.issuedTokenType, "urn:ietf:params:oauth:token-type:access_token");
  assert.equal(await whose(exchanged.accessToken), `undefined-${page.account}`);
  const wider = { connectorId, subjectToken, scopes: ["read", "write"] };
  await assert.rejects(server.exchangeToken(wider), refused(400, "reconnect_required", "missing_scopes"));
  const work = { connectorId, alias: "work" };
  const { accessToken } = await server.getToken({ ...work, onBehalfOf: alice.onBehalfOf });
  assert.equal(await whose(accessToken), `work-${page.account}`);
  const accounts = (await statusOf(server, connectorId)).accounts?.map((account) => account.alias);
  assert.deepEqual(accounts, [undefined, "work"]);

  assert.equal((await server.disconnect({ ...alice, ...work })).status, "disconnected");
  assert.deepEqual(await server.eraseUser(alice), { disconnected: 1 });
  assert.deepEqual(await server.eraseUser(alice), { disconnected: 0 });
  await assert.rejects(server.getToken({ connectorId, userId: "alice" }), refused(404, "not_connected"));
});

test("a change that is asked for twice with its key is made once", async () => {
  const { server, client, files } = await shop("repeated");
  const begin = { ...files, userId: "alice", idempotencyKey: "the-same" };
  assert.deepEqual(await server.beginConnect(begin), await server.beginConnect(begin));
  const other = { ...begin, loginHint: "somebody" };
  await assert.rejects(server.beginConnect(other), refused(422, "idempotency_key_reused"));
  const [first, second] = [await client.beginConnect(files), await client.beginConnect(files)];
  assert.notEqual(first.connectUrl, second.connectUrl);
});

test("a refusal is told by code, reason and field", async () => {
  const { workspace, connectorId, page, client, server, files } = await shop("refusals");
  await client.connect(files);
  await client.finish(await new Person().agree(page.left, page.account));
  const alice = { connectorId, userId: "alice" };
  await workspace.admin("PATCH", `/v1/connectors/${connectorId}`, { scopes: ["read", "write"] }, { "if-match": '"1"' });
  await assert.rejects(server.getToken(alice), refused(409, "reconnect_required", "scopes_changed"));
  await server.getToken({ ...alice, scopes: ["read"] });
  await workspace.admin("POST", `/v1/connectors/${connectorId}/disable`);
  await assert.rejects(server.getToken(alice), refused(409, "connector_disabled"));
  await assert.rejects(server.getToken({ connectorId }), refused(409, "kind_mismatch"));
  await assert.rejects(server.getToken({ ...alice, minTtl: 9999 }), (error) => {
    assert(error instanceof GrantryError);
    assert.deepEqual([error.code, error.fieldErrors.map(({ field }) => field)], ["invalid_request", ["min_ttl"]]);
    return true;
  });
  const wrong = createServerClient({ baseUrl, apiKey: `${workspace.apiKey.slice(0, -1)}_` });
  await assert.rejects(wrong.getToken(alice), refused(401, "unauthenticated"));
  // By the gateway, which knows no codes.
  const nobody = createClient({ baseUrl, token: () => "no JWT" });
  await assert.rejects(nobody.complete("code"), refused(401, "unauthenticated"));
});

test("the types are those of the document that is served", async () => {
  const document = await (await fetch(`${baseUrl}/openapi.json`)).json();
  const kept = await readFile(new URL("../../src/api.ts", import.meta.url), "utf8");
  assert.equal(kept, await types(document), "`make client` renews them");
});
