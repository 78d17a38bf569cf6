// Compiled and never run: what the types let through, and what they do not.

import { createClient } from "@grantry/client/browser";
import { GrantryError, createServerClient, verifyWebhook } from "@grantry/client/server";

const client = createClient({ baseUrl: "https://connect.example", token: () => "jwt" });
const server = createServerClient({ baseUrl: new URL("https://connect.example"), apiKey: "key" });

export async function refusedByTheCompiler(error: GrantryError) {
  // @ts-expect-error: no such code
  if (error.code === "not_conected") return;
  if (error.code === "not_connected" || error.reason === "grant_revoked") return;
  // @ts-expect-error: a whole number of seconds, not text
  await server.getToken({ connectorId: "files", minTtl: "60" });
  // @ts-expect-error: a status is of a user
  server.listConnectors({ pageSize: 1 });
  // @ts-expect-error: how the flow ends is the method's own
  await client.connect({ connectorId: "files", returnUrl: "https://shop.example/", display: "popup" });
  const end = await client.connectInPopup({ connectorId: "files", returnUrl: "https://shop.example/" });
  // @ts-expect-error: known only where it is connected
  end.connectionId satisfies string;
  if (end.status === "connected") end.connectionId satisfies string;
  // @ts-expect-error: no such end
  if (end.status === "aborted") return;
  const { accessToken, expiresAt } = await server.getToken({ connectorId: "files" });
  accessToken satisfies string;
  // @ts-expect-error: some providers say nothing of an end
  expiresAt satisfies string;
  const event = await verifyWebhook({ body: "", headers: {}, secrets: [] });
  // @ts-expect-error: no such type
  if (event.type === "connection.conected") return;
  // @ts-expect-error: not every event has it
  event.reason satisfies string;
  if (event.type === "connection.reconnect_required") event.reason satisfies string;
}
