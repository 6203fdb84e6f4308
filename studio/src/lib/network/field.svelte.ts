/** What an open unit sees of the data, through all layers: frames on their pictures. */

import { getField, isParameter, type Layer } from "../record";
import type { Shown } from "./shown.svelte";

const PAUSE = 60; // milliseconds that a pointer rests before the server is asked

interface Seen {
  readonly node: number;
  readonly rows: readonly [number, number];
  readonly columns: readonly [number, number];
}

export class Field {
  #boxes = $state.raw<readonly Seen[]>([]);

  forget(): void {
    this.#boxes = [];
  }

  /** Ask for the field of an element of a layer; returns how to give that up. */
  look(shown: Shown, layer: Layer, index: readonly number[]): (() => void) | undefined {
    if (isParameter(layer) || layer.op === "data") {
      this.forget();
      return undefined;
    }
    let current = true;
    const timer = window.setTimeout(() => {
      getField(shown.at, layer.node, index).then(
        (boxes) => {
          if (current) this.#boxes = boxes;
        },
        () => {
          if (current) this.forget();
        },
      );
    }, PAUSE);
    return () => {
      current = false;
      window.clearTimeout(timer);
    };
  }

  /** The first and the last cell of each frame on a layer's maps. */
  framesOf(layer: Layer): (readonly [number, number])[] {
    const cell = (box: Seen, k: 0 | 1) => box.rows[k] * layer.columns + box.columns[k];
    return this.#boxes
      .filter((box) => box.node === layer.node && layer.rows > 0)
      .map((box) => [cell(box, 0), cell(box, 1)] as const);
  }
}
