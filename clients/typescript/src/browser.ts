/**
 * For an app's pages, whose user is signed in: connect accounts, list and disconnect them.
 *
 * @packageDocumentation
 */

import { type Authorized, type Connected, type Outcome, flowEnd } from "./flow.js";
import { type ConnectionOptions, Transport, newIdempotencyKey } from "./http.js";
import { type Blocked, type Closed, type PopupHost, openPopup, watch } from "./popup.js";
import type {
  AccountOptions,
  AuditEntry,
  BeginOptions,
  Begun,
  ChangeOptions,
  Completed,
  ConnectOptions,
  ConnectorStatus,
  Disconnected,
  ListOptions,
} from "./types.js";

export { type ClientCode, type ErrorCode, GrantryError } from "./errors.js";
export type { Authorized, Connected, FlowCode, NotConnected, Outcome } from "./flow.js";
export type { ConnectionOptions } from "./http.js";
export type { Blocked, Closed, Popup, PopupHost } from "./popup.js";
export type * from "./types.js";

/** How to reach Grantry, and as whom. */
export interface ClientOptions extends ConnectionOptions {
  /** Answers the JWT of the user who is signed in now. Asked before each request. */
  token: () => Promise<string> | string;
  /** The window that opens popups and is sent away; the page's own when left out. */
  window?: PageWindow;
}

/** What is used of the page's window. */
export interface PageWindow extends PopupHost {
  readonly location: { readonly origin: string; readonly href: string; assign(url: string): void };
}

/** How the popup looks. */
export interface PopupOptions {
  /** In pixels; 520 when left out. */
  width?: number;
  /** In pixels; 720 when left out. */
  height?: number;
}

/** The channel on which the pages of an origin tell each other what was connected. */
const CHANNEL = "grantry.connected";

/** A client with the JWT of the user who is signed in. */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}

/**
 * Every method rejects with a `GrantryError`. What Grantry cannot answer for the moment is asked
 * again, twice at most, and what changes something carries an idempotency key meanwhile.
 */
export class Client {
  readonly #transport: Transport;
  readonly #window: PageWindow | undefined;

  /** Made by {@link createClient}. */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(options, options.token);
    this.#window = options.window;
  }

  /** The connectors of the app with my status in each. */
  listConnectors(options: ListOptions = {}): AsyncGenerator<ConnectorStatus, void, undefined> {
    return this.#transport.list(["v1", "me", "connectors"], options);
  }

  /** What happened to my connections in this app, latest first. */
  audit(options: ListOptions = {}): AsyncGenerator<AuditEntry, void, undefined> {
    return this.#transport.list(["v1", "me", "audit"], options);
  }

  /** Begins to connect, and answers the link to send the browser to. */
  beginConnect(options: BeginOptions & ChangeOptions): Promise<Begun> {
    const { idempotencyKey = newIdempotencyKey(), ...body } = options;
    return this.#transport.send({ method: "POST", path: ["v1", "me", "connections"], body, idempotencyKey });
  }

  /** Connects in this window: leaves the page for the provider's. The return URL calls {@link finish}. */
  async connect(options: ConnectOptions): Promise<void> {
    const { connectUrl } = await this.beginConnect({ ...options, display: "redirect" });
    this.#page.location.assign(connectUrl);
  }

  /**
   * Connects in a popup, and answers how that ended. Call it in the handler of a click, before
   * anything is awaited; where the browser opens no popup even so (`blocked`), nothing has begun,
   * and {@link connect} is the other way.
   *
   * Some providers cut a popup off from its opener. It then looks `closed`, and its user comes to
   * the return URL in it, where {@link finish} completes the flow and {@link onConnected} tells
   * this page of it.
   *
   * The return URL has to be of this page's origin: to no other the popup tells anything.
   */
  async connectInPopup(options: ConnectOptions & PopupOptions): Promise<Outcome | Closed | Blocked> {
    const { width = 520, height = 720, ...begin } = options;
    const page = this.#page;
    if (new URL(begin.returnUrl).origin !== page.location.origin) {
      throw new TypeError(`a popup tells this page nothing when the return URL is not at ${page.location.origin}`);
    }
    const popup = openPopup(page, width, height);
    if (popup === null) return { status: "blocked" };
    try {
      const { connectUrl } = await this.beginConnect({ ...begin, display: "popup" });
      const end = await watch(page, popup, connectUrl);
      return end.status === "closed" ? end : await this.#conclude(end);
    } finally {
      popup.close();
    }
  }

  /**
   * For the page at the return URL: how the flow ended that leads there, and the completion where
   * the app does that. `undefined` where the address tells of no flow. The completion code is good
   * once: take the parameters off the address afterwards.
   */
  async finish(address: string | URL = this.#page.location.href): Promise<Outcome | undefined> {
    const { searchParams } = new URL(address);
    if (!searchParams.has("status")) return undefined;
    return this.#conclude(flowEnd((name) => searchParams.get(name) ?? undefined));
  }

  /** Completes a flow with its completion code, as the user who is signed in now. */
  complete(code: string): Promise<Completed> {
    // Without an idempotency key: a repeated completion answers the same by itself, and a key
    // would keep an answer that says to repeat the call.
    return this.#transport.send({ method: "POST", path: ["v1", "me", "connections", "complete"], body: { code } });
  }

  /** Disconnects an account. What is not connected is answered alike. */
  disconnect(options: AccountOptions & ChangeOptions): Promise<Disconnected> {
    const { connectorId, alias, idempotencyKey = newIdempotencyKey() } = options;
    const path = ["v1", "me", "connections", connectorId];
    return this.#transport.send({ method: "DELETE", path, query: { alias }, idempotencyKey });
  }

  /**
   * Calls `listener` whenever a page of this origin, this one or another, connects an account by
   * {@link connectInPopup} or {@link finish}. Answers how to stop that.
   */
  onConnected(listener: (connected: Connected) => void): () => void {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = (event: MessageEvent<Connected>) => listener(event.data);
    return () => channel.close();
  }

  async #conclude(end: Outcome | Authorized): Promise<Outcome> {
    const outcome = end.status === "authorized" ? connected(await this.complete(end.code)) : end;
    if (outcome.status === "connected") {
      const channel = new BroadcastChannel(CHANNEL);
      channel.postMessage(outcome);
      channel.close();
    }
    return outcome;
  }

  get #page(): PageWindow {
    return this.#window ?? window;
  }
}

function connected(completed: Completed): Connected {
  return {
    status: "connected",
    connectionId: completed.connectionId,
    missingScopes: completed.missingScopes.length > 0,
    refreshable: completed.refreshable,
  };
}
