/** Pictures of tensors: the colour of a number, the place of a cell.  Nothing of a model. */

import type { Figure } from "./api";
import { isParameter, type Direction, type Layer, type Sizes, type Tile } from "./record";

export type Colour = readonly [number, number, number];

/** Stops of the three scales, from the most negative to the most positive, and the rest. */
export interface Palette {
  readonly ink: readonly Colour[]; // values that are never negative
  readonly signed: readonly Colour[];
  readonly signal: readonly Colour[];
  readonly nan: Colour;
  readonly dot: Colour; // on exact zeros
  readonly paper: Colour;
}

export type Scale = keyof Pick<Palette, "ink" | "signed" | "signal">;

/** How a layer's numbers become colours: which scale, and the size at its ends. */
export interface Paint {
  readonly scale: Scale;
  readonly size: number;
}

/** Error signals have a scale of their own, so that they are never taken for values. */
export function paintOf(
  sizes: Sizes | null | undefined,
  mode: Direction,
  size = Number(sizes?.scale ?? 0),
): Paint {
  if (mode === "bar") return { scale: "signal", size };
  return { scale: sizes?.signed ? "signed" : "ink", size };
}

/** The colour of a number: piecewise linear between the stops, clipped at the ends. */
export function colourOf(value: number, paint: Paint, palette: Palette): Colour {
  const rgba = painter(paint, palette)(value);
  return [rgba & 255, (rgba >> 8) & 255, (rgba >> 16) & 255];
}

/** A colour as a pixel of a canvas has it: one number of 32 bits, red in the lowest byte. */
export const pixelOf = ([red, green, blue]: Colour) =>
  ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** Colours of many numbers, as pixels: without a list for each, as a stroke paints 100,000. */
export function painter(paint: Paint, palette: Palette): (value: number) => number {
  const stops = palette[paint.scale];
  const [nan, last] = [pixelOf(palette.nan), stops.length - 1];
  return (value) => {
    if (Number.isNaN(value)) return nan;
    const share = paint.size > 0 ? value / paint.size : Math.sign(value);
    const along = paint.scale === "ink" ? share : (share + 1) / 2;
    const at = Math.min(1, Math.max(0, along)) * last;
    const left = Math.min(Math.floor(at), last - 1);
    const [a, b, part] = [stops[left] as Colour, stops[left + 1] as Colour, at - left];
    const red = Math.round(a[0] + part * (b[0] - a[0]));
    const green = Math.round(a[1] + part * (b[1] - a[1]));
    const blue = Math.round(a[2] + part * (b[2] - a[2]));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  };
}

/** "#1d4f9c" as three numbers. */
export function colour(hex: string): Colour {
  const text = hex.trim();
  if (!/^#[\da-f]{6}$/i.test(text)) throw new Error(`got ${hex}, needs a colour such as #1d4f9c`);
  const at = (k: number) => Number.parseInt(text.slice(k, k + 2), 16);
  return [at(1), at(3), at(5)];
}

// ------------------------------------------------------------ places

/** Cells of a picture: ``count`` of them, row by row, or down the columns; sizes in CSS pixels. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  readonly count: number;
  readonly down: boolean;
  readonly width: number;
  readonly height: number;
}

/** A map whose longer side has about so many pixels; cells are whole pixels, if they are many. */
export function mapGrid(rows: number, columns: number, side: number): Grid {
  const most = Math.max(rows, columns, 1);
  const cell = most > side ? side / most : Math.floor(side / most);
  return { rows, columns, count: rows * columns, down: false, width: cell, height: cell };
}

/** A vector from top to bottom, in several columns where one would be too long. */
export function stripGrid(count: number, height: number, width: number): Grid {
  const most = Math.max(1, Math.floor(height / 3));
  const columns = Math.ceil(count / most);
  const rows = Math.ceil(count / columns);
  const tall = Math.min(24, Math.max(1, Math.floor(height / rows)));
  const wide = Math.max(4, Math.floor(width / columns));
  return { rows, columns, count, down: true, width: wide, height: tall };
}

/** A vector as a block, row by row. */
export function blockGrid(count: number, side: number): Grid {
  const columns = Math.max(1, Math.min(count, Math.ceil(Math.sqrt(1.5 * count))));
  const rows = Math.ceil(count / columns);
  const cell = Math.max(2, Math.min(48, Math.floor(side / columns)));
  return { rows, columns, count, down: false, width: cell, height: cell };
}

/** Row and column of a cell. */
export function cellAt(grid: Grid, cell: number): readonly [number, number] {
  return grid.down
    ? [cell % grid.rows, Math.floor(cell / grid.rows)]
    : [Math.floor(cell / grid.columns), cell % grid.columns];
}

/** The cell one step away, or the same one at an edge. */
export function moved(grid: Grid, cell: number, key: string): number {
  const [row, column] = cellAt(grid, cell);
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
  if (!step) return cell;
  const [r, c] = [row + (step[0] ?? 0), column + (step[1] ?? 0)];
  if (r < 0 || c < 0 || r >= grid.rows || c >= grid.columns) return cell;
  const next = grid.down ? c * grid.rows + r : r * grid.columns + c;
  return next < grid.count ? next : cell;
}

/** A path around all cells but those of the runs (first and last, within a row), even-odd. */
export function outside(
  grid: Grid,
  [w, h]: readonly [number, number],
  runs: readonly (readonly [number, number])[],
): string {
  const box = (x: number, y: number, width: number, height: number) =>
    `M${x} ${y}h${width}v${height}h${-width}z`;
  const parts = runs.flatMap(([first, last]) => {
    if (!grid.down) {
      const [row, column] = cellAt(grid, first);
      return box(column * w, row * h, (last - first + 1) * w, h);
    }
    return Array.from({ length: last - first + 1 }, (_, k) => {
      const [row, column] = cellAt(grid, first + k);
      return box(column * w, row * h, w, h);
    });
  });
  return box(0, 0, grid.columns * w, grid.rows * h) + parts.join("");
}

/** How many maps stand beside each other: at most six large or eight small ones below each other. */
export const mapColumns = (maps: number) => Math.max(1, Math.ceil(maps / (maps > 6 ? 8 : 6)));

// ------------------------------------------------------------ indices

export const cellsOf = (layer: Layer) => Math.max(1, layer.rows) * layer.columns;

/** The index of a cell of a map in the node's whole value: a parameter's has no sample. */
export function indexOf(layer: Layer, sample: number, map: number, cell: number): number[] {
  let flat = map * cellsOf(layer) + cell;
  const index: number[] = [];
  for (const size of [...layer.shape].reverse()) {
    index.unshift(flat % size);
    flat = Math.floor(flat / size);
  }
  return isParameter(layer) ? index : [sample, ...index];
}

/** Map and cell of an index that begins with the sample. */
export function placeOf(layer: Layer, index: readonly number[]): { map: number; cell: number } {
  const first = isParameter(layer) ? 0 : 1; // the sample
  const flat = layer.shape.reduce((sum, size, k) => sum * size + (index[k + first] ?? 0), 0);
  return { map: Math.floor(flat / cellsOf(layer)), cell: flat % cellsOf(layer) };
}

/** Where a map's numbers begin among those of a tile; null if they are not there. */
export function mapAt(tile: Tile | undefined, layer: Layer, map: number): number | null {
  const found = tile?.maps.indexOf(map) ?? -1;
  return found < 0 ? null : found * cellsOf(layer);
}

/** A cell in words: "(4, 5)" of a map, "17" of a strip. */
export function cellName(layer: Layer, cell: number): string {
  if (layer.rows === 0) return String(cell);
  return `(${Math.floor(cell / layer.columns)}, ${cell % layer.columns})`;
}

// ------------------------------------------------------------ sizes on one axis

/** Whole powers of ten around all sizes above zero. */
export function axis(sizes: readonly Figure[]): readonly [number, number] {
  const found = sizes.map(Number).filter((size) => size > 0 && Number.isFinite(size));
  if (!found.length) return [0, 1];
  const low = Math.floor(Math.log10(Math.min(...found)));
  return [low, Math.max(low + 1, Math.ceil(Math.log10(Math.max(...found)))) + 0]; // no −0
}

/** How far along a size stands, from 0 to 1; one that is no number above zero stands at 0. */
export function along(size: Figure, [low, high]: readonly [number, number]): number {
  const power = Math.log10(Number(size));
  return Number.isFinite(power) ? Math.min(1, Math.max(0, (power - low) / (high - low))) : 0;
}
