/** What was changed before the step was run again: by ID, as the server knows it. */

import { ApiError } from "../api";
import { place } from "../location.svelte";
import { postEdit, postSeen, type At, type Change, type Drawing, type Seen } from "../record";
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

/** A stroke, and what it was taken for: known before all else of that edit. */
interface Drawn {
  readonly at: At;
  readonly sample: number;
  readonly seen: Seen;
}

class Changes {
  failure = $state.raw<ApiError | null>(null);
  drawn = $state.raw<Drawn | null>(null); // the latest stroke
  #made = new Map<string, Made>();
  #seeded = new Map<string, string>();

  /** Run the step again with one more change, and look at it. */
  async make(at: At, edit: string | null, sample: number, change: Change) {
    try {
      const found = await postEdit(at, { base: edit, sample, edits: [change], seed: null });
      this.#made.set(found.edit, { base: edit, change, sample });
      this.failure = null;
      place.go(to({ edit: found.edit }));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Run the step again with a drawing, and look at it; the classes are here before the maps. */
  async draw(at: At, edit: string | null, sample: number, node: number, drawing: Drawing) {
    const last = edit === null ? undefined : this.#made.get(edit);
    // A drawing that goes on is one change, not one for each stroke.
    const goesOn = last?.change.kind === "input" && last.sample === sample;
    const base = goesOn ? last.base : edit;
    try {
      const seen = await postSeen(at, node, drawing, sample, base);
      this.failure = null;
      if (!seen.edit || seen.pixels === null) return seen;
      const change = { kind: "input", node, pixels: seen.pixels } as const;
      this.#made.set(seen.edit, { base, change, sample });
      this.drawn = { at: { ...at, edit: seen.edit }, sample, seen };
      const href = to({ edit: seen.edit });
      if (goesOn) place.replace(href);
      else place.go(href);
      return seen;
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  /** The classes of a drawing whose maps are not read yet; null if it is no such. */
  scoresOf(at: At, sample: number): Seen["scores"] {
    const found = this.drawn;
    const same = (["run", "kind", "step", "edit"] as const).every((k) => found?.at[k] === at[k]);
    return (same && found?.sample === sample && found.seen.scores) || null;
  }

  /** Whether an edit ends in a drawing. */
  isDrawing(edit: string | null): boolean {
    return edit !== null && this.#made.get(edit)?.change.kind === "input";
  }

  /** Without the last change. The one before it is known as long as the page is open. */
  undo(edit: string): void {
    this.failure = null;
    place.go(to({ edit: this.#made.get(edit)?.base ?? null }));
  }

  understood(): void {
    this.failure = null;
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
