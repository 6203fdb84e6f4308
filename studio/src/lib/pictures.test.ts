import { expect, test } from "vitest";
import css from "../tokens.css?raw";
import { hexOf } from "./hex";
import {
  along,
  axis,
  blockGrid,
  cellAt,
  cellName,
  colour,
  colourOf,
  indexOf,
  mapColumns,
  mapGrid,
  moved,
  paintOf,
  placeOf,
  stripGrid,
  type Palette,
} from "./pictures";
import { linkOf, linkText, numbersOf, type Layer, type Sizes } from "./record";

const token = (name: string) =>
  colour(new RegExp(`--${name}: (#[\\da-f]{6});`).exec(css)?.[1] ?? "");
const scale = (name: string, ends: readonly string[]) => ends.map((end) => token(`${name}-${end}`));
const FIVE = ["lowest", "low", "zero", "high", "highest"];
const palette: Palette = {
  ink: scale("value", ["0", "1", "2", "3", "4"]),
  signed: scale("signed", FIVE),
  signal: scale("signal", FIVE),
  nan: token("not-a-number"),
  dot: token("value-1"),
  paper: token("paper"),
};
const sizes = (signed: boolean): Sizes => ({
  scale: 2,
  scales: [2],
  signed,
  low: signed ? -2 : 0,
  high: 2,
  rms: 1,
  zeros: 0,
  nan: 0,
  clipped: 0,
});
const layer = (shape: number[], maps: number, rows: number, columns: number): Layer => ({
  node: 3,
  name: "layer",
  op: "add",
  where: "",
  shape,
  maps,
  rows,
  columns,
  shown: [],
  value: null,
  bar: null,
});

test("values and error signals never share a scale", () => {
  expect(paintOf(sizes(false), "value")).toEqual({ scale: "ink", size: 2 });
  expect(paintOf(sizes(true), "value")).toEqual({ scale: "signed", size: 2 });
  expect(paintOf(sizes(false), "bar")).toEqual({ scale: "signal", size: 2 });
  expect(paintOf(null, "bar")).toEqual({ scale: "signal", size: 0 });
});

test("the ends and the middle of a scale are its stops", () => {
  const paint = paintOf(sizes(true), "bar");
  expect(colourOf(2, paint, palette)).toEqual(token("signal-highest"));
  expect(colourOf(-2, paint, palette)).toEqual(token("signal-lowest"));
  expect(colourOf(1, paint, palette)).toEqual(token("signal-high"));
  expect(colourOf(0, paint, palette)).toEqual(token("paper"));
  expect(colourOf(9, paint, palette)).toEqual(token("signal-highest"));
  expect(colourOf(-Infinity, paint, palette)).toEqual(token("signal-lowest"));
  expect(colourOf(0.5, paintOf(sizes(false), "value"), palette)).toEqual(token("value-1"));
});

test("NaN has a colour of its own, and a layer of zeros is the page", () => {
  const zeros = { scale: "signed", size: 0 } as const;
  expect(colourOf(NaN, zeros, palette)).toEqual(token("not-a-number"));
  expect(colourOf(0, zeros, palette)).toEqual(token("paper"));
});

test("a map has whole pixels, the same along both sides", () => {
  expect(mapGrid(28, 28, 56)).toMatchObject({ width: 2, height: 2, count: 784 });
  expect(mapGrid(300, 10, 60)).toMatchObject({ width: 0.2, height: 0.2 }); // drawn, then made smaller
});

test.each([1, 7, 120, 121, 500, 4096])("a strip of %i has a place for each, once", (count) => {
  for (const grid of [stripGrid(count, 360, 28), blockGrid(count, 352)]) {
    const places = Array.from({ length: count }, (_, cell) => cellAt(grid, cell).join());
    expect(new Set(places).size).toBe(count);
    for (const place of places) {
      const [row = 0, column = 0] = place.split(",").map(Number);
      expect(row < grid.rows && column < grid.columns).toBe(true);
    }
  }
});

test("no strip is higher than asked for", () => {
  for (const count of [1, 15, 84, 119, 120, 121, 999]) {
    const grid = stripGrid(count, 360, 28);
    expect(grid.rows * grid.height).toBeLessThanOrEqual(360);
  }
});

test("arrow keys move by a cell and stop at the edge", () => {
  const grid = mapGrid(3, 4, 12);
  expect(moved(grid, 5, "ArrowUp")).toBe(1);
  expect(moved(grid, 5, "ArrowRight")).toBe(6);
  expect(moved(grid, 0, "ArrowLeft")).toBe(0);
  expect(moved(grid, 11, "ArrowDown")).toBe(11);
  expect(moved(blockGrid(5, 100), 4, "ArrowRight")).toBe(4); // the last row is not full
  expect(moved(grid, 5, "x")).toBe(5);
});

test("maps stand in few columns", () => {
  expect([1, 6, 7, 16, 32].map(mapColumns)).toEqual([1, 1, 1, 2, 4]);
});

test.each([
  [layer([6, 4, 5], 6, 4, 5), 3, 17, [2, 3, 3, 2]],
  [layer([120], 1, 0, 120), 0, 99, [2, 99]],
  [layer([2, 3, 4, 5], 6, 4, 5), 4, 0, [2, 1, 1, 0, 0]],
  [layer([], 1, 0, 1), 0, 0, [2]],
] as const)("a cell has an index, and the index a cell", (of, map, cell, index) => {
  expect(indexOf(of, 2, map, cell)).toEqual(index);
  expect(placeOf(of, index)).toEqual({ map, cell });
});

test("a cell is named by row and column, or by its place in a strip", () => {
  expect(cellName(layer([6, 4, 5], 6, 4, 5), 17)).toBe("(3, 2)");
  expect(cellName(layer([120], 1, 0, 120), 17)).toBe("17");
});

test("sizes stand on an axis of whole powers of ten", () => {
  const found = axis([0, 2e-5, "NaN", 0.3]);
  expect(found).toEqual([-5, 0]);
  expect(along(1e-5, found)).toBeCloseTo(0);
  expect(along(1, found)).toBe(1);
  expect(along(0, found)).toBe(0);
  expect(along("NaN", found)).toBe(0);
  expect(axis([])).toEqual([0, 1]);
});

test("links go into the URL and come back", () => {
  const link = { node: 6, kind: "bar", index: [0, 7, 4], sample: null } as const;
  expect(linkText(link)).toBe("6.bar.0,7,4");
  expect(linkOf(linkText(link))).toEqual(link);
  const share = { node: 1, kind: "bar", index: [], sample: 3 } as const;
  expect(linkOf(linkText(share))).toEqual(share);
  for (const odd of ["", "6", "6.bar", "6.foo.1", "a.bar.1", "6.bar.1,,2", "6.bar.-1"]) {
    expect(linkOf(odd)).toBeNull();
  }
});

test("bytes are numbers of their type", () => {
  const bytes = (array: { buffer: ArrayBufferLike }) => array.buffer as ArrayBuffer;
  expect([...Array.from(numbersOf(bytes(new Float32Array([0.5, -1])), "float32"))]).toEqual([
    0.5, -1,
  ]);
  expect(Array.from(numbersOf(bytes(new BigInt64Array([7n])), "int64"))).toEqual([7]);
  expect(() => numbersOf(new ArrayBuffer(2), "float16")).toThrow("float16");
});

test.each([
  [0.5, "0x1.0000000000000p-1"],
  [-0.8796050548553467, "-0x1.c25b980000000p-1"],
  [0, "0x0.0p+0"],
  [-0, "-0x0.0p+0"],
  [5e-324, "0x0.0000000000001p-1022"],
  [3, "0x1.8000000000000p+1"],
  [Infinity, "inf"],
  [NaN, "nan"],
])("%d has the bits %s", (value, hex) => {
  expect(hexOf(value)).toBe(hex);
});
