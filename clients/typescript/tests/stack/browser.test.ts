import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";

import { createServerClient } from "@grantry/client/server";

import { Browser } from "./browser.js";
import { STACK, Workspace } from "./stack.js";

/** A page that connects in a popup, and keeps what it is told. */
const OPENER = `<!doctype html><title>App</title><button>Connect</button><script type="module">
  import { createClient } from "/dist/browser.js";
  const token = async () => (await fetch("/jwt")).text();
  const client = createClient({ baseUrl: location.origin, token });
  const returnUrl = location.origin + "/return";
  client.onConnected((connected) => (window.told = connected));
  document.querySelector("button").onclick = async () => {
    const connectorId = new URLSearchParams(location.search).get("connector");
    window.end = await client.connectInPopup({ connectorId, returnUrl }).catch(String);
  };
  window.ready = true;
</script>`;

/** The page at the return URL. */
const RETURNED = `<!doctype html><title>Back</title><script type="module">
  import { createClient } from "/dist/browser.js";
  const token = async () => (await fetch("/jwt")).text();
  window.end = await createClient({ baseUrl: location.origin, token }).finish().catch(String);
</script>`;

/** A provider's page that takes the opener from the window, on the way to the local provider. */
const ISOLATED = `<!doctype html><title>Provider</title><button>Sign in</button><script>
  document.querySelector("button").onclick = () => location.assign("${STACK.provider_url}/authorize" + location.search);
</script>`;

const HTML = { "content-type": "text/html; charset=utf-8" };

/** An app's site with the package as it is published. It hands on the API's calls as they come. */
async function site(context: TestContext) {
  let user: () => Promise<string> = () => assert.fail("nobody is signed in yet");
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const { pathname } = new URL(request.url ?? "", "http://site");
    if (pathname === "/") return { headers: HTML, body: OPENER };
    if (pathname === "/return") return { headers: HTML, body: RETURNED };
    if (pathname === "/isolated") {
      return { headers: { ...HTML, "cross-origin-opener-policy": "same-origin" }, body: ISOLATED };
    }
    if (pathname === "/jwt") return { headers: { "content-type": "text/plain" }, body: await user() };
    if (pathname.startsWith("/v1/")) return handedOn(request);
    const file = new URL(`../..${pathname}`, import.meta.url);
    return { headers: { "content-type": "text/javascript" }, body: await readFile(file, "utf8") };
  };
  const server = createServer(async (request, response) => {
    const { status = 200, headers, body } = await answer(request).catch(missing);
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, signIn: (jwt: () => Promise<string>) => void (user = jwt) };
}

interface Answer {
  status?: number;
  headers: Record<string, string>;
  body: string;
}

async function handedOn(request: IncomingMessage): Promise<Answer> {
  const headers = { "content-type": "application/json", authorization: request.headers.authorization ?? "" };
  const body = await text(request);
  const { method = "GET" } = request;
  const answer = await fetch(STACK.public_url + request.url, { method, headers, body: body || null });
  return { status: answer.status, headers: { "content-type": "application/json" }, body: await answer.text() };
}

const missing = (): Answer => ({ status: 404, headers: {}, body: "" });

/** Alice is at the app's page, in a browser. */
async function alice(context: TestContext, story: string, isolated: boolean) {
  const app = await site(context);
  const workspace = await Workspace.new(story, { return_urls: [`${app.url}/return`] });
  const at = STACK.provider_url;
  const authorize_url = isolated ? `${app.url}/isolated` : `${at}/authorize`;
  const config = { authorize_url, token_url: `${at}/token`, revoke_url: `${at}/revoke` };
  const connectorId = await workspace.connector({ config });
  app.signIn(() => workspace.user("alice"));
  const browser = await Browser.start(context);
  await browser.goto(`${app.url}/?connector=${connectorId}`);
  await browser.has("return window.ready");
  const server = createServerClient({ baseUrl: STACK.public_url, apiKey: workspace.apiKey });
  const token = () => server.getToken({ connectorId, userId: "alice" });
  return { browser, windows: await browser.windows(), token };
}

const AGREE = "button[value=connect]";

test("in a browser a popup connects, closes, and tells the page that opened it", async (context) => {
  const { browser, windows, token } = await alice(context, "walk", false);
  await browser.press("button");
  await browser.entersAnother(windows);
  await browser.press(AGREE);
  await browser.enter(windows[0] ?? "");
  const end = await browser.has("return window.end");
  assert.equal(end.status, "connected", JSON.stringify(end));
  assert.deepEqual(await browser.has("return window.told"), end);
  assert.deepEqual(await browser.windows(), windows);
  await token();
});

test("in a browser a popup whose provider cuts it off is finished at the return URL", async (context) => {
  const { browser, windows, token } = await alice(context, "cut-off", true);
  await browser.press("button");
  // To the page the window looks closed, and in it everything goes on.
  assert.deepEqual(await browser.has("return window.end"), { status: "closed" });
  await browser.entersAnother(windows);
  await browser.press("button");
  await browser.press(AGREE);
  const end = await browser.has("return window.end");
  assert.equal(end.status, "connected", JSON.stringify(end));
  await browser.enter(windows[0] ?? "");
  assert.deepEqual(await browser.has("return window.told"), end);
  await token();
});
