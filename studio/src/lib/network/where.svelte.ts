/** What of a run is looked at: the selection of the URL, with what stands where it says nothing. */

import { place } from "../location.svelte";
import { cellsOf } from "../pictures";
import { linkOf, type Direction, type Kind, type Layer, type View } from "../record";
import { RecordedStep } from "../recorded.svelte";
import { link, type Selection } from "../selection";

export const to = (changes: Partial<Selection>) =>
  link("/network", { ...place.selection, ...changes });

/** What is seen, where no seed has to be named. */
export function said(kind: Kind, direction: Direction): string {
  const of =
    kind === "probe"
      ? "Fixed validation samples, in evaluation mode"
      : "The samples that the step was trained on";
  return direction === "update" ? `${of}; what the optimizer added to each parameter.` : `${of}.`;
}

/** Nothing open: neither a layer nor a number. */
export const OUT = { node: null, unit: null, number: null } as const;

export class Where extends RecordedStep {
  readonly #view: () => View | undefined;

  /** view: what is shown of the step that is looked at. */
  constructor(view: () => View | undefined) {
    super("/network", true);
    this.#view = view;
  }

  readonly direction = $derived<Direction>(this.chosen.mode ?? "value");
  readonly opened = $derived(this.chosen.number === null ? null : linkOf(this.chosen.number));

  get layer(): Layer | undefined {
    const view = this.#view();
    const named = (each: Layer) => String(each.node) === this.chosen.node;
    return view?.layers.find(named) ?? view?.parameters.find(named);
  }

  readonly #units = $derived((this.chosen.unit ?? "").split(",").filter(Boolean).map(Number));

  get map(): number {
    const layer = this.layer;
    if (!layer) return 0;
    return Math.min(Math.max(0, this.#units[0] ?? layer.shown[0] ?? 0), layer.maps - 1);
  }

  get cell(): number | null {
    const layer = this.layer;
    if (!layer || this.#units.length < 2) return null;
    const [, row = 0, column] = this.#units;
    const found = layer.rows ? row * layer.columns + (column ?? 0) : row;
    return found < cellsOf(layer) ? found : null;
  }
}

/** A map and a cell as the URL has them. */
export function unitText(of: Layer, map: number, cell: number | null): string {
  if (cell === null) return String(map);
  if (!of.rows) return `${map},${cell}`;
  return `${map},${Math.floor(cell / of.columns)},${cell % of.columns}`;
}
