// A scripted API for what the real one does not do on demand.

import assert from "node:assert/strict";
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";

import "./globals.js";

/** A request as it arrived. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}

/** An answer. Text is sent as it is, everything else as JSON. */
export interface Scripted {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** The connection ends without an answer. */
  lost?: true;
  /** Waited for before the answer is sent. */
  after?: Promise<unknown>;
}

/** Answers one request after the other as the script says, and keeps what it saw. */
export async function fakeApi(context: TestContext, script: Scripted[]) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const { method = "", url: path = "", headers } = request;
    seen.push({ method, path, headers, body: await text(request) });
    const answer = script[seen.length - 1] ?? { status: 500, body: "the script is over" };
    await answer.after;
    if (answer.lost) return response.destroy();
    response.writeHead(answer.status ?? 200, answer.headers);
    return response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { baseUrl: `http://127.0.0.1:${port}`, seen };
}

/** A problem as the API answers it. */
export function problem(status: number, code: string, more: object = {}): Scripted {
  const body = { type: `urn:grantry:problem:${code}`, title: code, status, detail: `${code}.`, code, ...more };
  return { status, body };
}

/** An access token as the API answers it. */
export const TOKEN = {
  access_token: "at-1",
  token_type: "Bearer",
  expires_at: "2026-11-23T10:30:00Z",
  scopes: ["read"],
  connection_config: { instance_host: "acme.example" },
};

/** Waits for something that happens without this test, for twenty seconds at most. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const begun = Date.now(); !isSo(); await new Promise(setImmediate)) {
    assert(Date.now() - begun < 20_000, what);
  }
}
