/**
 * For an app's back end, which has an API key: fresh access tokens, and the connections of the
 * app's users. And for whoever is sent Grantry's events: that they are Grantry's.
 *
 * @packageDocumentation
 */

import { type ConnectionOptions, Transport, newIdempotencyKey } from "./http.js";
import type {
  AccountOptions,
  BeginOptions,
  Begun,
  ChangeOptions,
  ConnectorStatus,
  Disconnected,
  Erased,
  ExchangedToken,
  ListOptions,
  Token,
} from "./types.js";

export { type ClientCode, type ErrorCode, GrantryError } from "./errors.js";
export type { ConnectionOptions } from "./http.js";
export type * from "./types.js";
export { type SignedWebhook, type WebhookCode, WebhookError, verifyWebhook } from "./webhook.js";

/** How to reach Grantry, and as whom. */
export interface ServerClientOptions extends ConnectionOptions {
  /** The app's API key, `grantry_sk_…`. It belongs on servers only. */
  apiKey: string;
}

/** For whom a call is made. */
export interface OnBehalfOf {
  /**
   * The JWT with which the user came to the app. Grantry verifies it, and a key that was made
   * `on_behalf_of_only` works with nothing else.
   */
  onBehalfOf?: string;
}

/** Which token. */
export interface GetTokenOptions extends AccountOptions, OnBehalfOf {
  /**
   * Whose token, as the `sub` of the user's JWT. Left out where `onBehalfOf` says so, and at a
   * connector of kind `app`, whose one account everyone in the app uses.
   */
  userId?: string;
  /** For how many seconds the token has to be good at least; 60 when left out. */
  minTtl?: number;
  /** What the caller needs. Where that was granted, it does not matter what else was not. */
  scopes?: readonly string[];
}

/** What to exchange for an access token. */
export interface ExchangeOptions {
  connectorId: string;
  /** The user's JWT. */
  subjectToken: string;
  /** What that is; a JWT when left out. */
  subjectTokenType?: "jwt" | "id_token";
  /** What the caller needs. */
  scopes?: readonly string[];
}

/** Which user of the app. */
export interface UserOptions extends OnBehalfOf {
  /** The `sub` of the user's JWT. */
  userId: string;
}

/** A client with an app's API key. */
export function createServerClient(options: ServerClientOptions): ServerClient {
  return new ServerClient(options);
}

/**
 * Every method rejects with a `GrantryError`. What Grantry cannot answer for the moment is asked
 * again, twice at most, and what changes something carries an idempotency key meanwhile.
 */
export class ServerClient {
  readonly #transport: Transport;
  /** Look-ups under way, by what they ask for. */
  readonly #lookUps = new Map<string, Promise<Token>>();

  /** Made by {@link createServerClient}. */
  constructor(options: ServerClientOptions) {
    this.#transport = new Transport(options, () => options.apiKey);
  }

  /**
   * A fresh access token. Ask whenever one is needed and keep none: Grantry refreshes it ahead of
   * its end, and a kept one would be handed out after the user disconnected. Equal calls at the
   * same time share one request.
   */
  getToken({ onBehalfOf, ...body }: GetTokenOptions): Promise<Token> {
    const key = JSON.stringify([onBehalfOf, Object.entries(body).sort()]);
    const known = this.#lookUps.get(key);
    if (known !== undefined) return known;
    const headers = riding(onBehalfOf);
    const call = { method: "POST", path: ["v1", "tokens"], headers, body } as const;
    const lookUp = this.#transport.send<Token>(call).finally(() => this.#lookUps.delete(key));
    this.#lookUps.set(key, lookUp);
    return lookUp;
  }

  /** {@link getToken} as an OAuth token exchange (RFC 8693). */
  exchangeToken(options: ExchangeOptions): Promise<ExchangedToken> {
    const kind = options.subjectTokenType ?? "jwt";
    const body = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: options.subjectToken,
      subject_token_type: `urn:ietf:params:oauth:token-type:${kind}`,
      audience: options.connectorId,
    });
    if (options.scopes !== undefined) body.set("scope", options.scopes.join(" "));
    return this.#transport.send({ method: "POST", path: ["v1", "oauth", "token"], body });
  }

  /** The connectors of the app with a user's status in each. */
  listConnectors(options: UserOptions & ListOptions): AsyncGenerator<ConnectorStatus, void, undefined> {
    const headers = riding(options.onBehalfOf);
    return this.#transport.list(connectionsOf(options.userId), options, headers);
  }

  /**
   * Begins to connect for a user. The flow is finished by that user: with their own JWT (the
   * browser's half of this package), or on Grantry's confirm page.
   */
  beginConnect(options: UserOptions & BeginOptions & ChangeOptions): Promise<Begun> {
    const { userId, onBehalfOf, idempotencyKey = newIdempotencyKey(), ...body } = options;
    const headers = riding(onBehalfOf);
    return this.#transport.send({ method: "POST", path: connectionsOf(userId), headers, body, idempotencyKey });
  }

  /** Disconnects a user's account. What is not connected is answered alike. */
  disconnect(options: UserOptions & AccountOptions & ChangeOptions): Promise<Disconnected> {
    const { userId, connectorId, alias, onBehalfOf, idempotencyKey = newIdempotencyKey() } = options;
    const path = [...connectionsOf(userId), connectorId];
    const headers = riding(onBehalfOf);
    return this.#transport.send({ method: "DELETE", path, query: { alias }, headers, idempotencyKey });
  }

  /** Disconnects all of a user's accounts in the app, and erases what is held of them. */
  eraseUser(options: UserOptions & ChangeOptions): Promise<Erased> {
    const { userId, onBehalfOf, idempotencyKey = newIdempotencyKey() } = options;
    const headers = riding(onBehalfOf);
    return this.#transport.send({ method: "DELETE", path: ["v1", "users", userId], headers, idempotencyKey });
  }
}

function connectionsOf(userId: string): string[] {
  return ["v1", "users", userId, "connections"];
}

function riding(onBehalfOf: string | undefined): Record<string, string> {
  return onBehalfOf === undefined ? {} : { "on-behalf-of": `Bearer ${onBehalfOf}` };
}
