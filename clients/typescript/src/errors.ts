// What goes wrong, in one class.

import type { FieldError, ProblemCode, ReconnectReason } from "./types.js";

/** What this package says itself. */
export type ClientCode =
  /** No answer: no network, a name that does not resolve, CORS, or it took too long. */
  | "unreachable"
  /** An answer that is not of this API, such as a proxy's page. */
  | "unexpected_answer";

/** Why a call failed. A newer Grantry may answer codes that are not listed here. */
export type ErrorCode = ProblemCode | ClientCode;

/** A call that failed. */
export class GrantryError extends Error {
  override readonly name = "GrantryError";
  /** The HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly code: ErrorCode;
  /** Why the user has to connect again, with `reconnect_required`. */
  readonly reason: ReconnectReason | undefined;
  /** What is wrong with which field, with `invalid_request`. */
  readonly fieldErrors: readonly FieldError[];
  /** In how many seconds to ask again, where the API says so. */
  readonly retryAfter: number | undefined;
  /** The plan that would do, with `plan_required`. */
  readonly requiredPlan: string | undefined;
  /** The scope the API key would need, with `insufficient_scope`. */
  readonly requiredScope: string | undefined;

  constructor(message: string, facts: Facts) {
    super(message, "cause" in facts ? { cause: facts.cause } : undefined);
    this.status = facts.status;
    this.code = facts.code;
    this.reason = facts.reason;
    this.fieldErrors = facts.fieldErrors ?? [];
    this.retryAfter = facts.retryAfter;
    this.requiredPlan = facts.requiredPlan;
    this.requiredScope = facts.requiredScope;
  }
}

interface Facts {
  status: number;
  code: ErrorCode;
  reason?: ReconnectReason | undefined;
  fieldErrors?: readonly FieldError[] | undefined;
  retryAfter?: number | undefined;
  requiredPlan?: string | undefined;
  requiredScope?: string | undefined;
  cause?: unknown;
}

/** No answer came. */
export function unreachable(cause: unknown): GrantryError {
  return new GrantryError("Grantry cannot be reached", { status: 0, code: "unreachable", cause });
}

/** An answer came, and not one of this API. */
export function unexpected(status: number): GrantryError {
  const message = `Grantry answered ${status} with something else than its JSON`;
  return new GrantryError(message, { status, code: "unexpected_answer" });
}

/** A refusal: a problem (RFC 9457), an OAuth error (RFC 6749), or the gateway's own message. */
export function refusal(status: number, retryAfter: number | undefined, body: unknown): GrantryError {
  if (body === null || typeof body !== "object") return unexpected(status);
  const said = body as Partial<Refusal>;
  const code = said.code ?? OF_THE_GATEWAY[status];
  const message = said.detail ?? said.errorDescription ?? said.title ?? said.message;
  if (code === undefined || message === undefined) return unexpected(status);
  return new GrantryError(message, {
    status,
    code,
    reason: said.reason,
    fieldErrors: said.errors,
    retryAfter,
    requiredPlan: said.requiredPlan,
    requiredScope: said.requiredScope,
  });
}

/** The members of all three, in camelCase. */
interface Refusal {
  code: ProblemCode;
  detail: string;
  title: string;
  errorDescription: string;
  message: string;
  reason: ReconnectReason;
  errors: FieldError[];
  requiredPlan: string;
  requiredScope: string;
}

/** What the gateway refuses itself has no code: the one that the functions would give. */
const OF_THE_GATEWAY: Record<number, ProblemCode> = {
  401: "unauthenticated",
  403: "forbidden",
  404: "not_found",
  413: "payload_too_large",
  429: "rate_limited",
  500: "internal",
  503: "temporarily_unavailable",
  504: "temporarily_unavailable",
};
