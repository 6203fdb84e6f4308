/** A recorded step as the server tells it: layers, numbers, how a number was computed. */

import { answer, ApiError, ask, type Figure } from "./api";

export type Kind = "probe" | "batch";
export type Mode = "value" | "bar";
/** What the pictures show: values, error signals, or the optimizer's step. */
export type Direction = Mode | "update";

export type Kept = Readonly<Record<Kind, readonly number[]>>;

/** Of a layer's value or error signal, for one sample: all that is printed beside a picture. */
export interface Sizes {
  readonly scale: Figure; // the 99.5th percentile of the sizes
  readonly scales: readonly Figure[]; // the same of each map that is shown
  readonly signed: boolean;
  readonly low: Figure;
  readonly high: Figure;
  readonly rms: Figure;
  readonly zeros: number;
  readonly nan: number;
  readonly clipped: number;
}

/** A call's output or data, of one sample; or a whole parameter, which has no samples. */
export interface Layer {
  readonly node: number;
  readonly name: string;
  readonly key?: string; // tells it apart from others of its name, at all steps
  readonly parameters?: readonly number[]; // nodes of those it was computed with
  readonly op: string;
  readonly where: string;
  readonly shape: readonly number[]; // of one sample
  readonly maps: number;
  readonly rows: number; // 0: a strip of so many columns
  readonly columns: number;
  readonly shown: readonly number[];
  readonly value: Sizes | null;
  readonly bar: Sizes | null;
  readonly update?: Sizes | null;
}

export const isParameter = (layer: Layer) => layer.op === "parameter";

/** Where the error signals come from. */
export interface Seed {
  readonly kind: "loss" | "score" | "element" | null; // null: as it was recorded
  readonly text: string;
}

/** A change that the server knows by its edit's ID. */
export type Change =
  | { readonly kind: "input"; readonly node: number; readonly pixels: string }
  | {
      readonly kind: "nudge";
      readonly node: number;
      readonly index: readonly number[];
      readonly to?: number;
      readonly by?: number;
    }
  | { readonly kind: "off"; readonly node: number; readonly map: number };

export interface Edit {
  readonly edit: string;
  readonly sample: number;
  readonly words: readonly string[];
  readonly edits: readonly {
    readonly kind: Change["kind"];
    readonly node: number;
    readonly map?: number;
    readonly index?: readonly number[];
    readonly to?: number;
    readonly by?: number;
    readonly sample?: number;
  }[];
}

/** The classes: the softmax of a layer, for one sample. */
export interface Scores {
  readonly node: number;
  readonly layer: number;
  readonly op: string;
  readonly shares: readonly Figure[];
  readonly before?: readonly Figure[] | null; // of the step as it was recorded
}

export interface View {
  readonly step: number;
  readonly epoch: number | null;
  readonly loss: Figure | null;
  readonly rows: number; // samples that are kept
  readonly samples: readonly number[] | null; // their places in the data set
  readonly layers: readonly Layer[];
  readonly parameters: readonly Layer[];
  readonly scores: Scores | null;
  readonly labels: { readonly values: readonly number[] } | null; // the targets as recorded
  readonly targets: { readonly node: number; readonly values: readonly number[] } | null;
  readonly names: readonly string[];
  readonly edit: Edit | null;
  readonly seed: Seed;
}

/** Numbers of the maps that are shown, one map after the other. */
export interface Tile {
  readonly maps: readonly number[];
  readonly numbers: ArrayLike<number>;
}
export type Tiles = ReadonlyMap<number, Tile>;

/** What a unit reads of a layer: from and to, both included. */
export interface Box {
  readonly node: number;
  readonly count: number;
  readonly maps: readonly [number, number];
  readonly rows: readonly [number, number];
  readonly columns: readonly [number, number];
}

export interface Link {
  readonly node: number;
  readonly kind: Mode;
  readonly index: readonly number[];
  readonly sample: number | null;
}

export interface More {
  readonly count: number;
  readonly value: Figure;
}

export interface Part {
  readonly value: Figure | boolean | null;
  readonly link?: Link;
  readonly hex?: string;
  readonly rule?: string;
  readonly parts?: readonly Part[];
  readonly meta?: { readonly winner?: number };
  readonly more?: More;
  readonly missing?: number;
  readonly why?: string;
}

export interface Addend {
  readonly reader: number | null;
  readonly value: Figure | null;
  readonly hex: string;
  readonly formula: string;
  readonly part: Part;
  readonly why: string;
}

export interface Element {
  readonly what: Link & {
    readonly op: string;
    readonly name: string;
    readonly dtype: string;
    readonly value: Figure | boolean | null;
    readonly hex: string;
  };
  readonly formula: string;
  readonly numbers: string;
  readonly part: Part;
  readonly float64: Figure | null;
  readonly roundoff: Figure | null;
  readonly missing: More | null;
  readonly addends: readonly Addend[];
  readonly samples: Part | null;
  readonly leaf: string;
  readonly note: string;
  readonly used_by: { readonly count: number; readonly links: readonly Link[] };
  readonly fused: Loop | null;
}

/** The ops that the compiled step computes in one loop with a value that it never stores. */
export type Loop = readonly string[];

/** A step of a run; with an edit, run again. */
export interface At {
  readonly run: string;
  readonly kind: Kind;
  readonly step: number;
  readonly edit?: string | null;
}

const ofRun = (run: string) => `/api/runs/${encodeURIComponent(run)}/steps`;

/** The address of an answer on a step. */
export function ofStep(
  at: At,
  answer: string,
  asked: Readonly<Record<string, unknown>> = {},
): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...asked, edit: at.edit })) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return `${ofRun(at.run)}/${at.kind}/${at.step}/${answer}${text && `?${text}`}`;
}

export const getKept = (run: string) => ask<Kept>(ofRun(run));

/** parameters: false leaves them out, for who has them. */
export const getView = (
  at: At,
  sample: number,
  order: string | null = null,
  what: Direction = "value",
  parameters = true,
) =>
  ask<View>(
    ofStep(at, "layers", {
      sample,
      order,
      what: what === "value" ? null : what,
      parameters: parameters ? null : 0,
    }),
  );

export const getBoxes = (at: At, node: number, mode: Mode, index: readonly number[]) =>
  ask<{ boxes: Box[] }>(ofStep(at, "patch", { node, what: mode, index })).then(
    (found) => found.boxes,
  );

/** What a unit sees of the data, through all layers. */
export const getField = (at: At, node: number, index: readonly number[]) =>
  ask<{ boxes: Omit<Box, "count">[] }>(ofStep(at, "field", { node, index })).then(
    (found) => found.boxes,
  );

export const getElement = (at: At, link: Link): Promise<Element> =>
  ask(
    ofStep(at, "element", {
      node: link.node,
      what: link.kind,
      index: link.index,
      sample: link.sample,
    }),
  );

export interface Scales {
  readonly steps: number;
  readonly read: number;
  readonly scales: Readonly<Record<string, Readonly<Partial<Record<Mode, Figure>>>>>;
}

/** The ends of the colours over all kept steps, as far as the server has read them. */
export const getScales = (run: string, kind: Kind, sample: number) =>
  ask<Scales>(`/api/runs/${encodeURIComponent(run)}/scales?kind=${kind}&sample=${sample}`);

/** Let the step be run again with changes; the answer names it. */
export const postEdit = (
  at: At,
  asked: {
    base?: string | null;
    sample: number;
    edits?: readonly Change[];
    seed?: Readonly<Record<string, unknown>> | null;
  },
) =>
  ask<Edit>(ofStep({ ...at, edit: null }, "edits"), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(asked),
  });

/** What the network sees of a drawing: how it is made, stage by stage, and what it is taken for. */
export interface Seen {
  readonly state: "seen" | "empty";
  readonly sentence: string;
  readonly node: number;
  readonly pixels: string | null; // the input, as an edit takes it
  readonly stages: readonly Stage[];
  readonly edit?: string | null; // the step with it as a sample's input
  readonly scores?: (Scores & { readonly numbers: readonly Figure[] | null }) | null;
}

export interface Stage {
  readonly name: string;
  readonly words: string;
  readonly shape: readonly number[];
  readonly low: Figure;
  readonly high: Figure;
  readonly pixels: string; // a byte for each pixel: 0 for low, 255 for high
}

/** A drawing as the greys of a canvas, or a file. */
export type Drawing = { greys: Uint8Array<ArrayBuffer>; side: number } | Blob;

/** Let a drawing be a sample's input, beside the changes of ``base``: what the network makes of it. */
export function postSeen(
  at: At,
  node: number,
  drawing: Drawing,
  sample: number,
  base: string | null,
): Promise<Seen> {
  const file = drawing instanceof Blob;
  const sizes = file ? {} : { rows: drawing.side, columns: drawing.side };
  return ask(ofStep({ ...at, edit: null }, "see", { node, sample, base, ...sizes }), {
    method: "POST",
    headers: { "Content-Type": file ? drawing.type : "application/octet-stream" },
    body: file ? drawing : drawing.greys,
  });
}

interface Constant {
  readonly name: string;
  readonly latex: string;
  readonly value: Figure | null;
  readonly hex: string;
}

/** How the optimizer moved one element of a parameter, line by line. */
export interface Update {
  readonly node: number; // of the batch
  readonly index: readonly number[];
  readonly state: "updated" | "frozen" | "still" | "unknown";
  readonly sentence: string;
  readonly exact: boolean | null;
  readonly optimizer: string | null;
  readonly options: readonly Constant[];
  readonly constants: readonly Constant[];
  readonly rows: readonly (Constant & {
    readonly role: string;
    readonly words: string;
    readonly formula: string; // "" for what is read
    readonly formula_latex: string;
    readonly numbers_latex: string; // the same with numbers put in
  })[];
  readonly initial: { readonly step: number; readonly value: Figure; readonly hex: string } | null;
  readonly last: { readonly step: number; readonly before: Figure; readonly after: Figure } | null;
}

/** The update of a parameter in a batch; nodes of a probe have other numbers, so it goes by name. */
export async function getUpdate(
  batch: At,
  name: string,
  index: readonly number[],
): Promise<Update> {
  const at = { ...batch, edit: null };
  const { parameters } = await getView(at, 0);
  const found = parameters.find((each) => each.name === name);
  if (!found) {
    throw new ApiError(
      0,
      `${name} is not in the batch of step ${at.step}.`,
      "Another step has it.",
    );
  }
  return ask<Update>(ofStep(at, "update", { node: found.node, index }));
}

/** The numbers of a node's value or error signal: of one sample, or without one of all. */
export async function getNumbers(
  at: At,
  node: number,
  what: Direction,
  sample?: number,
  map?: number,
): Promise<ArrayLike<number>> {
  const found = await answer(ofStep(at, "array", { node, what, sample, map }));
  return numbersOf(await found.arrayBuffer(), found.headers.get("X-Dtype") ?? "");
}

/** The numbers of the maps that are shown, of all layers and parameters. */
export async function getTiles(
  at: At,
  what: Direction,
  sample: number,
  order: string | null,
  parameters = true,
): Promise<Tiles> {
  const asked = { what, sample, order, parameters: parameters ? null : 0 };
  const found = await answer(ofStep(at, "numbers", asked));
  const parts = JSON.parse(found.headers.get("X-Parts") ?? "[]") as {
    node: number;
    dtype: string;
    maps: number[];
    bytes: number;
  }[];
  const bytes = await found.arrayBuffer();
  const tiles = new Map<number, Tile>();
  let from = 0;
  for (const { node, dtype, maps, bytes: size } of parts) {
    tiles.set(node, { maps, numbers: numbersOf(bytes.slice(from, from + size), dtype) });
    from += size;
  }
  return tiles;
}

/** Little-endian bytes as numbers; a page runs on machines that are little-endian too. */
export function numbersOf(bytes: ArrayBuffer, dtype: string): ArrayLike<number> {
  switch (dtype) {
    case "float32":
      return new Float32Array(bytes);
    case "float64":
      return new Float64Array(bytes);
    case "int32":
      return new Int32Array(bytes);
    case "int64":
      return Array.from(new BigInt64Array(bytes), Number);
    case "uint8":
    case "bool":
      return new Uint8Array(bytes);
    default:
      throw new ApiError(
        0,
        `Pictures of ${dtype} are not drawn.`,
        "The table of layers has sizes.",
      );
  }
}

/** A link as the URL has it: node.kind.index, and .sample for what one sample adds. */
export function linkText(link: Link): string {
  const share = link.sample === null ? "" : `.${link.sample}`;
  return `${link.node}.${link.kind}.${link.index.join(",")}${share}`;
}

/** The link that a text names; null if it is none. */
export function linkOf(text: string): Link | null {
  const found = /^(\d{1,9})\.(value|bar)\.((?:\d{1,12}(?:,\d{1,12})*)?)(?:\.(\d{1,9}))?$/.exec(
    text,
  );
  if (!found) return null;
  const [, node, kind, index, sample] = found;
  return {
    node: Number(node),
    kind: kind as Mode,
    index: index ? index.split(",").map(Number) : [],
    sample: sample === undefined ? null : Number(sample),
  };
}
