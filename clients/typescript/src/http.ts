// One call of the API, repeated while that is safe and of use.

import { GrantryError, refusal, unexpected, unreachable } from "./errors.js";
import { inCamelCase, inSnakeCase } from "./names.js";
import type { ListOptions } from "./types.js";

/** How to reach Grantry. */
export interface ConnectionOptions {
  /** Where the API is, such as `https://connect.example.com`. */
  baseUrl: string | URL;
  /** What to send requests with; the global `fetch` when left out. */
  fetch?: typeof fetch;
  /** For how many milliseconds an answer is waited for; 30 000 when left out. */
  timeout?: number;
  /**
   * The longest `Retry-After`, in seconds, that a call waits for before it asks again; 10 when
   * left out. A longer one fails the call, and the error's `retryAfter` tells it.
   */
  maxRetryAfter?: number;
}

/** A request. */
export interface Call {
  method: "GET" | "POST" | "DELETE";
  /** The path's segments, not encoded. */
  path: readonly string[];
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  /** Sent as JSON, in snake_case; or as a form. */
  body?: object;
  /** The key of a change; nothing for what changes nothing, or the same when it is repeated. */
  idempotencyKey?: string;
}

/** How often a call is repeated at most. */
const REPEATS = 2;
/** Milliseconds before the first repeat where the API says nothing; twice as many before the next. */
const PAUSE = 250;

/** Sends the calls of one client. */
export class Transport {
  readonly #base: string;
  readonly #options: ConnectionOptions;
  readonly #bearer: () => Promise<string> | string;

  /** `bearer` is asked for the credential before each request. */
  constructor(options: ConnectionOptions, bearer: () => Promise<string> | string) {
    this.#base = new URL(options.baseUrl).href.replace(/\/+$/, "");
    this.#options = options;
    this.#bearer = bearer;
  }

  /**
   * The answer to a call. Every call of this package may be repeated: it reads, carries an
   * idempotency key, or does by itself nothing twice.
   */
  async send<Body>(call: Call): Promise<Body> {
    for (let repeats = 0; ; repeats += 1) {
      try {
        return (await this.#once(call)) as Body;
      } catch (error) {
        if (!(error instanceof GrantryError) || repeats === REPEATS) throw error;
        const pause = this.#pauseAfter(error, repeats);
        if (pause === undefined) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** The items of a list, page after page. */
  async *list<Item>(path: readonly string[], options: ListOptions, headers = {}): AsyncGenerator<Item, void, undefined> {
    let cursor: string | undefined;
    do {
      const query = { limit: options.pageSize, cursor };
      const page: Page<Item> = await this.send({ method: "GET", path, query, headers });
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }

  async #once(call: Call): Promise<unknown> {
    const url = this.#base + pathOf(call.path) + queryOf(call.query ?? {});
    const headers: Record<string, string> = {
      ...call.headers,
      accept: "application/json",
      authorization: `Bearer ${await this.#bearer()}`,
    };
    if (call.idempotencyKey !== undefined) headers["idempotency-key"] = call.idempotencyKey;
    const request: RequestInit = {
      method: call.method,
      headers,
      // The API redirects nobody who calls it, and a token goes nowhere else.
      redirect: "error",
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(this.#options.timeout ?? 30_000),
    };
    if (call.body instanceof URLSearchParams) {
      request.body = call.body;
    } else if (call.body !== undefined) {
      headers["content-type"] = "application/json";
      request.body = JSON.stringify(inSnakeCase(call.body));
    }
    const { status, retryAfter, text } = await this.#answer(url, request);
    const body = parsed(text);
    if (status >= 300) throw refusal(status, retryAfter, body);
    if (body === undefined) throw unexpected(status);
    return body;
  }

  async #answer(url: string, request: RequestInit) {
    try {
      const response = await (this.#options.fetch ?? fetch)(url, request);
      // The API says it in seconds; a date, which a proxy might say, is not waited for.
      const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
      const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
      return { status: response.status, retryAfter, text: await response.text() };
    } catch (cause) {
      throw unreachable(cause);
    }
  }

  /** How many milliseconds to wait before asking again; `undefined` where that is of no use. */
  #pauseAfter({ status, retryAfter }: GrantryError, repeats: number): number | undefined {
    const longest = this.#options.maxRetryAfter ?? 10;
    // The same change is being made, and its outcome is answered when it is known.
    const isBusy = status === 409 && retryAfter !== undefined;
    // 0: no answer, and nobody knows whether the request arrived.
    if (!isBusy && ![0, 429, 503].includes(status)) return undefined;
    if (retryAfter === undefined) return PAUSE * 2 ** repeats;
    return retryAfter <= longest ? retryAfter * 1000 : undefined;
  }
}

interface Page<Item> {
  items: Item[];
  nextCursor?: string;
}

/** A key for one change, out of 128 random bits. */
export function newIdempotencyKey(): string {
  // Unlike `randomUUID` this is there on pages without TLS too.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pathOf(segments: readonly string[]): string {
  for (const segment of segments) {
    // A URL resolves these two, encoded or not, and the call would go to another path.
    if (["", ".", ".."].includes(segment)) throw new TypeError(`"${segment}" cannot be an id`);
  }
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join("");
}

function queryOf(query: Record<string, string | number | undefined>): string {
  const said = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(said.map(([name, value]) => [name, String(value)])).toString();
  return text === "" ? "" : `?${text}`;
}

/** JSON in camelCase; `undefined` for anything else. */
function parsed(text: string): unknown {
  try {
    return inCamelCase(JSON.parse(text));
  } catch {
    return undefined;
  }
}
