/** A run's figures of each step, in buckets of neighbouring steps; and a model's answers. */

import { ask, type Figure } from "./api";
import { numbersOf } from "./record";

/** An array as the server sends it: little-endian, in base 64. */
export interface Packed {
  readonly dtype: string;
  readonly data: string;
}

export interface RateChange {
  readonly step: number; // the first that has it
  readonly rates: readonly number[];
  readonly before: readonly number[];
  readonly at: string;
}

type Kind = "gradient" | "ratio" | "dead" | "saturated";

interface Told<Numbers> {
  readonly begun: string;
  readonly since: number; // the first step of the part that is told; what is before stays
  readonly width: number;
  readonly map_width: number;
  readonly rows: number;
  readonly last: number | null;
  readonly window: number;
  readonly changes: readonly RateChange[];
  readonly steps: Numbers;
  readonly loss: Readonly<Record<"mean" | "low" | "high" | "smooth", Numbers>>;
  readonly rate: Numbers;
  readonly speed: Readonly<Record<"mean" | "smooth", Numbers>>;
  readonly maps: {
    readonly steps: Numbers;
    readonly kinds: readonly {
      readonly kind: Kind;
      readonly rows: readonly { readonly of: string; readonly values: Numbers }[];
    }[];
  };
}

export type Answer = Told<Packed>;
export type Curves = Told<readonly number[]>;
export type MapOf = Curves["maps"]["kinds"][number];

export function unpack(packed: Packed): number[] {
  const text = atob(packed.data);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return Array.from(numbersOf(bytes.buffer, packed.dtype));
}

/** All there is: what was known before the part that is told, and that part. */
export function joined(before: Curves | null, told: Answer): Curves {
  const known = told.since > 0 ? before : null;
  const kept = (steps: readonly number[] | undefined) =>
    steps ? bucketOf(steps, told.since - 1) + 1 : 0;
  const count = kept(known?.steps);
  const join = (old: readonly number[] | undefined, packed: Packed, keep = count) => [
    ...(old ?? []).slice(0, keep),
    ...unpack(packed),
  ];
  const columns = kept(known?.maps.steps);
  return {
    ...told,
    steps: join(known?.steps, told.steps),
    loss: {
      mean: join(known?.loss.mean, told.loss.mean),
      low: join(known?.loss.low, told.loss.low),
      high: join(known?.loss.high, told.loss.high),
      smooth: join(known?.loss.smooth, told.loss.smooth),
    },
    rate: join(known?.rate, told.rate),
    speed: {
      mean: join(known?.speed.mean, told.speed.mean),
      smooth: join(known?.speed.smooth, told.speed.smooth),
    },
    maps: {
      steps: join(known?.maps.steps, told.maps.steps, columns),
      kinds: told.maps.kinds.map((kind, k) => ({
        kind: kind.kind,
        rows: kind.rows.map((row, n) => ({
          of: row.of,
          values: join(known?.maps.kinds[k]?.rows[n]?.values, row.values, columns),
        })),
      })),
    },
  };
}

/** The curves of a run, from those that are known on. */
export async function getCurves(run: string, before: Curves | null): Promise<Curves> {
  const known = new URLSearchParams({
    begun: before?.begun ?? "",
    since: String(before?.steps.at(-1) ?? 0),
    width: String(before?.width ?? 0),
    map_width: String(before?.map_width ?? 0),
  });
  const told = await ask<Answer>(`/api/runs/${encodeURIComponent(run)}/curves?${known}`);
  return joined(before, told);
}

/** The last bucket that begins at a step or before it; −1 for none. */
export function bucketOf(starts: readonly number[], step: number): number {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A bucket in words: "step 7", or "steps 128 to 191". */
export function stepsOf(start: number, width: number): string {
  const word = (n: number) => n.toLocaleString("en");
  return width === 1 ? `step ${word(start)}` : `steps ${word(start)} to ${word(start + width - 1)}`;
}

/** Seconds as people say them. */
export function duration(seconds: Figure | null): string {
  if (seconds === null || typeof seconds === "string") return "";
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Figures by epoch, those of training and of validation under one name. */
export interface EpochChart {
  readonly name: string;
  readonly epochs: readonly number[];
  readonly lines: readonly { readonly name: string; readonly values: readonly Figure[] }[];
}

/** Which figures by epoch stand in which chart. */
export function epochCharts(history: readonly Readonly<Record<string, Figure>>[]): EpochChart[] {
  const names = [...new Set(history.flatMap((figures) => Object.keys(figures)))];
  const epochs = history.map((_, k) => k + 1);
  const bare = (name: string) => name.replace(/^val_/, "");
  const charts = [...new Set(names.map(bare))].filter((name) => name !== "seconds");
  return charts.map((chart) => ({
    name: chart,
    epochs,
    lines: names
      .filter((name) => bare(name) === chart)
      .map((name) => ({
        name: name === chart ? "training" : "validation",
        values: history.map((figures) => figures[name] ?? "NaN"),
      })),
  }));
}

/** A scale for sizes above 0: whole powers of ten around the middle 98 percent of them. */
export function powers(rows: readonly (readonly number[])[]): readonly [number, number] {
  const found = rows.flat().filter((size) => size > 0 && Number.isFinite(size));
  if (!found.length) return [-1, 0];
  const logs = found.map(Math.log10).sort((a, b) => a - b);
  const at = (share: number) => logs[Math.round(share * (logs.length - 1))] ?? 0;
  const low = Math.floor(at(0.01));
  return [low, Math.max(low + 1, Math.ceil(at(0.99))) + 0]; // no −0
}

// ------------------------------------------------------------ a model of two inputs

export interface SurfaceLayer<Numbers = ArrayLike<number>> {
  readonly name: string;
  readonly units: number;
  readonly low: number;
  readonly high: number;
  readonly values: Numbers; // of each unit side², the first row with the smallest x₂
}

export interface Surface {
  readonly step: number;
  readonly side: number;
  readonly low: readonly [number, number];
  readonly high: readonly [number, number];
  readonly layers: readonly SurfaceLayer[];
  readonly inputs: readonly number[]; // x₁, x₂ of each point
  readonly targets: readonly number[];
}

export interface NoSurface {
  readonly none: string;
  readonly remedy: string;
}

type SurfaceAnswer = Omit<Surface, "layers" | "inputs" | "targets"> & {
  readonly layers: readonly SurfaceLayer<Packed>[];
  readonly points: { readonly inputs: Packed; readonly targets: Packed };
};

export async function getSurface(run: string, step: number): Promise<Surface | NoSurface> {
  const path = `/api/runs/${encodeURIComponent(run)}/surface/${step}`;
  const found = await ask<SurfaceAnswer | NoSurface>(path);
  if ("none" in found) return found;
  const { points, layers, ...rest } = found;
  return {
    ...rest,
    layers: layers.map((layer) => ({ ...layer, values: unpack(layer.values) })),
    inputs: unpack(points.inputs),
    targets: unpack(points.targets),
  };
}
