import { expect, test } from "vitest";
import type { Sliding } from "./answers";
import { explain, isThere, largest, weightAt } from "./explained";
import type { Packed } from "./numbers";

const packed = (shape: number[], numbers: number[], dtype: Packed["dtype"] = "float64") => {
  const array = dtype === "int32" ? new Int32Array(numbers) : new Float64Array(numbers);
  const data = btoa(String.fromCharCode(...new Uint8Array(array.buffer)));
  return { shape, dtype, data } satisfies Packed;
};

/** x = [5, 7], w = [2, 3] flipped, full: y = [10, 29, 21]; numbers as the server would send them. */
const found: Sliding = {
  x: packed([1, 1, 2], [5, 7]),
  w: packed([1, 1, 1, 2], [2, 3]),
  seen: packed([1, 1, 1, 2], [3, 2]),
  bias: packed([1], [0]),
  y: packed([1, 1, 3], [10, 29, 21]),
  before: [0, 1],
  places: packed([3, 2], [-1, 0, 0, 1, 1, -1], "int32"),
  used: packed([1, 2], [2, 2], "int32"),
  unused: 0,
  products: packed([1, 3, 1, 2], [0, 10, 15, 14, 21, 0]),
  channel_sums: packed([1, 3, 1], [10, 29, 21]),
  sums: packed([1, 3], [10, 29, 21]),
  rest: packed([1, 3], [0, 0, 0]),
  flipped: true,
  formula: [
    {
      axis: "columns",
      size: 2,
      before: 1,
      after: 1,
      taps: 2,
      span: 2,
      stride: 1,
      rest: 0,
      count: 3,
    },
  ],
  scales: {},
  text: { image: "", kernel: "", upstream: "" },
  code: "",
  back: {
    y_bar: packed([1, 1, 3], [1, -1, 4]),
    x_bar: packed([1, 1, 2], [-1, 10]),
    w_bar: packed([1, 1, 1, 2], [-2, 23]),
    b_bar: packed([1], [4]),
    to_x: packed([1, 3, 1, 2], [3, 2, -3, -2, 12, 8]),
    to_w: packed([1, 3, 1, 2], [0, 5, -5, -7, 28, 0]),
    x_sums: packed([1, 1, 2], [-1, 10]),
    w_sums: packed([1, 1, 1, 2], [23, -2]),
    x_rest: packed([1, 1, 2], [0, 0]),
    w_rest: packed([1, 1, 1, 2], [0, 0]),
  },
};

test("an output is the products of its window; the padding is no number of the image", () => {
  const { terms, sum, result, marks } = explain(found, { node: "y", index: [0, 0, 0] }, "value");
  expect(terms.map((term) => term.product)).toEqual([0, 10]);
  expect(terms.map((term) => term.left.at)).toEqual([null, { node: "x", index: [0, 0, 0] }]);
  expect([sum, result]).toEqual([10, 10]);
  expect(marks.x).toEqual([[0, -1], [0, 0]]); // prettier-ignore
});

test("a flipped kernel's taps lead to its own numbers", () => {
  expect(weightAt(found, 0, 0, 0)).toEqual({ node: "w", index: [0, 0, 0, 1] });
  const { terms } = explain(found, { node: "y", index: [0, 0, 1] }, "value");
  expect(terms.map(({ right }) => [right.value, right.at?.index[3]])).toEqual([[3, 1], [2, 0]]); // prettier-ignore
});

test("an error signal of the image is what its windows send", () => {
  const { terms, result, marks, name } = explain(found, { node: "x", index: [0, 0, 0] }, "bar");
  expect(terms.map(({ left, right, product }) => [left.value, right.value, product])).toEqual([
    [1, 2, 2],
    [-1, 3, -3],
  ]);
  expect([result, name]).toEqual([-1, "x̄[0, 0]"]);
  expect(marks.y).toEqual([[0, 0], [0, 1]]); // prettier-ignore
});

test("an error signal of a weight is a sum over all windows", () => {
  const { terms, sum, result } = explain(found, { node: "w", index: [0, 0, 0, 0] }, "bar");
  expect(terms.map((term) => term.product)).toEqual([5, -7, 0]);
  expect([sum, result]).toEqual([-2, -2]);
});

test("chains end at data, weights, biases and the upstream signal", () => {
  const leaf = (node: string, index: number[], mode: "value" | "bar") =>
    explain(found, { node, index }, mode).leaf;
  expect(leaf("x", [0, 0, 1], "value")).toContain("2 windows read it");
  expect(leaf("w", [0, 0, 0, 1], "value")).toContain("All 3 windows share it");
  expect(leaf("b", [0], "value")).toContain("the chain ends here");
  expect(leaf("y", [0, 0, 2], "bar")).toContain("comes from above");
});

test("places that are not there are known", () => {
  expect(isThere(found, { node: "y", index: [0, 0, 2] })).toBe(true);
  for (const index of [
    [0, 0, 3],
    [0, 1, 0],
    [0, 0],
    [0, 0, 0, 0],
  ]) {
    expect(isThere(found, { node: "y", index })).toBe(false);
  }
});

test("of many products the twelve largest are listed; of equals the first", () => {
  const one = { value: 0, at: null, kind: "value" } as const;
  const terms = [...Array.from({ length: 13 }, () => -1), 5, 0].map((product) => ({
    left: one,
    right: one,
    product,
  }));
  expect([...largest(terms)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13]);
});
