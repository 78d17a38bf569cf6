// The API speaks snake_case, this package camelCase, as scripts/types.mjs names the types.

/** Members whose own members are data: their names are the provider's. */
const DATA = ["connectionConfig"];

/** An answer with its members in camelCase. */
export function inCamelCase(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(inCamelCase);
  if (node === null || typeof node !== "object") return node;
  const entries = Object.entries(node).map(([member, value]) => {
    const name = member.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    return [name, DATA.includes(name) ? value : inCamelCase(value)];
  });
  return Object.fromEntries(entries);
}

/** The members of a request in snake_case. */
export function inSnakeCase(members: object): Record<string, unknown> {
  const entries = Object.entries(members).map(([member, value]) => {
    const name = member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return [name, value];
  });
  return Object.fromEntries(entries);
}
