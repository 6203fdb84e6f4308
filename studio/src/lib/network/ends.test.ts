import { expect, test } from "vitest";
import type { Layer, Sizes, View } from "../record";
import { endsOf, paintFor, sizeOf } from "./ends";

const sizes = (scale: number, scales: number[]): Sizes => ({
  scale,
  scales,
  signed: true,
  low: -scale,
  high: scale,
  rms: scale,
  zeros: 0,
  nan: 0,
  clipped: 0,
});
const layer = (key: string | undefined, scale: number, scales: number[]): Layer => ({
  node: 1,
  name: "a",
  ...(key === undefined ? {} : { key }),
  op: key === undefined ? "parameter" : "conv",
  where: "",
  shape: [40, 2, 2],
  maps: 40,
  rows: 2,
  columns: 2,
  shown: [4, 9],
  value: sizes(scale, scales),
  bar: null,
});
const view = { layers: [layer("a", 2, [2, 1]), layer("b", 5, [5, 5])] } as unknown as View;
const [first] = view.layers as [Layer];

test("a layer has one scale, and each of its channels its own where that is asked for", () => {
  expect(sizeOf(first, "value", endsOf(view, "value", null, null), 9)).toBe(2);
  expect(sizeOf(first, "value", endsOf(view, "value", "channel", null), 9)).toBe(1);
  expect(sizeOf(first, "value", endsOf(view, "value", "channel", null), 7)).toBe(2); // not shown
});

test("the network's scale is the largest of its layers, but not of parameters", () => {
  const ends = endsOf(view, "value", "network", null);
  expect(sizeOf(first, "value", ends)).toBe(5);
  expect(sizeOf(layer(undefined, 0.1, [0.1, 0.1]), "value", ends)).toBe(0.1);
});

test("held colours end at the largest size of all steps; a layer that was not read has its own", () => {
  const ends = endsOf(view, "value", null, { a: { value: 30 } });
  expect(sizeOf(first, "value", ends)).toBe(30);
  expect(sizeOf(view.layers[1] as Layer, "value", ends)).toBe(5);
  expect(endsOf(view, "value", "network", { a: { value: 30 } }).network).toBe(30);
});

test("what has no error signal is painted with nothing", () => {
  expect(paintFor(first, "bar", endsOf(view, "bar", null, null))).toEqual({
    scale: "signal",
    size: 0,
  });
});
