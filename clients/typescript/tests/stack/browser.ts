// A real browser: headless Chromium, driven by its own driver through WebDriver (W3C), which is
// JSON over HTTP.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

/** What the driver calls a reference to an element (WebDriver, section 12). */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
/** How long something may take that the page does by itself, in milliseconds. */
const SOON = 30_000;
const CHROMIUM = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
  "--disable-background-networking", "--disable-crash-reporter",
];

/** A browser with one window, and nothing in its profile. It ends with the test. */
export class Browser {
  #session = "";

  static async start(context: TestContext): Promise<Browser> {
    const folder = await mkdtemp(join(tmpdir(), "grantry-browser-"));
    // Browsers are in the driver's process group, by which all of them are ended.
    const driver = spawn("chromedriver", ["--port=0"], {
      detached: true,
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = new Promise((resolve) => driver.once("close", resolve));
    const browser = new Browser();
    context.after(async () => {
      // The browser ends with its session, and the driver after it.
      if (browser.#session) await browser.#call("DELETE", "").catch(() => {});
      if (driver.pid !== undefined && driver.exitCode === null) process.kill(-driver.pid, "SIGKILL");
      await ended;
      await rm(folder, { recursive: true, force: true, maxRetries: 20 });
    });
    let at: string | undefined;
    for await (const line of createInterface(driver.stdout)) {
      at = /started successfully on port (\d+)/.exec(line)?.[1];
      if (at) break;
    }
    assert(at, "chromedriver started");
    // As long as the driver writes, somebody has to read.
    driver.stdout.resume();
    browser.#session = `http://127.0.0.1:${at}/session`;
    const alwaysMatch = {
      browserName: "chrome",
      timeouts: { implicit: 20_000, pageLoad: 60_000 },
      "goog:chromeOptions": { args: CHROMIUM },
    };
    const { sessionId } = await browser.#call("POST", "", { capabilities: { alwaysMatch } });
    browser.#session += `/${sessionId}`;
    return browser;
  }

  async goto(url: string): Promise<void> {
    await this.#call("POST", "/url", { url });
  }

  async press(css: string): Promise<void> {
    const element = await this.#call("POST", "/element", { using: "css selector", value: css });
    await this.#call("POST", `/element/${element[ELEMENT]}/click`, {});
  }

  /** Runs a script in the page. */
  run(script: string) {
    return this.#call("POST", "/execute/sync", { script, args: [] });
  }

  /** Waits until the page has worked out something. */
  async has(script: string) {
    return eventually(script, () => this.run(script));
  }

  windows(): Promise<string[]> {
    return this.#call("GET", "/window/handles");
  }

  /** Waits for a window besides these, and goes on in it. */
  async entersAnother(than: string[]): Promise<void> {
    const other = async () => (await this.windows()).find((window) => !than.includes(window));
    await this.enter(await eventually("another window", other));
  }

  async enter(handle: string): Promise<void> {
    await this.#call("POST", "/window", { handle });
  }

  // What the driver answers is looked at by who asked.
  async #call(method: string, path: string, body?: object): Promise<any> {
    const request = { method, headers: { "content-type": "application/json; charset=utf-8" } };
    const said = body ? { ...request, body: JSON.stringify(body) } : request;
    const { value } = await (await fetch(this.#session + path, said)).json();
    if (value?.error) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }
}

async function eventually<Value>(what: string, look: () => Promise<Value | null | undefined>): Promise<Value> {
  for (const begun = Date.now(); Date.now() - begun < SOON; await sleep(100)) {
    const value = await look();
    if (value !== null && value !== undefined) return value;
  }
  return assert.fail(`not within ${SOON} ms: ${what}`);
}
