/** What the server says of a formula: every number and every line that a stepper shows. */

import { ask, type Figure } from "../api";
import { query, type Notation, type Selection } from "../selection";

export interface Numbers {
  readonly shape: readonly number[];
  readonly values: readonly Figure[]; // in C order
  readonly hex: readonly string[];
}

/** LaTeX; in `tex` \of{3v}{…} marks the value of node 3, \of{3b}{…} its error signal. */
export interface Written {
  readonly tex: string;
  readonly copy: string;
}

export interface Node {
  readonly name: string;
  readonly tex: string;
  readonly kind: "learned" | "data" | "computed";
  readonly type: string;
  readonly op: string;
  readonly value: Numbers;
  readonly inputs: readonly number[];
  readonly formula: Written | null;
  readonly numbers: Written | null;
}

export interface Addend {
  readonly reader: number;
  readonly value: Numbers;
  readonly partial: Numbers;
}

export interface Miss {
  readonly kind: "sign" | "addend" | "factor";
  readonly value: number;
}

export interface Guess {
  readonly index: readonly number[];
  readonly flat: number;
  readonly value: number;
  readonly misses: readonly Miss[];
}

export interface Signal {
  readonly of: number;
  readonly value: Numbers;
  readonly addends: readonly Addend[];
  readonly uses: number;
  readonly guess: Guess | null;
}

/** How a notation writes one error signal. */
export interface Rule {
  readonly name: string;
  readonly plain: string;
  readonly chain: Written | null;
  readonly rule: Written | null;
  readonly addends: readonly { readonly formula: Written; readonly numbers: Written | null }[];
}

export type Rules = Readonly<Record<Notation, readonly Rule[]>>;

export interface Planted {
  readonly of: number;
  readonly backward: readonly Signal[];
  readonly rules: Rules;
  readonly wrong: readonly number[];
}

export interface Script {
  readonly title: string;
  readonly notes: string;
  readonly dtype: string;
  readonly rate: number;
  readonly example: string;
  readonly formula: string;
  readonly values: string;
  readonly learned: string;
  readonly next: string; // the values after the update, as they are typed
  readonly code: string;
  readonly nodes: readonly Node[];
  readonly backward: readonly Signal[];
  readonly rules: Rules;
  readonly reuse: {
    readonly with: number;
    readonly without: string;
    readonly leaves: readonly {
      readonly of: number;
      readonly multiplications: string;
      readonly paths: string;
      readonly formula: Written | null;
    }[];
  };
  readonly check: {
    readonly step: number;
    readonly unchecked: number;
    readonly rows: readonly {
      readonly of: number;
      readonly numeric: Numbers;
      readonly agrees: boolean;
      readonly kinks: number;
    }[];
  };
  readonly update: {
    readonly rows: readonly { readonly of: number; readonly value: Numbers }[];
    readonly before: Numbers;
    readonly after: Numbers;
    readonly lower: boolean;
  };
  readonly planted: readonly Planted[];
}

export interface Example {
  readonly name: string;
  readonly title: string;
  readonly formula: string;
  readonly values: string;
  readonly learned: string;
}

/** The part of a selection that the server is asked with. */
export function asked(chosen: Selection, first: string): Selection {
  const own = chosen.formula !== null;
  const nothing = Object.fromEntries(Object.keys(chosen).map((key) => [key, null]));
  return {
    ...(nothing as unknown as Selection),
    example: own ? null : (chosen.example ?? first),
    formula: chosen.formula,
    values: chosen.values,
    learned: chosen.learned,
    rate: chosen.rate,
  };
}

/** Whether a recorded scalar is stepped through, and neither an example nor a formula. */
export const isSent = ({ run, step, node, example, formula }: Selection) =>
  run !== null && step !== null && node !== null && example === null && formula === null;

/** Where its moves are; with ending the file of them. */
export function pathOf(chosen: Selection, first: string, ending: "" | "/file" = ""): string {
  if (!isSent(chosen)) return `/api/stepper${ending}${query(asked(chosen, first))}`;
  const name = encodeURIComponent(chosen.run ?? "");
  const node = encodeURIComponent(chosen.node ?? "");
  const step = `${chosen.kind ?? "probe"}/${chosen.step}`;
  return `/api/runs/${name}/steps/${step}/stepper${ending}?node=${node}`;
}

export const getScript = (path: string) => ask<Script>(path);
export const getExamples = () =>
  ask<{ examples: Example[] }>("/api/stepper/examples").then((found) => found.examples);
