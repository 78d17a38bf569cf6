// Base44's JavaScript SDK, unchanged, with its `serverUrl` set to a deployed Grantry.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Base44Error, createClient } from "@base44/sdk";

import { RETURN, admin, connector, register, serverUrl, setScopes, signIn, walk, whose } from "./world.js";

let serviceToken;

before(async () => {
  serviceToken = await register("shop", "screen");
});

/** The SDK for a signed-in user, with the service role. */
async function clientOf(user, more = {}) {
  const token = await signIn(user);
  return createClient({ serverUrl, appId: "shop", token, serviceToken, ...more });
}

/** What is expected of an error that the SDK throws. */
function problem(status, code, data = {}) {
  return (error) => {
    assert.ok(error instanceof Base44Error, String(error));
    assert.deepEqual([error.status, error.code], [status, code], error.message);
    assert.equal(error.message, error.data.detail);
    assert.deepEqual({ ...error.data, ...data }, error.data);
    return true;
  };
}

test("a user connects, is read and disconnects", async () => {
  const files = await connector("user");
  const alice = await clientOf("alice");
  const mine = () => alice.asServiceRole.connectors.getCurrentAppUserConnection(files);
  await assert.rejects(mine(), problem(404, "not_connected"));

  const link = await alice.connectors.connectAppUser(files);
  const end = new URL(await walk(link, "alice at the provider"));
  assert.equal(end.origin + end.pathname, RETURN);
  assert.equal(end.searchParams.get("status"), "connected");

  const { accessToken, connectionConfig } = await mine();
  assert.equal(await whose(accessToken), "alice at the provider");
  assert.deepEqual(connectionConfig, {});
  const again = await alice.asServiceRole.connectors.getCurrentAppUserAccessToken(files);
  assert.equal(again, accessToken);

  await alice.connectors.disconnectAppUser(files);
  await assert.rejects(mine(), problem(404, "not_connected"));
  assert.equal(await whose(accessToken), undefined);
  await alice.connectors.disconnectAppUser(files);
});

test("each user's token is their own", async () => {
  const files = await connector("user");
  const [bob, carol] = [await clientOf("bob"), await clientOf("carol")];
  await walk(await bob.connectors.connectAppUser(files), "bob at the provider");
  const mine = (client) => client.asServiceRole.connectors.getCurrentAppUserConnection(files);
  assert.equal(await whose((await mine(bob)).accessToken), "bob at the provider");
  await assert.rejects(mine(carol), problem(404, "not_connected"));
  const nobody = createClient({ serverUrl, appId: "shop", serviceToken });
  await assert.rejects(mine(nobody), problem(403, "on_behalf_of_required"));
});

test("the account that everyone uses is found by its type and by its connector", async () => {
  const shared = await connector("app");
  const dave = await clientOf("dave");
  const { connectors } = dave.asServiceRole;
  await assert.rejects(connectors.getConnection("custom"), problem(404, "not_connected"));
  const begun = await admin("POST", `/v1/connectors/${shared}/connect`, {
    app_id: "shop",
    return_url: RETURN,
  });
  await walk(begun.connect_url, "team at the provider");

  const byType = await connectors.getConnection("custom");
  assert.equal(await whose(byType.accessToken), "team at the provider");
  assert.deepEqual(await connectors.getWorkspaceConnection(shared), byType);
  assert.equal(await connectors.getAccessToken("custom"), byType.accessToken);
  // No user has to be signed in for it.
  const nobody = createClient({ serverUrl, appId: "shop", serviceToken });
  assert.deepEqual(await nobody.asServiceRole.connectors.getConnection("custom"), byType);
  await assert.rejects(connectors.getConnection("slack"), problem(404, "not_connected"));
  await assert.rejects(dave.connectors.connectAppUser(shared), problem(409, "kind_mismatch"));
});

test("a user who has to connect again is told so, and why", async () => {
  const files = await connector("user");
  const erin = await clientOf("erin");
  await walk(await erin.connectors.connectAppUser(files), "erin at the provider");
  await setScopes(files, ["read", "write"]);
  const mine = () => erin.asServiceRole.connectors.getCurrentAppUserConnection(files);
  await assert.rejects(mine(), problem(409, "reconnect_required", { reason: "scopes_changed" }));
  await walk(await erin.connectors.connectAppUser(files), "erin at the provider");
  assert.equal(await whose((await mine()).accessToken), "erin at the provider");
});

test("a wrong service token, another app and a wrong user are refused", async () => {
  const files = await connector("user");
  const forged = `${serviceToken.slice(0, -4)}AAAA`;
  const wrong = await clientOf("frank", { serviceToken: forged });
  const { connectors } = wrong.asServiceRole;
  for (const call of [
    () => connectors.getCurrentAppUserConnection(files),
    () => connectors.getConnection("custom"),
    () => connectors.getWorkspaceConnection(files),
  ]) {
    await assert.rejects(call(), problem(401, "unauthenticated"));
  }
  const elsewhere = await clientOf("frank", { appId: "blog" });
  const mine = elsewhere.asServiceRole.connectors.getCurrentAppUserConnection(files);
  await assert.rejects(mine, problem(404, "not_found"));
  await assert.rejects(elsewhere.connectors.connectAppUser(files), problem(404, "not_found"));
  // The gateway's own refusal has a message and no code.
  const nobody = createClient({ serverUrl, appId: "shop", token: "no JWT" });
  await assert.rejects(nobody.connectors.connectAppUser(files), (error) => {
    assert.ok(error instanceof Base44Error);
    return error.status === 401 && error.message === "Unauthorized";
  });
});

test("an app that completes its flows itself is told how to let Grantry ask", async () => {
  const files = await connector("user");
  await register("strict", "app");
  const token = await signIn("grace", "strict");
  const strict = createClient({ serverUrl, appId: "strict", token });
  await assert.rejects(strict.connectors.connectAppUser(files), problem(409, "completion_mode"));
});
