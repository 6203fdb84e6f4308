/** The moves of a script: what is on the board after so many of them. */

import type { Guess, Rule, Script, Signal } from "./script";

export type Move =
  | { readonly phase: "forward"; readonly node: number }
  | {
      readonly phase: "backward";
      readonly node: number;
      readonly row: number; // in the order of the backward pass
      readonly addends: number; // how many of them have arrived
    }
  | { readonly phase: "check" | "update" | "after"; readonly node: null };

/** Forward line by line, backward addend by addend, then check, update and the loss after it. */
export function movesOf(nodes: Script["nodes"], backward: readonly Signal[]): readonly Move[] {
  const forward = nodes.flatMap((node, k): Move[] =>
    node.kind === "computed" ? [{ phase: "forward", node: k }] : [],
  );
  const back = backward.flatMap((signal, row): Move[] =>
    Array.from({ length: Math.max(1, signal.addends.length) }, (_, k) => ({
      phase: "backward",
      node: signal.of,
      row,
      addends: signal.addends.length ? k + 1 : 0,
    })),
  );
  const end = (["check", "update", "after"] as const).map((phase) => ({ phase, node: null }));
  return [...forward, ...back, ...end];
}

/** How many moves show a node's value, or all of its error signal; 0 for what was given. */
export function movesUntil(moves: readonly Move[], node: number, phase: Move["phase"]): number {
  return moves.findLastIndex((move) => move.phase === phase && move.node === node) + 1;
}

/** How many addends of a row have arrived after so many moves; null: it has not begun. */
export function arrived(moves: readonly Move[], made: number, row: number): number | null {
  const found = moves
    .slice(0, made)
    .findLast((move) => move.phase === "backward" && move.row === row);
  return found?.phase === "backward" ? found.addends : null;
}

/** Error signals that a move sends again, though they were computed once. */
export function usedAgain(move: Move | undefined, signals: readonly Signal[]): readonly number[] {
  if (move?.phase !== "backward") return [];
  const addend = signals[move.row]?.addends[move.addends - 1];
  const uses = signals.find((signal) => signal.of === addend?.reader)?.uses ?? 0;
  return addend && uses > 1 ? [addend.reader] : [];
}

const ENDS = { check: "gradient check", update: "update", after: "loss after" } as const;

/** What a move computes, in words. */
export function nameOf(
  move: Move | undefined,
  nodes: Script["nodes"],
  rules: readonly Rule[],
): string {
  if (!move) return "given values";
  if (move.phase === "forward") return nodes[move.node]?.name ?? "";
  return move.phase === "backward" ? (rules[move.row]?.plain ?? "") : ENDS[move.phase];
}

export interface Verdict {
  readonly right: boolean;
  readonly says: string;
}

const NEAR = 0.02;
const SAYS = {
  sign: "The size is right, the sign is not.",
  addend: "An addend is missing: it has more than one reader.",
  factor: "A factor is missing or too many: the error signal of the reader times each slope.",
} as const;

const near = (guess: number, value: number) => Math.abs(guess - value) <= NEAR * Math.abs(value);

/** What a guess is: right within 2 %, or what it was likely missing. */
export function judge(text: string, guess: Guess): Verdict {
  const number = Number(text.trim().replace("−", "-").replace(",", "."));
  if (!text.trim() || Number.isNaN(number)) return { right: false, says: "Type a number." };
  if (near(number, guess.value)) return { right: true, says: "Right." };
  const miss = guess.misses.find((each) => near(number, each.value));
  return { right: false, says: miss ? SAYS[miss.kind] : "Not that: look at its readers." };
}
