// What is around the SDK: the deployed stack that `make test` names, an admin of a workspace in it,
// the issuer who signs in users, the provider, and a browser.

import { randomUUID } from "node:crypto";
import dns from "node:dns";
import { readFileSync } from "node:fs";

const stack = JSON.parse(readFileSync(process.env.GRANTRY_E2E_STACK, "utf8"));

// Every name under localhost is this machine (RFC 6761, section 6.3). Not every resolver knows.
const { lookup } = dns;
dns.lookup = (name, ...rest) => lookup(name.endsWith(".localhost") ? "127.0.0.1" : name, ...rest);

export const serverUrl = stack.public_url;
/** Nothing listens there: `walk` ends before it. */
export const RETURN = "http://127.0.0.1:9/return";

/** Another one in each run, so that nothing is there. */
const WORKSPACE = `base44-${randomUUID()}`;
const CLIENT = { id: "client-base44", secret: "cs_base44" };

async function send(method, url, body, token) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${url} answered ${answer.status}: ${text}`);
  return { body: text ? JSON.parse(text) : undefined, etag: answer.headers.get("etag") };
}

async function mint(sub, claims) {
  const minted = await send("POST", `${stack.issuer_url}/_mint`, {
    sub,
    claims: { workspace_id: WORKSPACE, ...claims },
  });
  return minted.body.token;
}

/** A user's JWT, as their sign-in to an app brought it. */
export const signIn = (user, app = "shop") => mint(user, { app_id: app });

/** One call of the API by the workspace's owner. */
export async function admin(method, path, body) {
  const token = await mint("root", { role: "owner", plan: "builder" });
  return (await send(method, serverUrl + path, body, token)).body;
}

/** Registers an app and makes an API key for it. */
export async function register(app, completion) {
  await admin("PUT", `/v1/apps/${app}`, { name: app, return_urls: [RETURN], completion });
  return (await admin("POST", `/v1/apps/${app}/keys`, { name: "service role" })).key;
}

/** A connector. Answers its id. */
export async function connector(kind) {
  const at = stack.provider_url;
  await send("POST", `${at}/_control/clients`, {
    id: CLIENT.id,
    secrets: [CLIENT.secret],
    redirects: { path_contains: "/oauth/callback/" },
  });
  const made = await admin("POST", "/v1/connectors", {
    name: "Files",
    provider: "custom",
    kind,
    client_id: CLIENT.id,
    client_secret: CLIENT.secret,
    scopes: ["read"],
    config: {
      authorize_url: `${at}/authorize`,
      token_url: `${at}/token`,
      revoke_url: `${at}/revoke`,
      userinfo_url: `${at}/userinfo`,
    },
  });
  return made.id;
}

/** Lets a connector ask for other scopes. */
export async function setScopes(id, scopes) {
  const token = await mint("root", { role: "owner", plan: "builder" });
  const url = `${serverUrl}/v1/connectors/${id}`;
  const { etag } = await send("GET", url, undefined, token);
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    "if-match": etag,
  };
  const answer = await fetch(url, { method: "PATCH", headers, body: JSON.stringify({ scopes }) });
  if (!answer.ok) throw new Error(`PATCH ${url} answered ${answer.status}`);
}

/** Whose access token it is, as the provider says; nobody's when it is dead. */
export async function whose(token) {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${stack.provider_url}/userinfo`, { headers });
  return answer.ok ? (await answer.json()).sub : undefined;
}

// --- A browser ---

async function open(url, cookie, form) {
  const answer = await fetch(url, {
    method: form ? "POST" : "GET",
    headers: cookie ? { cookie } : {},
    body: form && new URLSearchParams(form),
    redirect: "manual",
  });
  const location = answer.headers.get("location");
  return {
    to: location && new URL(location, url).href,
    cookie: answer.headers.getSetCookie()[0]?.split(";")[0],
    page: await answer.text(),
  };
}

/** The hidden field and the address of a page's one form. */
function formOf({ page }, field, url) {
  const value = new RegExp(`name="${field}" value="([^"]*)"`).exec(page);
  const action = /<form[^>]* action="([^"]*)"/.exec(page);
  if (!value || !action) throw new Error(`no form with ${field} at ${url}: ${page}`);
  return { value: value[1], action: new URL(action[1], url).href };
}

/**
 * Follows a connect link, consents at the provider as `account`, and presses Connect on Grantry's own
 * page. Answers where the browser is sent at last.
 */
export async function walk(link, account) {
  const away = await open(link);
  const consent = formOf(await open(away.to), "request", away.to);
  const form = { request: consent.value, decision: "connect", account };
  const callback = await open(consent.action, undefined, form);
  const { to } = await open(callback.to, away.cookie);
  const confirm = formOf(await open(to, away.cookie), "code", to);
  const pressed = { code: confirm.value, decision: "connect" };
  return (await open(confirm.action, away.cookie, pressed)).to;
}
