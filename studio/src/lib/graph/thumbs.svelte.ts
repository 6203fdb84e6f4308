/** Small pictures of nodes: asked for when they are seen, dropped when they no longer are. */

import { ApiError, ask, type Figure } from "../api";
import { isEmbedded } from "../embedded";
import { number } from "../format";
import { ofStep, type At, type Mode, type Sizes as Figures } from "../record";

export interface Thumbnail {
  readonly node: number;
  readonly mode: Mode;
  readonly maps: number;
  readonly shown: readonly number[];
  readonly rows: number; // 0: a strip
  readonly columns: number;
  readonly every: readonly [number, number]; // its cells are every n-th number
  readonly numbers: Float32Array;
  readonly largest: { readonly index: readonly number[]; readonly value: Figure | boolean };
  readonly figures: Figures;
}

/** The number of a node that is one alone. */
export function numberText(thumb: Thumbnail): string {
  const { value } = thumb.largest;
  return typeof value === "boolean" ? String(value) : number(value);
}

// In one answer, so that what is no longer wanted is soon given up; a saved file has each alone.
const AT_ONCE = isEmbedded() ? 1 : 12;

const bytesOf = (text: string) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

class Thumbnails {
  found = $state.raw<ReadonlyMap<number, Thumbnail | null>>(new Map());
  #views = new Map<number, string>(); // of which view each is; an older one stays until it is replaced
  #record = "";
  #stop: AbortController | null = null;

  /** Have the pictures of these nodes; what was asked for before and is not here is given up. */
  async want(at: At, sample: number, mode: Mode, nodes: readonly number[]): Promise<void> {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    const record = `${at.run} ${at.kind}`;
    if (record !== this.#record) {
      [this.#record, this.found] = [record, new Map()];
      this.#views.clear();
    }
    const view = ofStep(at, mode, { sample });
    const missing = nodes.filter((node) => this.#views.get(node) !== view);
    for (let k = 0; k < missing.length; k += AT_ONCE) {
      const wanted = missing.slice(k, k + AT_ONCE);
      const answer = await this.#ask(at, sample, mode, wanted, stop.signal);
      if (stop.signal.aborted || !answer) return;
      for (const node of wanted) this.#views.set(node, view);
      this.found = new Map([
        ...this.found,
        ...wanted.map((node) => [node, answer.get(node) ?? null] as const),
      ]);
    }
  }

  async #ask(at: At, sample: number, mode: Mode, nodes: readonly number[], signal: AbortSignal) {
    const asked = { nodes, what: mode, sample };
    try {
      const { thumbnails } = await ask<{
        thumbnails: (Omit<Thumbnail, "numbers" | "mode"> & { numbers: string })[];
      }>(ofStep(at, "thumbnails", asked), { signal });
      return new Map(
        thumbnails.map((each) => [
          each.node,
          { ...each, mode, numbers: new Float32Array(bytesOf(each.numbers).buffer) },
        ]),
      );
    } catch (error) {
      if (signal.aborted) return null;
      if (error instanceof ApiError) return null; // the page says so of the step itself
      throw error;
    }
  }
}

export const thumbnails = new Thumbnails();
