export function types(document: unknown): Promise<string>;
