import { expect, test } from "vitest";
import { drawn, head, smooth, type Box } from "./layout";
import type { Node } from "./script";

const value = { shape: [], values: [1], hex: ["0x1.0000000000000p+0"] };
const node = (kind: Node["kind"], ...inputs: readonly number[]): Node => ({
  name: "v",
  tex: "v",
  kind,
  type: "f64[]",
  op: "mul",
  value,
  inputs,
  formula: null,
  numbers: null,
});

// z = w·x + b; y; L reads t; R reads w again; the sum of L and R reads λ.
const nodes = [
  node("learned"),
  node("data"),
  node("learned"),
  node("computed", 0, 1, 2),
  node("computed", 3),
  node("data"),
  node("computed", 4, 5),
  node("computed", 0),
  node("data"),
  node("computed", 6, 7, 8),
];

const over = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

test.each([true, false])("nothing overlaps and every edge has its ends, across: %s", (across) => {
  const { boxes, edges, width, height } = drawn(nodes, across);
  expect(boxes.filter(Boolean).length).toBe(nodes.length);
  for (const [k, a] of boxes.entries()) {
    for (const b of boxes.slice(k + 1)) expect(over(a, b)).toBe(false);
    expect(a.x).toBeGreaterThanOrEqual(0);
    expect(a.y).toBeGreaterThanOrEqual(0);
    expect(a.x + a.width).toBeLessThanOrEqual(width);
    expect(a.y + a.height).toBeLessThanOrEqual(height);
  }
  expect(edges.map(({ from, to }) => `${from} ${to}`)).toEqual(
    nodes.flatMap((each, to) => each.inputs.map((from) => `${from} ${to}`)),
  );
  for (const edge of edges) expect(smooth(edge)).toMatch(/^M[-\d.,]+[CL]/);
});

test("across, computed values go to the right and what is given hangs below its first reader", () => {
  const { boxes } = drawn(nodes, true);
  const at = (k: number) => boxes[k] ?? { x: NaN, y: NaN, width: 0, height: 0 };
  expect(at(3).x).toBeLessThan(at(4).x);
  expect(at(4).x).toBeLessThan(at(6).x);
  for (const leaf of [0, 1, 2]) {
    expect(at(leaf).x).toBe(at(3).x);
    expect(at(leaf).y).toBeGreaterThan(at(3).y);
  }
});

test("an arrow's head stands at the end, or at the start when it points back", () => {
  const edge = {
    from: 0,
    to: 1,
    points: [
      [0, 0],
      [50, 20],
    ],
    along: "x",
  } as const;
  expect(head(edge, false)).toMatch(/^M50,20L42,/);
  expect(head(edge, true)).toMatch(/^M0,0L8,/);
});
