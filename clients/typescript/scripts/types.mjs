// Makes src/api.ts out of the OpenAPI document: `npm run types -- openapi.json`.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import openapiTypes, { astToString } from "openapi-typescript";

const TARGET = new URL("../src/api.ts", import.meta.url);
const METHODS = ["get", "post", "put", "patch", "delete"];
/** Whom this package calls for, as `x-caller` names them. */
const CALLERS = ["user", "app", "exchange"];
/** Refusals are the same everywhere, and described by these. */
const REFUSALS = ["#/components/schemas/Problem", "#/components/schemas/OAuthError"];

/** The types of a document, as the text of a module. */
export async function types(document) {
  const head = "// Made by scripts/types.mjs out of the OpenAPI document. Do not edit.\n\n";
  const ours = inCamelCase(onlyUsed(document));
  return head + astToString(await openapiTypes(JSON.stringify(ours)));
}

/** What this package calls, how it answers when it succeeds, every event, and what those refer to. */
function onlyUsed(document) {
  const paths = {};
  for (const [path, item] of Object.entries(document.paths)) {
    if (!path.startsWith("/v1/")) continue;
    for (const method of METHODS) {
      if (!CALLERS.includes(item[method]?.["x-caller"])) continue;
      const { operationId, summary, description, requestBody, responses } = item[method];
      const successes = Object.entries(responses).filter(([status]) => status.startsWith("2"));
      (paths[path] ??= {})[method] = {
        operationId, summary, description, requestBody, responses: Object.fromEntries(successes),
      };
    }
  }
  const events = Object.values(document.webhooks).map(({ post }) => post.requestBody.content["application/json"].schema);
  const components = { schemas: { WebhookEvent: { oneOf: events } } };
  const wanted = new Set(REFUSALS);
  collectReferences([paths, events], wanted);
  // A set hands on what is added to it meanwhile.
  for (const reference of wanted) {
    const [, , kind, name] = reference.split("/");
    collectReferences(document.components[kind][name], wanted);
    (components[kind] ??= {})[name] = document.components[kind][name];
  }
  const { openapi, info } = document;
  return { openapi, info, paths, components };
}

function collectReferences(node, into) {
  if (node === null || typeof node !== "object") return;
  if (typeof node.$ref === "string") into.add(node.$ref);
  for (const value of Object.values(node)) collectReferences(value, into);
}

/**
 * The document with members named as this package hands them out (src/names.ts): properties of
 * schemas and what is required of them. Everything else is data.
 */
function inCamelCase(node) {
  if (Array.isArray(node)) return node.map(inCamelCase);
  if (node === null || typeof node !== "object") return node;
  const entries = Object.entries(node).map(([name, value]) => {
    if (name === "properties") return [name, renamed(value)];
    if (name === "required" && Array.isArray(value)) return [name, value.map(camel)];
    return [name, inCamelCase(value)];
  });
  return Object.fromEntries(entries);
}

function renamed(properties) {
  const entries = Object.entries(properties);
  return Object.fromEntries(entries.map(([name, schema]) => [camel(name), inCamelCase(schema)]));
}

function camel(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const document = JSON.parse(await readFile(process.argv[2], "utf8"));
  await writeFile(TARGET, await types(document));
}
