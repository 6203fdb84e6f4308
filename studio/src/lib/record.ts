/** A recorded step as the server tells it: layers, numbers, how a number was computed. */

import { answer, ApiError, ask, type Figure } from "./api";

export type Kind = "probe" | "batch";
export type Mode = "value" | "bar";

export type Kept = Readonly<Record<Kind, readonly number[]>>;

/** Of a layer's value or error signal, for one sample: all that is printed beside a picture. */
export interface Sizes {
  readonly scale: Figure; // the 99.5th percentile of the sizes
  readonly signed: boolean;
  readonly low: Figure;
  readonly high: Figure;
  readonly rms: Figure;
  readonly zeros: number;
  readonly nan: number;
  readonly clipped: number;
}

export interface Layer {
  readonly node: number;
  readonly name: string;
  readonly op: string;
  readonly where: string;
  readonly shape: readonly number[]; // of one sample
  readonly maps: number;
  readonly rows: number; // 0: a strip of so many columns
  readonly columns: number;
  readonly shown: readonly number[];
  readonly value: Sizes | null;
  readonly bar: Sizes | null;
}

export interface View {
  readonly step: number;
  readonly epoch: number | null;
  readonly loss: Figure | null;
  readonly rows: number; // samples that are kept
  readonly samples: readonly number[] | null; // their places in the data set
  readonly layers: readonly Layer[];
  readonly scores: {
    readonly node: number;
    readonly layer: number;
    readonly op: string;
    readonly shares: readonly Figure[];
  } | null;
  readonly targets: { readonly node: number; readonly values: readonly number[] } | null;
  readonly names: readonly string[];
}

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
}

/** A step of a run. */
export interface At {
  readonly run: string;
  readonly kind: Kind;
  readonly step: number;
}

const ofRun = (run: string) => `/api/runs/${encodeURIComponent(run)}/steps`;
export const stepPath = (at: At) => `${ofRun(at.run)}/${at.kind}/${at.step}`;

export const getKept = (run: string) => ask<Kept>(ofRun(run));

export const getView = (at: At, sample: number) =>
  ask<View>(`${stepPath(at)}/layers?sample=${sample}`);

export const getBoxes = (at: At, node: number, mode: Mode, index: readonly number[]) =>
  ask<{ boxes: Box[] }>(
    `${stepPath(at)}/patch?node=${node}&what=${mode}&index=${index.join(",")}`,
  ).then((found) => found.boxes);

export function getElement(at: At, link: Link): Promise<Element> {
  const share = link.sample === null ? "" : `&sample=${link.sample}`;
  const index = link.index.join(",");
  return ask(`${stepPath(at)}/element?node=${link.node}&what=${link.kind}&index=${index}${share}`);
}

/** The numbers of a node's value or error signal: of one sample, or without one of all. */
export async function getNumbers(
  at: At,
  node: number,
  mode: Mode,
  sample?: number,
): Promise<ArrayLike<number>> {
  const one = sample === undefined ? "" : `&sample=${sample}`;
  const found = await answer(`${stepPath(at)}/array?node=${node}&what=${mode}${one}`);
  return numbersOf(await found.arrayBuffer(), found.headers.get("X-Dtype") ?? "");
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
