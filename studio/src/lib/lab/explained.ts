/** How a number of a convolution was computed, found in the tables that the server sent. */

import { number } from "../format";
import type { Sliding } from "./answers";
import { read, readers, sizeOf, tapsOf, type Windows } from "./numbers";
import type { Place } from "./view";

export type Kind = "value" | "bar";
export type Cell = readonly [number, number];

export interface Factor {
  readonly value: number;
  readonly at: Place | null; // null: padding
  readonly kind: Kind;
}

export interface Term {
  readonly left: Factor;
  readonly right: Factor;
  readonly product: number;
  readonly group?: string; // a heading from here on
}

/** The largest of a sum's products, in their order, and how many others there are. */
export const MOST_TERMS = 12;

export interface Explained {
  readonly name: string;
  readonly rule: string;
  readonly kind: Kind;
  readonly terms: readonly Term[];
  readonly bias: Factor | null;
  readonly rest: number; // the sum of the terms that are not among the largest, by the server
  readonly sum: number;
  readonly result: number;
  readonly leaf: string; // why there is nothing to add up
  readonly marks: Readonly<Record<"x" | "y", readonly Cell[]>>; // what it is connected with
}

/** The numbers of the terms that are listed first; of equals those that come first, as the server. */
export function largest(terms: readonly Term[]): ReadonlySet<number> {
  const size = (k: number) => Math.abs(terms[k]?.product ?? 0);
  const order = terms.map((_, k) => k).sort((a, b) => size(b) - size(a) || a - b);
  return new Set(order.slice(0, MOST_TERMS));
}

/** The sizes of a convolution: C channels of H×W, K kernels of F×G, P×Q windows. */
export function sizesOf(found: Sliding) {
  const [C, H, W] = found.x.shape as [number, number, number];
  const [K, , F, G] = found.w.shape as [number, number, number, number];
  return { C, H, W, K, F, G, P: sizeOf(found.y, 1), Q: sizeOf(found.y, 2), T: F * G };
}

export const windowsOf = (found: Sliding): Windows => ({
  places: read(found.places),
  taps: sizeOf(found.places, 1),
  count: sizeOf(found.places, 0),
});

/** The place in w of a tap of the kernel as it slides: from its other end where it is flipped. */
export function weightAt(found: Sliding, kernel: number, channel: number, tap: number): Place {
  const { G, T } = sizesOf(found);
  const own = found.flipped ? T - 1 - tap : tap;
  return { node: "w", index: [kernel, channel, Math.floor(own / G), own % G] };
}

/** Whether there is such a number. */
export function isThere(found: Sliding, { node, index }: Place): boolean {
  const shape = { x: found.x, w: found.w, y: found.y, b: found.bias }[node]?.shape;
  return index.length === shape?.length && index.every((at, axis) => at < (shape[axis] ?? 0));
}

/** An index in words; with one channel and one kernel, of row and column alone. */
function indexed(found: Sliding, { index }: Place): string {
  const { C, K } = sizesOf(found);
  return `[${(C === 1 && K === 1 ? index.slice(-2) : index).join(", ")}]`;
}

/** Row and column of each tap of a window. */
function taps(found: Sliding, window: number): Cell[] {
  const { F, G, Q } = sizesOf(found);
  const [rows, columns] = [found.formula.at(-2), found.formula.at(-1)];
  const stride = [rows?.stride ?? 1, columns?.stride ?? 1] as const;
  const dilation = columns && columns.taps > 1 ? (columns.span - 1) / (columns.taps - 1) : 1;
  const other = rows && rows.taps > 1 ? (rows.span - 1) / (rows.taps - 1) : 1;
  return tapsOf(window, {
    across: Q,
    kernel: [F, G],
    stride,
    dilation: Math.max(dilation, other),
    before: found.before,
  });
}

const cellAt = (flat: number, columns: number): Cell => [
  Math.floor(flat / columns),
  flat % columns,
];

/** How a number of the output, of the image or of the kernel came to be, or its error signal. */
export function explain(found: Sliding, place: Place, mode: Kind): Explained {
  if (place.node === "y") return ofOutput(found, place, mode);
  if (place.node === "x") return ofInput(found, place, mode);
  return place.node === "w" ? ofWeight(found, place, mode) : ofBias(found, place, mode);
}

function ofOutput(found: Sliding, place: Place, mode: Kind): Explained {
  const { C, W, Q, T } = sizesOf(found);
  const [k = 0, row = 0, column = 0] = place.index;
  const window = row * Q + column;
  const { places, count } = windowsOf(found);
  const [x, seen, products] = [found.x, found.seen, found.products].map(read) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const name = `y${indexed(found, place)}`;
  const marks = { x: taps(found, window), y: [] };
  if (mode === "bar" && found.back) {
    const result = read(found.back.y_bar)[k * count + window] ?? 0;
    const leaf = "It comes from above: the upstream error signal. Framed is where it is sent.";
    return { ...NONE, name: `ȳ${name.slice(1)}`, kind: "bar", result, leaf, marks };
  }
  const plane = sizeOf(found.x, 1) * W;
  const sums = read(found.channel_sums);
  const terms: Term[] = [];
  for (let c = 0; c < C; c++) {
    for (let t = 0; t < T; t++) {
      const at = places[window * T + t] ?? -1;
      const cell = cellAt(at, W);
      terms.push({
        left: {
          value: at < 0 ? 0 : (x[c * plane + at] ?? 0),
          at: at < 0 ? null : { node: "x", index: [c, ...cell] },
          kind: "value",
        },
        right: {
          value: seen[(k * C + c) * T + t] ?? 0,
          at: weightAt(found, k, c, t),
          kind: "value",
        },
        product: products[((k * count + window) * C + c) * T + t] ?? 0,
        ...(t === 0 && C > 1
          ? {
              group: `channel ${c}: its products sum to ${number(sums[(k * count + window) * C + c] ?? 0)}`,
            }
          : {}),
      });
    }
  }
  const bias = read(found.bias)[k] ?? 0;
  return {
    name,
    rule: `y = Σ x · w${C > 1 ? " + b" : ""}`,
    kind: "value",
    terms,
    bias: C > 1 ? { value: bias, at: { node: "b", index: [k] }, kind: "value" } : null,
    rest: read(found.rest)[k * count + window] ?? 0,
    sum: read(found.sums)[k * count + window] ?? 0,
    result: read(found.y)[k * count + window] ?? 0,
    leaf: "",
    marks,
  };
}

const NONE: Explained = {
  name: "",
  rule: "",
  kind: "value",
  terms: [],
  bias: null,
  rest: 0,
  sum: 0,
  result: 0,
  leaf: "",
  marks: { x: [], y: [] },
};

function ofInput(found: Sliding, place: Place, mode: Kind): Explained {
  const { C, H, W, K, Q, T } = sizesOf(found);
  const [c = 0, row = 0, column = 0] = place.index;
  const cell = row * W + column;
  const windows = windowsOf(found);
  const read_by = readers(windows, cell);
  const name = indexed(found, place);
  const marks = { x: [], y: read_by.map(([window]) => cellAt(window, Q)) };
  if (mode === "value" || !found.back) {
    const times = ["No window reads it.", "One window reads it, framed in the output."][
      read_by.length
    ];
    const leaf =
      "It is data: the chain ends here. " +
      (times ?? `${read_by.length} windows read it, framed in the output.`);
    const result = read(found.x)[c * H * W + cell] ?? 0;
    return { ...NONE, name: `x${name}`, result, leaf, marks };
  }
  const [y_bar, seen, to_x] = [found.back.y_bar, found.seen, found.back.to_x].map(read) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const terms: Term[] = [];
  for (let k = 0; k < K; k++) {
    for (const [nth, [window, t]] of read_by.entries()) {
      terms.push({
        left: {
          value: y_bar[k * windows.count + window] ?? 0,
          at: { node: "y", index: [k, ...cellAt(window, Q)] },
          kind: "bar",
        },
        right: {
          value: seen[(k * C + c) * T + t] ?? 0,
          at: weightAt(found, k, c, t),
          kind: "value",
        },
        product: to_x[((k * windows.count + window) * C + c) * T + t] ?? 0,
        ...(nth === 0 && K > 1 ? { group: `from map ${k}` } : {}),
      });
    }
  }
  return {
    ...NONE,
    name: `x̄${name}`,
    rule: "x̄ = Σ ȳ · w over the windows that read x",
    kind: "bar",
    terms,
    rest: read(found.back.x_rest)[c * H * W + cell] ?? 0,
    sum: read(found.back.x_sums)[c * H * W + cell] ?? 0,
    result: read(found.back.x_bar)[c * H * W + cell] ?? 0,
    marks,
  };
}

function ofWeight(found: Sliding, place: Place, mode: Kind): Explained {
  const { C, H, W, G, Q, T } = sizesOf(found);
  const [k = 0, c = 0, row = 0, column = 0] = place.index;
  const own = row * G + column;
  const tap = found.flipped ? T - 1 - own : own;
  const { places, count } = windowsOf(found);
  const name = indexed(found, place);
  const reads = Array.from({ length: count }, (_, window) => places[window * T + tap] ?? -1);
  const marks = { x: reads.filter((at) => at >= 0).map((at) => cellAt(at, W)), y: [] };
  if (mode === "value" || !found.back) {
    const leaf =
      `It is a number of the kernel: the chain ends here. All ${count} windows share it; ` +
      `framed is what it is multiplied by.`;
    const result = read(found.w)[(k * C + c) * T + own] ?? 0;
    return { ...NONE, name: `w${name}`, result, leaf, marks };
  }
  const [y_bar, x, to_w] = [found.back.y_bar, found.x, found.back.to_w].map(read) as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const terms = reads.map((at, window): Term => ({
    left: {
      value: at < 0 ? 0 : (x[c * H * W + at] ?? 0),
      at: at < 0 ? null : { node: "x", index: [c, ...cellAt(at, W)] },
      kind: "value",
    },
    right: {
      value: y_bar[k * count + window] ?? 0,
      at: { node: "y", index: [k, ...cellAt(window, Q)] },
      kind: "bar",
    },
    product: to_w[((k * count + window) * C + c) * T + tap] ?? 0,
  }));
  return {
    ...NONE,
    name: `w̄${name}`,
    rule: "w̄ = Σ x · ȳ over all windows: they share the weight",
    kind: "bar",
    terms,
    rest: read(found.back.w_rest)[(k * C + c) * T + tap] ?? 0,
    sum: read(found.back.w_sums)[(k * C + c) * T + tap] ?? 0,
    result: read(found.back.w_bar)[(k * C + c) * T + own] ?? 0,
    marks,
  };
}

function ofBias(found: Sliding, place: Place, mode: Kind): Explained {
  const [k = 0] = place.index;
  const back = mode === "bar" ? found.back : null;
  const leaf = back
    ? "It is the sum of all error signals of its map: each output adds the bias once."
    : "It is the bias of its map: the chain ends here.";
  const result = read(back?.b_bar ?? found.bias)[k] ?? 0;
  return { ...NONE, name: `${back ? "b̄" : "b"}[${k}]`, kind: back ? "bar" : "value", result, leaf };
}
