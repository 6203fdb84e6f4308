/** What the lab's server answers, in types. */

import { ask } from "../api";
import type { Packed } from "./numbers";
import { question, type View } from "./view";

export interface Scale {
  readonly scale: number;
  readonly signed: boolean;
  readonly low: number;
  readonly high: number;
}

/** ⌊(size + before + after − span) / stride⌋ + 1 = count */
export interface SizeFormula {
  readonly axis: string;
  readonly size: number;
  readonly before: number;
  readonly after: number;
  readonly taps: number;
  readonly span: number;
  readonly stride: number;
  readonly rest: number;
  readonly count: number;
}

interface Shared {
  readonly x: Packed; // [C,H,W]
  readonly y: Packed; // [K,P,Q]
  readonly places: Packed; // [P·Q,T]
  readonly used: Packed;
  readonly unused: number;
  readonly formula: readonly SizeFormula[];
  readonly scales: Readonly<Record<string, Scale>>;
  readonly text: Readonly<Record<"image" | "kernel" | "upstream", string>>;
  readonly code: string;
}

export interface Sliding extends Shared {
  readonly w: Packed; // [K,C,F,G]
  readonly seen: Packed;
  readonly bias: Packed;
  readonly before: readonly [number, number];
  readonly products: Packed; // [K,P·Q,C,T]
  readonly channel_sums: Packed; // [K,P·Q,C]
  readonly sums: Packed; // [K,P·Q]
  readonly rest: Packed; // [K,P·Q], without the products that are listed
  readonly flipped: boolean;
  readonly back: {
    readonly y_bar: Packed;
    readonly x_bar: Packed;
    readonly w_bar: Packed;
    readonly b_bar: Packed;
    readonly to_x: Packed;
    readonly to_w: Packed;
    readonly x_sums: Packed;
    readonly w_sums: Packed; // in the order of seen
    readonly x_rest: Packed;
    readonly w_rest: Packed; // in the order of seen
  } | null;
}

export type Weights = Readonly<Record<"full" | "local" | "shared", number>>;

export interface Slid extends Sliding {
  readonly kernel_sum: number;
  readonly fits: readonly (readonly [number, number, number])[];
  readonly weights: Weights;
  readonly known: {
    readonly images: readonly (readonly [string, string])[];
    readonly kernels: readonly string[];
  };
  readonly copies?: Copies;
  readonly matrix?: {
    readonly columns: Packed; // [T,P·Q]
    readonly difference: number; // between the matrix's product and the output
    readonly difference_back: number; // between the transposed one's and x̄
    readonly sent: Packed; // [T,P·Q], what each window sends back
    readonly large: { readonly units: number; readonly window: number; readonly weights: Weights };
  };
}

export interface Copies {
  readonly of: "weights" | "pixels";
  readonly places: readonly number[];
  readonly left_out: number;
  readonly factors: Packed;
  readonly layers: Packed; // [N,P·Q], backward [N,H·W]
  readonly partial: Packed;
  readonly scale: Scale;
}

export interface Channels extends Sliding {
  readonly parameters: number;
  readonly known: {
    readonly images: readonly (readonly [string, string])[];
    readonly kernels: readonly (readonly [string, string])[];
  };
}

export interface Pool extends Shared {
  readonly columns: Packed;
  readonly winner: Packed | null;
  readonly ties: Packed;
  readonly tied: number;
  readonly y_bar: Packed;
  readonly x_bar: Packed;
  readonly to_x: Packed;
  readonly moved: {
    readonly x: Packed;
    readonly y: Packed;
    readonly differs: Packed;
    readonly changed: number;
  };
  readonly known: { readonly images: readonly (readonly [string, string])[] };
}

export type Answer =
  | { readonly tab: "pool"; readonly found: Pool }
  | { readonly tab: "channels"; readonly found: Channels }
  | { readonly tab: "slide" | "copies" | "wiring"; readonly found: Slid };

const post = <T>(path: string, body: BodyInit, type: string) =>
  ask<T>(path, { method: "POST", headers: { "Content-Type": type }, body });

/** All that follows from a view. */
export async function getAnswer(view: View): Promise<Answer> {
  const { path, asked } = question(view);
  const found = await post(path, JSON.stringify(asked), "application/json");
  return { tab: view.tab, found } as Answer;
}

/** An image file as numbers. */
export const getPicture = (file: Blob, size: number) =>
  post<{ image: string }>(`/api/lab/picture?size=${size}`, file, "application/octet-stream").then(
    (found) => found.image,
  );
