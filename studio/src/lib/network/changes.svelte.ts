/** What was changed before the step was run again: by ID, as the server knows it. */

import { ApiError } from "../api";
import { place } from "../location.svelte";
import { postEdit, type At, type Change } from "../record";
import { link, type Selection } from "../selection";
import { seedOf } from "./seeds";

/** The page that is open, with another selection. */
const to = (changes: Partial<Selection>) => link(place.path, { ...place.selection, ...changes });

/** A way to an edit: the one before it, and what was changed then. */
interface Made {
  readonly base: string | null;
  readonly change: Change;
  readonly sample: number;
}

class Changes {
  failure = $state.raw<ApiError | null>(null);
  #made = new Map<string, Made>();
  #seeded = new Map<string, string>();

  /** Run the step again with one more change, and look at it. */
  async make(at: At, edit: string | null, sample: number, change: Change, live = false) {
    const last = edit === null ? undefined : this.#made.get(edit);
    // A drawing that goes on is one change, not one for each stroke.
    const goesOn = last?.change.kind === "input" && change.kind === "input";
    const base = goesOn && last.sample === sample ? last.base : edit;
    try {
      const found = await postEdit(at, { base, sample, edits: [change], seed: null });
      this.#made.set(found.edit, { base, change, sample });
      this.failure = null;
      const href = to({ edit: found.edit });
      if (live) place.replace(href);
      else place.go(href);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Without the last change. The one before it is known as long as the page is open. */
  undo(edit: string): void {
    this.failure = null;
    place.go(to({ edit: this.#made.get(edit)?.base ?? null }));
  }

  undoAll(): void {
    this.failure = null;
    place.go(to({ edit: null }));
  }

  /** Whether the parameters are surely those that were recorded. */
  keepsParameters(edit: string | null): boolean {
    for (let id = edit; id !== null;) {
      const made = this.#made.get(id);
      if (!made || made.change.kind === "nudge") return false;
      id = made.base;
    }
    return true;
  }

  /** Whether more than one change can be undone one by one. */
  canUndo(edit: string | null): boolean {
    return edit !== null && this.#made.get(edit)?.base != null;
  }

  /** Without one change: the others are made again. */
  async without(at: At, edit: string, change: (of: Change) => boolean) {
    const made: Made[] = [];
    for (let id: string | null = edit; id !== null;) {
      const found: Made | undefined = this.#made.get(id);
      if (!found) break;
      made.unshift(found);
      id = found.base;
    }
    let base: string | null = null;
    try {
      for (const each of made.filter((each) => !change(each.change))) {
        const asked = { base, sample: each.sample, edits: [each.change], seed: null };
        const next: string = (await postEdit(at, asked)).edit;
        this.#made.set(next, { ...each, base });
        base = next;
      }
      place.go(to({ edit: base }));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The edit with a seed for a sample: what a backward is asked for with. */
  async seeded(at: At, sample: number, seed: string | null): Promise<string | null> {
    const wanted = seedOf(seed);
    const edit = at.edit ?? null;
    if (wanted === null) return edit;
    const key = JSON.stringify([at, sample, seed]);
    const known = this.#seeded.get(key);
    if (known !== undefined) return known;
    const found = await postEdit(at, { base: edit, sample, edits: [], seed: wanted });
    this.#seeded.set(key, found.edit);
    return found.edit;
  }

  #fail(error: unknown): void {
    this.failure =
      error instanceof ApiError
        ? error
        : new ApiError(0, "It could not be run again.", "Undo all.");
  }
}

export const changes = new Changes();
