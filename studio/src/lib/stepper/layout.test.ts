import { expect, test } from "vitest";
import { drawn, fitted, head, margins, scale, smooth, type Box } from "./layout";
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

test("a drawing fits its room where it can, and is never drawn so small that text shrinks", () => {
  for (const across of [true, false]) {
    const { left, right } = margins(across);
    const roomy = drawn(nodes, across).width;
    expect(fitted(nodes, across, 2000).width).toBe(roomy);
    expect(fitted(nodes, across, 0).width).toBe(roomy); // not known yet
    const tight = fitted(nodes, across, roomy - 1).width;
    expect(tight + left + right).toBeLessThanOrEqual(roomy - 1);
    expect(fitted(nodes, across, 10).width).toBeLessThanOrEqual(tight);
  }
  expect([scale(500, 100), scale(500, 550), scale(500, 5000), scale(500, 0)]).toEqual([
    1, 1.1, 1.3, 1,
  ]);
});

test("downwards, lines of a node go round what stands beside it", () => {
  const { boxes, edges } = drawn(nodes, false);
  const bottom = Math.max(...[0, 1, 2].map((k) => (boxes[k]?.y ?? 0) + (boxes[k]?.height ?? 0)));
  for (const [from, to] of [
    [3, 4],
    [0, 7],
  ]) {
    const points = edges.find((edge) => edge.from === from && edge.to === to)?.points ?? [];
    const inside = points.filter(([x]) => {
      const leaf = boxes[1];
      return leaf && x > leaf.x && x < leaf.x + leaf.width;
    });
    for (const [, y] of inside) expect(y).toBeGreaterThanOrEqual(bottom);
  }
});
