/** Asking the worker for layouts. */

import type { Level, Placed } from "./layout";

interface Answer {
  readonly id: number;
  readonly placed: Placed;
}

export class Layouts {
  #worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
  #waiting = new Map<number, (placed: Placed) => void>();
  #next = 0;

  constructor() {
    this.#worker.onmessage = (event: MessageEvent<Answer>) => {
      this.#waiting.get(event.data.id)?.(event.data.placed);
      this.#waiting.delete(event.data.id);
    };
  }

  /** The layout of a level and those in it. */
  of(level: Level): Promise<Placed> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, level });
    });
  }

  end(): void {
    this.#worker.terminate();
  }
}
