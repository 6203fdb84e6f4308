/** Which part of a layer a change is of: a map, a unit of a vector, a row of tokens. */

import type { Edit, Layer } from "../record";

/** The number by which the server turns a part off: of a vector the unit, of tokens the row. */
export function partOf(layer: Layer, map: number, cell: number): number {
  if (layer.shape.length < 2) return cell;
  return layer.shape.length === 2 ? Math.floor(cell / layer.columns) : map;
}

/** What such a part is called. */
export const partName = (layer: Layer) => ["Unit", "Unit", "Row"][layer.shape.length] ?? "Map";

/** The parts of a layer that are off. */
export const offOf = (edit: Edit | null, layer: Layer): ReadonlySet<number> =>
  new Set(
    (edit?.edits ?? []).flatMap((each) =>
      each.kind === "off" && each.node === layer.node && each.map !== undefined ? [each.map] : [],
    ),
  );

/** The nodes of which something was changed. */
export const changedNodes = (edit: Edit | null): ReadonlySet<number> =>
  new Set(edit?.edits.map((each) => each.node));
