/** Which recorded step a page shows: the selection of the URL, with what stands where it says nothing. */

import { untrack } from "svelte";
import { ApiError, type Run } from "./api";
import { live } from "./live.svelte";
import { place } from "./location.svelte";
import { getKept, type At, type Direction, type Kept, type Kind } from "./record";
import { link, type Selection } from "./selection";

export const KINDS: readonly { kind: Kind; name: string; what: string }[] = [
  { kind: "probe", name: "Probe", what: "fixed validation samples, in evaluation mode" },
  { kind: "batch", name: "Batch", what: "the samples that the step was trained on" },
];

export const DIRECTIONS: readonly { direction: Direction; name: string }[] = [
  { direction: "value", name: "Forward" },
  { direction: "bar", name: "Backward" },
  { direction: "update", name: "Update" },
];

const told = (error: unknown) =>
  error instanceof ApiError
    ? error
    : new ApiError(0, "This step could not be read.", "Load the page again.");

/** To be made while a component begins: its effects are that component's. */
export class RecordedStep {
  readonly page: string; // its path
  failure = $state.raw<ApiError | null>(null); // of what was asked for last
  #kept = $state.raw<{ run: string; steps: Kept } | null>(null);
  asked = $state(0); // how often it was asked for once more

  readonly chosen = $derived(place.selection);
  readonly run = $derived(this.chosen.run);
  readonly known = $derived<Run | undefined>(live.runs.find((each) => each.name === this.run));
  readonly sample = $derived(this.chosen.sample ?? 0);
  readonly #edit = $derived(this.chosen.edit);

  /** The steps that were kept; undefined until they are known. */
  readonly kept = $derived(this.#kept?.run === this.run ? this.#kept?.steps : undefined);
  readonly kind = $derived<Kind>(
    this.chosen.kind ?? (this.kept && !this.kept.probe.length ? "batch" : "probe"),
  );
  readonly steps = $derived<readonly number[]>(this.kept?.[this.kind] ?? []);
  /** Without a step in the URL the newest one, also as the run goes on. */
  readonly step = $derived(this.chosen.step ?? this.steps.at(-1) ?? null);

  /** What there is to read; null where nothing is known of it, or nothing was kept. Moving about
   * in a drawing changes the selection, and not this. */
  readonly at = $derived.by<At | null>(() => {
    if (this.run === null || this.step === null || !this.steps.includes(this.step)) return null;
    return { run: this.run, kind: this.kind, step: this.step, edit: this.#edit };
  });

  /** There is nothing to be seen of it, and it is known why. */
  readonly missing = $derived(this.run === null || (this.kept !== undefined && this.at === null));

  /** page: its path.  follows: asks as often as a step is kept; else after each epoch. */
  constructor(page: string, follows = false) {
    this.page = page;
    // Asked for again as the run goes on, and when the server is back.
    $effect(() => {
      void [follows ? this.known?.kept : this.known?.epoch, this.known?.status];
      void [live.hearing === "open", this.asked];
      const run = this.run;
      if (run === null) return;
      return this.latest(getKept(run), (steps) => this.#knows({ run, steps }));
    });
  }

  /** The same steps once more are no news, unless what is seen of them could not be read. */
  #knows(kept: { run: string; steps: Kept }): void {
    const news = JSON.stringify(kept) !== JSON.stringify(this.#kept);
    if (news || this.failure) this.#kept = kept;
  }

  /** The page with another selection. */
  to(changes: Partial<Selection>): string {
    return link(this.page, { ...this.chosen, ...changes });
  }

  /** The link to the step of a kind that is nearest to the one that is looked at. */
  nearest(kind: Kind, changes: Partial<Selection> = {}): string {
    const known = this.kept?.[kind] ?? [];
    const far = (each: number) => Math.abs(each - (this.step ?? 0));
    const best = known.reduce(
      (found, each) => (far(each) < far(found) ? each : found),
      known[0] ?? 0,
    );
    const other = { sample: null, number: null, edit: null, seed: null };
    return this.to({ kind, step: best, ...other, ...changes });
  }

  /** The step that was kept so many after this one. */
  later(by: number): number | undefined {
    return this.steps[this.steps.indexOf(this.step ?? -1) + by];
  }

  /** Ask once more for what could not be read. */
  readonly again = (): void => {
    this.asked += 1;
  };

  /** Take an answer if no newer question is asked before it comes; returns how to give it up. */
  latest<Answer>(answer: Promise<Answer>, take: (found: Answer) => void): () => void {
    let current = true;
    answer.then(
      (found) => {
        if (!current) return;
        take(found);
        this.failure = null;
      },
      (error: unknown) => {
        if (current) this.failure = told(error);
      },
    );
    return () => (current = false);
  }
}

/** What was read of the step that is looked at; what was read before stays until then. */
export class LatestRead<Shown extends { readonly at: At }> {
  #shown = $state.raw<Shown | null>(null);
  readonly #step: RecordedStep;

  /** read: what it depends on before its first wait is what has it called again. */
  constructor(step: RecordedStep, read: (at: At, before: Shown | null) => Promise<Shown>) {
    this.#step = step;
    $effect(() => {
      void step.asked;
      if (step.at === null) return;
      const before = untrack(() => this.#shown);
      return step.latest(read(step.at, before), (shown) => (this.#shown = shown));
    });
  }

  /** Null until something of this run was read. */
  get now(): Shown | null {
    return this.#shown?.at.run === this.#step.run ? this.#shown : null;
  }
}
