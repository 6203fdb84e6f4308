/** Where the colours of a picture end: the largest size of its layer, its map, or the network. */

import type { Figure } from "../api";
import { paintOf, type Paint } from "../pictures";
import { isParameter, type Direction, type Layer, type Scales, type View } from "../record";

export interface Ends {
  readonly of: "layer" | "channel" | "network";
  readonly network: number; // the largest scale of all layers that are shown
  readonly held: Scales["scales"] | null; // over all kept steps, by the layers' keys
}

const keyOf = (layer: Layer) => layer.key ?? layer.name;

/** The ends for a view; scales of all kept steps where the colours are held. */
export function endsOf(
  view: View,
  direction: Direction,
  of: Ends["of"] | null,
  held: Scales["scales"] | null,
): Ends {
  const largest = (all: readonly (Figure | undefined)[]) =>
    all.reduce<number>((most, each) => Math.max(most, Number(each ?? 0)), 0);
  const known = direction === "update" ? null : held;
  const scales = view.layers.map((layer) =>
    known && direction !== "update" ? known[keyOf(layer)]?.[direction] : layer[direction]?.scale,
  );
  return { of: of ?? "layer", network: largest(scales), held: known };
}

/** The size at the ends of a layer's colours; of one of its maps where each has its own. */
export function sizeOf(layer: Layer, direction: Direction, ends: Ends, map?: number): number {
  const sizes = layer[direction];
  const own = Number(sizes?.scale ?? 0);
  // A parameter's numbers have a size of their own: one scale with the layers' would hide them.
  if (ends.of === "network" && !isParameter(layer)) return ends.network;
  if (ends.of === "channel" && map !== undefined) {
    const place = layer.shown.indexOf(map);
    return Number(sizes?.scales[place] ?? own);
  }
  if (ends.held && direction !== "update")
    return Number(ends.held[keyOf(layer)]?.[direction] ?? own);
  return own;
}

/** The colours of a map. */
export const paintFor = (layer: Layer, direction: Direction, ends: Ends, map?: number): Paint =>
  paintOf(layer[direction], direction, sizeOf(layer, direction, ends, map));
