/** The keys of the page that is open, beside those of all pages. */

import type { Key } from "./keys";

class OwnKeys {
  now: readonly Key[] | null = $state.raw(null);

  /** Let a page have keys; returns how to end that. */
  have(keys: readonly Key[]): () => void {
    this.now = keys;
    return () => (this.now = null);
  }
}

export const ownKeys = new OwnKeys();
