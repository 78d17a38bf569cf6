// The API's types under the names that this package uses. They are made out of its OpenAPI
// document, which docs/API.md shows.

import type { components, operations } from "./api.js";

type Schemas = components["schemas"];

/** What an operation answers with JSON when it succeeds. */
type Answer<Name extends keyof operations> = {
  [Status in keyof operations[Name]["responses"]]: operations[Name]["responses"][Status] extends {
    content: { "application/json": infer Body };
  }
    ? Body
    : never;
}[keyof operations[Name]["responses"]];

/** A connector of the app, with the user's status in it. */
export type ConnectorStatus = Schemas["StatusOfConnector"];
/** One of a user's accounts, where a connector takes several. */
export type AccountStatus = Schemas["StatusOfAccount"];
/** Something that happened to a user's own connections. */
export type AuditEntry = Schemas["MyAuditEntry"];
/** A flow that has begun: where to send the browser, and until when that works. */
export type Begun = Schemas["Begun"];
/** A connection, as the call answers that completes it. */
export type Completed = Schemas["Completed"];
/** How a disconnect went. */
export type Disconnected = Schemas["Disconnected"];
/** How an erasure went. */
export type Erased = Answer<"eraseUser">;
/** An access token. */
export type Token = Schemas["Token"];
/** An access token in the words of RFC 8693, section 2.2.1. */
export type ExchangedToken = Answer<"exchangeToken">;
/** Why a user has to connect again. */
export type ReconnectReason = Schemas["ReconnectReason"];
/** The name of a refusal of the API. docs/API.md says what each means. */
export type ProblemCode = Schemas["Problem"]["code"];
/** What is wrong with one field of a request. */
export type FieldError = Schemas["FieldError"];
/** An event, of one of the types that docs/EVENTS.md lists. Ignore a newer Grantry's others. */
export type WebhookEvent = Schemas["WebhookEvent"];

/** What to connect, and where the browser comes back to. */
export type ConnectOptions = Omit<Schemas["Begin"], "display">;
/** What to connect, and how the flow ends: at the return URL, or in the window that opened it. */
export type BeginOptions = Schemas["Begin"];

/** Which account. */
export interface AccountOptions {
  connectorId: string;
  /** Which of several accounts of a user; the default one when left out. */
  alias?: string;
}

/** For calls that change something. */
export interface ChangeOptions {
  /**
   * Marks a change, so that it is made once however often it is asked for within a day: 1 to 128
   * printable ASCII characters. A new one for each call when left out, which covers the repeats
   * that this package makes by itself.
   */
  idempotencyKey?: string;
}

/** For lists. Pages are fetched as they are walked through. */
export interface ListOptions {
  /** How many items to fetch at a time: 1 to 100; 50 when left out. */
  pageSize?: number;
}
