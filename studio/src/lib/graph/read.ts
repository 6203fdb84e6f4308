/** A recorded step as the page Graph shows it: its tree, and the sizes of one sample. */

import { changes } from "../network/changes.svelte";
import type { At, Direction } from "../record";
import { getSizes, getTree, grow, type Graph, type Sizes } from "./tree";

export interface Shown {
  readonly at: At;
  readonly graph: Graph;
  readonly sizes: Sizes;
  readonly sample: number;
}

/** seed: what the error signals are to come from; before: of the same step, it has the same graph. */
export async function read(
  of: At,
  sample: number,
  what: Direction,
  seed: string | null,
  before: Shown | null,
): Promise<Shown> {
  const at = { ...of, edit: await changes.seeded(of, sample, seed) };
  const same = (["run", "kind", "step", "edit"] as const).every((k) => before?.at[k] === at[k]);
  // One after the other: the server opens the step once.
  const graph = same && before ? before.graph : grow(await getTree(at));
  return { at, graph, sizes: await getSizes(at, sample, what), sample };
}
