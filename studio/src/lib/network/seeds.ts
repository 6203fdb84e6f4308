/** What the error signals come from, as the URL has it. */

import type { Figure } from "../api";

/** "loss:3", "score:3", "element:7:0,2" as the server reads it; null for none of these. */
export function seedOf(text: string | null): Readonly<Record<string, unknown>> | null {
  const found = /^(?:(loss|score):(\d{1,6})|element:(\d{1,9}):(\d{1,9}(?:,\d{1,9})*))$/.exec(
    text ?? "",
  );
  if (!found) return null;
  const [, kind, number, node, index] = found;
  if (kind === "loss") return { kind, target: Number(number) };
  if (kind === "score") return { kind, class: Number(number) };
  return { kind: "element", node: Number(node), index: index?.split(",").map(Number) ?? [] };
}

/** The class of a seed; null where it has none. */
export function classOf(text: string | null): number | null {
  const found = /^(?:loss|score):(\d{1,6})$/.exec(text ?? "");
  return found ? Number(found[1]) : null;
}

/** The place of the largest share: the class that the network names. */
export const topOf = (shares: readonly Figure[]) =>
  shares.reduce<number>((top, share, k) => (Number(share) > Number(shares[top]) ? k : top), 0);
