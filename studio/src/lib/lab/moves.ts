/** Where a window stands, and the next one: places in the address, no numbers of the answer. */

import { sizeOf, stepped, type Packed } from "./numbers";
import { placeOf, placeText, type View } from "./view";

/** What a window moves over: the output, backward the image. */
export interface Plane {
  readonly rows: number;
  readonly columns: number;
}

export const planeOf = (packed: Packed | undefined): Plane | null =>
  packed ? { rows: sizeOf(packed, 1), columns: sizeOf(packed, 2) } : null;

/** Map, row and column of the open place; the first where none is. */
function openAt(view: View, node: string): readonly [number, number, number] {
  const open = placeOf(view.at);
  const [lead = 0, row = 0, column = 0] = open?.node === node ? open.index : [];
  return [lead, row, column];
}

const placeAt = (node: string, lead: number, cell: number, { columns }: Plane) =>
  placeText({ node, index: [lead, Math.floor(cell / columns), cell % columns] });

/** The window (backward: the pixel) one step on; keeps the map or channel. */
export function moved(view: View, plane: Plane, key: string): Partial<View> {
  const node = view.mode === "bar" ? "x" : "y";
  const [lead, row, column] = openAt(view, node);
  const next = stepped(row * plane.columns + column, key, plane.rows, plane.columns);
  return { at: placeAt(node, lead, next, plane), fill: false };
}

export interface Advance {
  readonly changes: Partial<View>;
  readonly more: boolean; // others come after it
}

/** The next window, the output filled up to it; null after the last one. */
export function nextWindow(view: View, plane: Plane): Advance | null {
  const [lead, row, column] = openAt(view, "y");
  const next = view.fill ? row * plane.columns + column + 1 : 0;
  const last = plane.rows * plane.columns - 1;
  if (next > last) return null;
  const at = placeAt("y", lead, next, plane);
  return { changes: { at, fill: next < last, mode: "value" }, more: next < last };
}

/** One copy more of so many; after the last one the first. */
export function nextCopy(view: View, count: number): Advance {
  const copy = view.copy >= count ? 1 : view.copy + 1;
  return { changes: { copy }, more: copy < count };
}
