/** What was read of a run: its kept steps, and of the one that is looked at the pictures' numbers. */

import { ApiError } from "../api";
import {
  getScales,
  getTiles,
  getView,
  type At,
  type Direction,
  type Kind,
  type Layer,
  type Scales,
  type Tiles,
  type View,
} from "../record";
import { changes } from "./changes.svelte";

export interface Shown {
  readonly at: At;
  readonly view: View;
  readonly sample: number;
  readonly direction: Direction;
  readonly tiles: Tiles;
}

/** What is to be shown. */
export interface Asked {
  readonly at: At;
  readonly sample: number;
  readonly direction: Direction;
  readonly order: string | null;
  readonly seed: string | null; // of the URL, where error signals are asked for
}

const told = (error: unknown) =>
  error instanceof ApiError
    ? error
    : new ApiError(0, "This step could not be read.", "Load the page again.");

const together = (...all: readonly Tiles[]): Tiles => new Map(all.flatMap((each) => [...each]));

const REMEMBERED = 24; // views that were read, so that going back in time is immediate

export class Reading {
  now = $state.raw<Shown | null>(null);
  failure = $state.raw<ApiError | null>(null);
  scales = $state.raw<(Scales & { key: string }) | null>(null);

  #turn = 0;
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing is drawn from it
  #known = new Map<string, Shown>();
  #parameters: { same: string; described: readonly Layer[]; tiles: Tiles } | null = null;
  #latest: Promise<void> = Promise.resolve();

  /** When what was asked for last is shown, or could not be. */
  get settled(): Promise<void> {
    return this.#latest;
  }

  /** Read and show; an answer that comes after a newer question is dropped. */
  show(asked: Asked): Promise<void> {
    return (this.#latest = this.#show(asked));
  }

  async #show(asked: Asked): Promise<void> {
    const turn = ++this.#turn;
    const key = JSON.stringify(asked);
    try {
      const found = this.#known.get(key) ?? (await this.#read(asked));
      this.#remember(key, found);
      if (turn === this.#turn) [this.now, this.failure] = [found, null];
    } catch (error) {
      if (turn === this.#turn) this.failure = told(error);
    }
  }

  async #read(asked: Asked): Promise<Shown> {
    const { sample, direction, order } = asked;
    const seed = direction === "bar" ? asked.seed : null;
    const at = { ...asked.at, edit: await changes.seeded(asked.at, sample, seed) };
    // While somebody draws the parameters stay: of a large model they are most of the numbers.
    const same = [at.run, at.kind, at.step, order].join();
    const known =
      direction === "value" && this.#parameters?.same === same && changes.keepsParameters(at.edit)
        ? this.#parameters
        : null;
    const what = direction === "bar" ? "bar" : "value";
    const updating = direction === "update"; // a parameter that stays has no picture then
    const [found, layers, moved] = await Promise.all([
      getView(at, sample, order, direction, known === null),
      getTiles(at, what, sample, order, known === null && !updating),
      updating ? getTiles(at, "update", sample, order) : null,
    ]);
    const view = known ? { ...found, parameters: known.described } : found;
    const tiles = known ? together(known.tiles, layers) : layers;
    if (direction === "value" && !known && changes.keepsParameters(at.edit)) {
      this.#parameters = { same, described: view.parameters, tiles };
    }
    return { at, view, sample, direction, tiles: moved ? together(tiles, moved) : tiles };
  }

  #remember(key: string, found: Shown): void {
    this.#known.delete(key);
    this.#known.set(key, found);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= REMEMBERED) break;
      this.#known.delete(oldest);
    }
  }

  /** Read the scales of all kept steps, part by part; returns how to give that up. */
  hold(run: string, kind: Kind, sample: number): () => void {
    let current = true;
    const key = `${run} ${kind} ${sample}`;
    const more = async () => {
      while (current) {
        const found = await getScales(run, kind, sample);
        if (current) this.scales = { ...found, key };
        if (found.read >= found.steps) return;
      }
    };
    more().catch((error: unknown) => {
      if (current) this.failure = told(error);
    });
    return () => (current = false);
  }
}
