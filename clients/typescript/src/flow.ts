// How a connect flow ends: as parameters of the return URL, or members of a popup's message.
// docs/CONNECT.md has the table.

/** Why a flow did not end well. */
export const FLOW_CODES = [
  "access_denied",
  "cancelled",
  "session_expired",
  "account_mismatch",
  "code_refused",
  "connector_changed",
  "id_token_invalid",
  "mixup_suspected",
  "not_stored",
  "provider_refused",
  "provider_unavailable",
  "too_many_accounts",
  "user_mismatch",
] as const;

/** Why a flow did not end well; `unknown` is nothing that Grantry says. */
export type FlowCode = (typeof FLOW_CODES)[number] | "unknown";

/** The account is connected. */
export interface Connected {
  status: "connected";
  connectionId: string;
  /** The provider granted less than the connector asks for. What was granted works. */
  missingScopes: boolean;
  /** Whether the connection outlives its access token. */
  refreshable: boolean;
}

/** Nothing was connected: the user said no, or it did not work. */
export interface NotConnected {
  status: "denied" | "cancelled" | "expired" | "failed";
  code: FlowCode;
}

/** How a flow ended. */
export type Outcome = Connected | NotConnected;

/** The provider agreed, and the app has to complete the flow with this code. */
export interface Authorized {
  status: "authorized";
  code: string;
}

const STATUSES = ["denied", "cancelled", "expired", "failed"] as const;

/** Reads how a flow ended. `member` answers a parameter or member, if there is one. */
export function flowEnd(member: (name: string) => string | undefined): Outcome | Authorized {
  const [status, code] = [member("status"), member("code")];
  if (status === "authorized" && code !== undefined) return { status, code };
  const connectionId = member("connection_id");
  if (status === "connected" && connectionId !== undefined) {
    const missingScopes = member("missing_scopes") === "true";
    return { status, connectionId, missingScopes, refreshable: member("refreshable") !== "false" };
  }
  return {
    status: STATUSES.find((known) => known === status) ?? "failed",
    code: FLOW_CODES.find((known) => known === code) ?? "unknown",
  };
}
