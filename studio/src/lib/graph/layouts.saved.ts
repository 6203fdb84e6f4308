/** Layouts in a saved file: it has no worker, so that each is laid out when it is asked for. */

import { place, type Level, type Placed } from "./layout";

export class Layouts {
  #known = new Map<string, Placed>();

  /** The layout of a level and those in it. */
  of(level: Level): Promise<Placed> {
    return Promise.resolve(place(level, this.#known));
  }

  end(): void {
    this.#known.clear();
  }
}
