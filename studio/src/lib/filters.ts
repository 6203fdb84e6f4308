/** Fields of units, filters of a step, and films of filters through the kept steps. */

import { ask, type Figure } from "./api";
import type { At, Box, Kind, Sizes } from "./record";

/** What a unit depends on in a layer: the box around it, and its cells as runs within rows. */
export interface Seen extends Box {
  readonly of: number;
  readonly map: number; // one that is seen, the largest by rms
  readonly runs: readonly (readonly [number, number])[];
  readonly same: boolean;
}

export interface Row {
  readonly node: number;
  readonly name: string;
  readonly op: string;
  readonly window: Readonly<
    Record<"kernel" | "stride" | "padding" | "dilation", readonly number[]>
  > | null;
  readonly size: readonly string[];
  readonly jump: readonly string[];
}

export interface Formula {
  readonly input: number;
  readonly rows: readonly Row[];
  readonly size: readonly number[];
  readonly jump: readonly string[] | null;
  readonly start: readonly string[] | null;
  readonly centre: readonly string[] | null;
  readonly differs: boolean; // the formula's box from what is really seen
}

export interface Field {
  readonly node: number;
  readonly index: readonly number[];
  readonly others: boolean; // through numbers of the whole batch all samples are seen
  readonly layers: readonly Seen[];
  readonly formula: Formula | null;
}

export interface Pair {
  readonly first: number;
  readonly second: number;
  readonly cosine: Figure;
}

/** The weight of a convolution, or of a first linear layer, in one step. */
export interface Bank {
  readonly name: string;
  readonly node: number;
  readonly map: number;
  readonly map_shape: readonly number[];
  readonly map_op: string;
  readonly linear: boolean;
  readonly colours: boolean;
  readonly shape: readonly number[];
  readonly filters: number;
  readonly depth: number;
  readonly rows: number; // 0: strips
  readonly columns: number;
  readonly shown: readonly number[];
  readonly channels: readonly number[];
  readonly weights: Sizes | null;
  readonly samples: number;
  readonly alive: readonly number[] | null;
  readonly most: readonly Figure[] | null;
  readonly judged: boolean;
  readonly alike: number;
  readonly pairs: readonly Pair[];
}

/** A bank in the kept steps that were loaded: numbers of step, filter, channel, row, column. */
export interface Film {
  readonly name: string;
  readonly all: readonly number[];
  readonly steps: readonly number[];
  readonly filters: readonly number[];
  readonly channels: readonly number[];
  readonly rows: number;
  readonly columns: number;
  readonly most: readonly number[];
  readonly alive: readonly (readonly number[] | null)[];
  readonly samples: readonly number[];
  readonly numbers: Float32Array;
}

const ofRun = (run: string) => `/api/runs/${encodeURIComponent(run)}`;
const ofStep = (at: At) => `${ofRun(at.run)}/steps/${at.kind}/${at.step}`;

export const getField = (at: At, node: number, index: readonly number[]) =>
  ask<Field>(`${ofStep(at)}/reach?node=${node}&index=${index.join(",")}`);

export const getBanks = (at: At) =>
  ask<{ banks: Bank[] }>(`${ofStep(at)}/filters`).then((found) => found.banks);

/** Some of the kept steps, from the one numbered ``from`` on. */
export async function getFilm(run: string, kind: Kind, name: string, from: number): Promise<Film> {
  const query = new URLSearchParams({ name, from: String(from) });
  const path = `${ofRun(run)}/films/${kind}?${query}`;
  const found = await ask<Omit<Film, "numbers"> & { numbers: string }>(path);
  return { ...found, numbers: decoded(found.numbers) };
}

/** float32, little-endian, from base64. */
export function decoded(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** A film and its continuation; a film of other filters begins anew. */
export function continued(film: Film | null, more: Film): Film {
  const same =
    film?.name === more.name &&
    film.filters.join() === more.filters.join() &&
    film.channels.join() === more.channels.join();
  if (!film || !same) return more;
  const numbers = new Float32Array(film.numbers.length + more.numbers.length);
  numbers.set(film.numbers);
  numbers.set(more.numbers, film.numbers.length);
  return {
    ...more,
    steps: [...film.steps, ...more.steps],
    most: [...film.most, ...more.most],
    alive: [...film.alive, ...more.alive],
    samples: [...film.samples, ...more.samples],
    numbers,
  };
}

/** Where the kernels of a filter begin in a film; null if it has no such step or filter. */
export function placeIn(film: Film, step: number, filter: number, channel: number): number | null {
  const [t, k, c] = [
    film.steps.indexOf(step),
    film.filters.indexOf(filter),
    film.channels.indexOf(channel),
  ];
  if (t < 0 || k < 0 || c < 0) return null;
  const cells = film.rows * film.columns;
  return ((t * film.filters.length + k) * film.channels.length + c) * cells;
}

/** At most so many of the steps, evenly spaced, the first and the last among them. */
export function some(steps: readonly number[], most: number): number[] {
  if (steps.length <= most) return [...steps];
  const last = steps.length - 1;
  const places = Array.from({ length: most }, (_, k) => Math.round((k * last) / (most - 1)));
  return [...new Set(places)].map((place) => steps[place] as number);
}

/** "14 × 14", of numbers or texts. */
export const by = (sizes: readonly (number | string)[]) => sizes.join(" × ");
