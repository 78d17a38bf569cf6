// A connect flow in a window of its own.

import { type Authorized, type Outcome, flowEnd } from "./flow.js";

/** What a popup needs of the page's window. */
export interface PopupHost {
  open(url: string, target: string, features: string): Popup | null;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  setInterval(callback: () => void, milliseconds: number): unknown;
  clearInterval(interval: never): void;
  readonly location: { readonly origin: string };
}

/** What is done with the window that was opened. */
export interface Popup {
  readonly closed: boolean;
  readonly location: { replace(url: string): void };
  close(): void;
}

/** The window looks closed: by its user, or to us alone (see {@link watch}). */
export interface Closed {
  status: "closed";
}

/** The browser let no window open. */
export interface Blocked {
  status: "blocked";
}

const MESSAGE = "grantry.connect";
/** Milliseconds between two looks at whether the window is still there. */
const LOOK = 500;

/** Opens an empty window. Call it before anything is awaited, or the browser blocks it. */
export function openPopup(host: PopupHost, width: number, height: number): Popup | null {
  return host.open("about:blank", "_blank", `popup,width=${width},height=${height}`);
}

/**
 * Sends the window to a connect link and answers how the flow ends in it.
 *
 * A provider's page that isolates itself (`Cross-Origin-Opener-Policy`) takes its opener from the
 * window, and the window then looks closed to the opener while its user goes on. Such a flow ends
 * at the return URL, whose page tells of it: see `finish` of the client.
 */
export function watch(host: PopupHost, popup: Popup, connectUrl: string): Promise<Outcome | Authorized | Closed> {
  const { promise, resolve } = settling<Outcome | Authorized | Closed>();
  // The last page of a flow is Grantry's own and in this very window. A page elsewhere that says
  // the same is not believed.
  const { origin } = new URL(connectUrl);
  const listener = (event: MessageEvent) => {
    const isFromPopup = event.origin === origin && event.source === (popup as unknown);
    if (!isFromPopup || event.data?.type !== MESSAGE) return;
    const members: Record<string, unknown> = event.data;
    resolve(flowEnd((name) => (typeof members[name] === "string" ? members[name] : undefined)));
  };
  // What the window says it says before it closes, so a second look finds it said.
  let looksClosed = false;
  const look = () => {
    if (looksClosed) resolve({ status: "closed" });
    looksClosed = popup.closed;
  };
  host.addEventListener("message", listener);
  const looking = host.setInterval(look, LOOK);
  popup.location.replace(connectUrl);
  return promise.finally(() => {
    host.removeEventListener("message", listener);
    host.clearInterval(looking as never);
  });
}

function settling<Value>() {
  let resolve!: (value: Value) => void;
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}
