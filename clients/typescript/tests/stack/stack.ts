// One workspace of the stack that `make test` deploys, and a person with a browser.

import assert from "node:assert/strict";
import dns from "node:dns";
import { readFileSync } from "node:fs";

import type { PageWindow } from "@grantry/client/browser";

import "../globals.js";

// Names under localhost are this machine (RFC 6761), which not every resolver knows.
const lookup = dns.lookup as (...given: unknown[]) => void;
dns.lookup = ((host: string, ...rest: unknown[]) =>
  lookup(host.endsWith(".localhost") ? "127.0.0.1" : host, ...rest)) as typeof dns.lookup;

/** Where everything is. */
export const STACK: { public_url: string; issuer_url: string; provider_url: string } = described();

/** The return URL of every app. Nothing listens there: the tests are the browser. */
export const RETURN = "http://127.0.0.1:9/return";

function described() {
  const path = process.env["GRANTRY_E2E_STACK"];
  assert(path, "these tests need a deployed stack: run `make test`");
  return JSON.parse(readFileSync(path, "utf8"));
}

interface App {
  completion?: "app" | "screen";
  return_urls?: string[];
}

/** A workspace with an app, an API key of it and an OAuth client at the provider. */
export class Workspace {
  apiKey = "";
  readonly #clientSecret = crypto.randomUUID();

  private constructor(readonly id: string) {}

  /** A workspace named after its story. */
  static async new(story: string, app: App = {}): Promise<Workspace> {
    // Stories are told more than once on a stack that keeps running.
    const workspace = new Workspace(`ts-${story}-${crypto.randomUUID().slice(0, 8)}`);
    const redirects = { path_contains: "/oauth/callback/" };
    const client = { id: workspace.id, secrets: [workspace.#clientSecret], redirects };
    await json("POST", `${STACK.provider_url}/_control/clients`, "", client);
    await workspace.admin("PUT", "/v1/apps/shop", { name: "Shop", return_urls: [RETURN], ...app });
    const key = await workspace.admin("POST", "/v1/apps/shop/keys", { name: "backend" });
    workspace.apiKey = key["key"];
    return workspace;
  }

  /** A call of the workspace's owner. */
  async admin(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
    const claims = { workspace_id: this.id, role: "owner", plan: "builder" };
    const jwt = await mint("root", claims);
    return json(method, STACK.public_url + path, jwt, body, headers);
  }

  /** The JWT of a user of the app. */
  user(user: string): Promise<string> {
    return mint(user, { workspace_id: this.id, app_id: "shop" });
  }

  /** A connector at the provider. Answers its id. */
  async connector(more: object = {}): Promise<string> {
    const at = STACK.provider_url;
    const made = await this.admin("POST", "/v1/connectors", {
      name: "Files",
      provider: "custom",
      client_id: this.id,
      client_secret: this.#clientSecret,
      scopes: ["read"],
      config: { authorize_url: `${at}/authorize`, token_url: `${at}/token`, revoke_url: `${at}/revoke` },
      ...more,
    });
    return made["id"];
  }
}

function mint(sub: string, claims: object): Promise<string> {
  const minted = json("POST", `${STACK.issuer_url}/_mint`, "", { sub, claims });
  return minted.then((answer) => answer["token"]);
}

/** One request that has to succeed. */
async function json(method: string, url: string, bearer: string, body?: object, more: Record<string, string> = {}) {
  const headers = { "content-type": "application/json", ...(bearer && { authorization: `Bearer ${bearer}` }), ...more };
  const response = await fetch(url, { method, headers, body: body ? JSON.stringify(body) : null });
  const text = await response.text();
  assert(response.ok, `${method} ${url} answered ${response.status}: ${text}`);
  return text === "" ? {} : JSON.parse(text);
}

/** A browser without scripts: where each page leads, and the cookie of the flow. */
export class Person {
  #cookie = "";

  /** Follows a connect link and agrees at the provider. Answers where that leads. */
  async agree(connectUrl: string, account: string): Promise<string> {
    return this.#decide(connectUrl, { decision: "connect", account });
  }

  /** Follows a connect link and says no at the provider. Answers where that leads. */
  async refuse(connectUrl: string): Promise<string> {
    return this.#decide(connectUrl, { decision: "cancel" });
  }

  /** Presses Connect on our own page. Answers where that leads. */
  async confirm(page: string): Promise<string> {
    const { text } = await this.#open(page, 200);
    const code = attribute(text, 'name="code" value');
    const form = new URLSearchParams({ code, decision: "connect" });
    return (await this.#open(new URL("/oauth/confirm", page).href, 303, form)).location;
  }

  /** Opens the last page of a popup. Answers what its script posts, and to which origin. */
  async handedOver(page: string): Promise<{ data: unknown; to: string }> {
    const { text } = await this.#open(page, 200);
    return { data: JSON.parse(attribute(text, "data-message")), to: attribute(text, "data-origin") };
  }

  async #decide(connectUrl: string, decision: Record<string, string>): Promise<string> {
    const { location } = await this.#open(connectUrl, 303);
    const { text } = await this.#open(location, 200);
    const request = attribute(text, 'name="request" value');
    const target = new URL(attribute(text, "action"), location).href;
    const callback = await this.#open(target, 303, new URLSearchParams({ request, ...decision }));
    return (await this.#open(callback.location, 303)).location;
  }

  async #open(url: string, status: number, form?: URLSearchParams) {
    const headers: Record<string, string> = url.startsWith(STACK.public_url) ? { cookie: this.#cookie } : {};
    if (form) headers["origin"] = new URL(url).origin;
    const request: RequestInit = { redirect: "manual", headers };
    const response = await fetch(url, form ? { ...request, method: "POST", body: form } : request);
    const text = await response.text();
    assert.equal(response.status, status, `${url}: ${text}`);
    // The last page of a flow takes the cookie back.
    const [cookie] = response.headers.getSetCookie();
    if (cookie?.startsWith("__Host-")) this.#cookie = cookie.split(";")[0] ?? "";
    return { text, location: response.headers.get("location") ?? "" };
  }
}

function attribute(page: string, name: string): string {
  const [, value] = new RegExp(`${name}="([^"]*)"`).exec(page) ?? [];
  assert(value !== undefined, `no ${name}: ${page}`);
  return value.replaceAll("&#34;", '"').replaceAll("&#38;", "&").replaceAll("&amp;", "&");
}

/** A page at the return URL's origin, whose popups are opened by a person. */
export class Page implements PageWindow {
  readonly location = { href: RETURN, origin: new URL(RETURN).origin, assign: (url: string) => void (this.left = url) };
  /** Where this window was sent. */
  left = "";
  #listener: (event: MessageEvent) => void = () => {};
  /** What went wrong in the popup. */
  readonly trouble: Promise<never>;
  #fail!: (error: unknown) => void;

  constructor(readonly account: string) {
    this.trouble = new Promise((_, reject) => (this.#fail = reject));
  }

  open() {
    const popup = {
      closed: false,
      location: { replace: (url: string) => void this.#walk(popup, url).catch(this.#fail) },
      close: () => void (popup.closed = true),
    };
    return popup;
  }
  addEventListener(_: "message", listener: (event: MessageEvent) => void) {
    this.#listener = listener;
  }
  removeEventListener() {
    this.#listener = () => {};
  }
  setInterval(look: () => void, milliseconds: number) {
    return setInterval(look, milliseconds);
  }
  clearInterval(interval: never) {
    clearInterval(interval);
  }

  /** What a person and the page's script do in the popup. */
  async #walk(popup: { closed: boolean }, url: string) {
    const person = new Person();
    const last = await person.agree(url, this.account);
    const { data, to } = await person.handedOver(last);
    // The browser delivers it to no other origin.
    assert.equal(to, this.location.origin);
    const { origin } = new URL(last);
    this.#listener({ data, origin, source: popup as unknown } as MessageEvent);
    popup.closed = true;
  }
}
