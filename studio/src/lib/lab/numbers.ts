/** Arrays as the lab's server sends them, numbers as text, and which window reads what. */

/** Base64 of little-endian bytes in C order. */
export interface Packed {
  readonly shape: readonly number[];
  readonly dtype: "float64" | "int32" | "uint8";
  readonly data: string;
}

const seen = new WeakMap<Packed, ArrayLike<number>>();

/** The numbers of an array, each with all its bits. */
export function read(packed: Packed): ArrayLike<number> {
  const known = seen.get(packed);
  if (known) return known;
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const numbers =
    packed.dtype === "float64"
      ? new Float64Array(bytes.buffer)
      : packed.dtype === "int32"
        ? new Int32Array(bytes.buffer)
        : bytes;
  seen.set(packed, numbers);
  return numbers;
}

/** The size of an axis; negative ones count from the last. */
export const sizeOf = (packed: Packed, axis: number) => packed.shape.at(axis) ?? 1;

// ------------------------------------------------------------ text

/** "1 0_0 1" as a person writes it: a line for a row, an empty one between channels. */
export const asLines = (text: string) => text.replace(/_+/g, (all) => "\n".repeat(all.length));

/** What a person wrote, as the address has it. */
export function asText(lines: string): string {
  return lines
    .replace(/\r/g, "")
    .replace(/−/g, "-")
    .replace(/[,;\t ]+/g, " ")
    .replace(/ *\n */g, "\n")
    .trim()
    .replace(/\n+/g, (all) => "_".repeat(Math.min(3, all.length)));
}

/** The text with some numbers in other ones' place, by their number in it. */
export function withNumbers(text: string, changes: ReadonlyMap<number, number>): string {
  let at = 0;
  return text.replace(/[^\s_]+/g, (word) => String(changes.get(at++) ?? word));
}

// ------------------------------------------------------------ windows

/** How windows stand in an image with columns and rows, padding before it and taps. */
export interface Windows {
  readonly places: ArrayLike<number>; // of each tap of each window, −1 in the padding
  readonly taps: number;
  readonly count: number;
}

/** Windows and their taps that read one cell: pairs of the window's and the tap's number. */
export function readers(windows: Windows, cell: number): (readonly [number, number])[] {
  const found: (readonly [number, number])[] = [];
  for (let k = 0; k < windows.count * windows.taps; k++) {
    if (windows.places[k] === cell) found.push([Math.floor(k / windows.taps), k % windows.taps]);
  }
  return found;
}

/** Row and column of each tap of a window, in the image: outside of it where the padding is. */
export function tapsOf(
  window: number,
  of: {
    across: number; // windows in a row
    kernel: readonly [number, number];
    stride: readonly [number, number];
    dilation: number;
    before: readonly [number, number];
  },
): (readonly [number, number])[] {
  const top = Math.floor(window / of.across) * of.stride[0] - of.before[0];
  const left = (window % of.across) * of.stride[1] - of.before[1];
  const found: (readonly [number, number])[] = [];
  for (let row = 0; row < of.kernel[0]; row++) {
    for (let column = 0; column < of.kernel[1]; column++) {
      found.push([top + row * of.dilation, left + column * of.dilation]);
    }
  }
  return found;
}

/** The next cell in a direction, or the same one at an edge; Home and End are the corners. */
export function stepped(cell: number, key: string, rows: number, columns: number): number {
  const [row, column] = [Math.floor(cell / columns), cell % columns];
  if (key === "ArrowLeft") return column > 0 ? cell - 1 : cell;
  if (key === "ArrowRight") return column < columns - 1 ? cell + 1 : cell;
  if (key === "ArrowUp") return row > 0 ? cell - columns : cell;
  if (key === "ArrowDown") return row < rows - 1 ? cell + columns : cell;
  if (key === "Home") return 0;
  if (key === "End") return rows * columns - 1;
  return cell;
}

/** A number in a small cell: at most three digits. */
export function short(value: number): string {
  const text = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(2)));
  return text.replace("-", "−").replace(/^(−?)0\./, "$1.");
}
