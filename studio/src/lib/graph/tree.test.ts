import { expect, test } from "vitest";
import { curve, middleOf, place, type Placed } from "./layout";
import { detailAt, fit, levelOf, sceneOf, seenOf, seenText } from "./scene";
import {
  around,
  boxOf,
  countIn,
  drawn,
  grow,
  IN,
  leavesIn,
  nameOf,
  nodesIn,
  openAtFirst,
  openGroups,
  openWords,
  OUT,
  search,
  turnedGroup,
  type Answer,
} from "./tree";

// x ─ [Net: a{ w·x, + } ─ relu ─ b{ the same } ]─ loss; w hangs at both products.
const group = (key: string, parent: number, out: number | null) => ({
  key,
  name: key,
  kind: "Kind",
  parent,
  call: null,
  more: 0,
  out,
});
const answer: Answer = {
  step: 0,
  epoch: 0,
  loss: null,
  rows: 2,
  losses: [7],
  edit: null,
  seed: { kind: null, text: "the loss of all 4 samples" },
  groups: [group("", -1, null), group("Net", 0, 6), group("a", 1, 3), group("b", 1, 6)],
  ops: ["data", "parameter", "mul", "add", "relu", "sum"].map((name) => ({ name, formula: "" })),
  op: [0, 1, 2, 3, 4, 2, 3, 5],
  inputs: [[], [], [0, 1], [2, 2], [3], [4, 1], [5, 5], [6]],
  parent: [0, -1, 2, 2, 1, 3, 3, 0],
  shape: [[2, 4], [4], [2, 4], [2, 4], [2, 4], [2, 4], [2, 4], []],
  dtype: Array<string>(8).fill("float32"),
  name: ["input", "w", "", "", "relu", "", "", ""],
  words: ["input", "w", "a mul", "a add", "relu", "b mul", "b add", "sum"],
  where: Array<string>(8).fill(""),
  meta: Array<object>(8).fill({}) as Answer["meta"],
  samples: [0, 2, 3, 4, 5, 6],
};
const graph = grow(answer);
const [NET, A, B] = [9, 10, 11]; // items of groups: 8 nodes and their number

test("members stand in the program's order; a parameter hangs at its readers", () => {
  expect(graph.members).toEqual([
    [0, NET, 7],
    [A, 4, B],
    [2, 3],
    [5, 6],
  ]);
  expect(graph.hanging[2]).toEqual([1]);
  expect(graph.hanging[5]).toEqual([1]);
  expect(boxOf(graph, 1)).toBe(2);
  expect(leavesIn(graph, NET)).toEqual([1, 1]);
  expect(around(graph, 5)).toEqual([3, 1, 0]);
  expect(nodesIn(graph, 1)).toBe(5);
});

test("an edge has a piece in every group that it leaves, crosses or enters", () => {
  const pieces = graph.edges.map((level) => level.map(({ from, to, nodes }) => [from, to, nodes]));
  expect(pieces[0]).toEqual([
    [0, NET, [0]],
    [NET, 7, [6]],
  ]);
  expect(pieces[1]).toEqual([
    [IN, A, [0]],
    [A, 4, [3]],
    [4, B, [4]],
    [B, OUT, [6]],
  ]);
  expect(pieces[2]).toEqual([
    [IN, 2, [0]],
    [2, 3, [2]],
    [3, OUT, [3]],
  ]);
});

test("what is open comes back from a link, and the model is open at first", () => {
  expect(openAtFirst(graph)).toEqual(new Set([0, 1]));
  const open = openGroups(graph, "Net,b,gone");
  expect(open).toEqual(new Set([0, 1, 3]));
  expect(openWords(graph, open)).toBe("Net,b");
  expect(openWords(graph, turnedGroup(turnedGroup(open, 1), 3))).toBe("none");
  expect(openGroups(graph, "none")).toEqual(new Set([0]));
  expect(drawn(graph, open).map(({ item, depth }) => [item, depth])).toEqual([
    [0, 1],
    [NET, 1],
    [A, 2],
    [4, 2],
    [B, 2],
    [5, 3],
    [6, 3],
    [7, 1],
  ]);
});

test("a search goes by name, op, module and shape, all words at once", () => {
  expect(search(graph, "add")).toEqual([3, 6]);
  expect(search(graph, "ADD b")).toEqual([6]);
  expect(search(graph, "[4]")).toEqual([1]);
  expect(search(graph, "2,4 relu")).toEqual([4]);
  expect(search(graph, " ")).toEqual([]);
  expect(search(graph, "nothing")).toEqual([]);
  expect(countIn(graph, [3, 6]).get(1)).toBe(2);
  expect(nameOf(graph, 3)).toBe("add");
});

test("equal blocks get one and the same layout, nothing overlaps, and edges end at boxes", () => {
  const known = new Map<string, Placed>();
  const placed = place(levelOf(graph, new Set([0, 1, 2, 3])), known);
  const inside = placed.boxes[1]?.inside;
  expect(inside?.boxes[0]?.inside).toBe(inside?.boxes[2]?.inside);
  const scene = sceneOf(graph, placed);
  expect(scene.boxes.map((box) => box.item)).toEqual([0, NET, A, 2, 3, 4, B, 5, 6, 7]);
  const closed = scene.boxes.filter((box) => !box.open);
  for (const one of closed)
    for (const other of closed)
      if (one !== other)
        expect(
          one.x + one.width <= other.x ||
            other.x + other.width <= one.x ||
            one.y + one.height <= other.y ||
            other.y + other.height <= one.y,
        ).toBe(true);
  const at = new Map(scene.boxes.map((box) => [box.item, box]));
  for (const line of scene.lines) {
    const [to, last] = [at.get(line.to), line.points.at(-1)];
    if (to && !to.open) expect(last).toEqual([to.x, to.y + to.height / 2]);
  }
});

test("what many read is drawn at each reader alone", () => {
  const boxes = Array.from({ length: 12 }, () => [10, 10] as const);
  const chain = boxes.slice(1).map((_, k) => [k, k + 1] as const);
  const all = boxes.map((_, k) => [-1, k] as const);
  const placed = place({ boxes, edges: [...all, ...chain] }, new Map());
  expect(placed.height).toBe(10); // one row: the fan did not push it apart
  expect(placed.paths[5]).toHaveLength(2);
});

test("paths and places", () => {
  expect(curve([])).toBe("");
  expect(curve([[0, 0], [10, 4]])).toBe("M0 0C5 0 5 4 10 4"); // prettier-ignore
  expect(middleOf([[0, 0], [10, 0]])).toEqual({ x: 5, y: 0, angle: 0 }); // prettier-ignore
  expect(seenOf(seenText({ k: 0.5, x: -20, y: 7 }))).toEqual({ k: 0.5, x: -20, y: 7 });
  for (const none of [null, "", "0,1,1", "99,0,0", "1,a,0"]) expect(seenOf(none)).toBeNull();
  const scene = { width: 1000, height: 100, boxes: [], lines: [] };
  expect(fit(scene, 532, 400)).toEqual({ k: 0.5, x: 16, y: 175 });
  const wide = { ...scene, width: 20_000 };
  expect(seenOf(seenText(fit(wide, 532, 400)))).toEqual({ k: 0.025, x: 16, y: 199 });
  expect([0.08, 0.2, 0.25, 0.29, 0.9, 1].map(detailAt)).toEqual([0, 1, 2, 3, 4, 5]);
});
