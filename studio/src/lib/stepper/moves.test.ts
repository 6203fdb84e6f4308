import { expect, test } from "vitest";
import { arrived, judge, movesOf, movesUntil, nameOf, usedAgain } from "./moves";
import type { Node, Numbers, Signal } from "./script";

const one: Numbers = { shape: [], values: [1], hex: ["0x1.0000000000000p+0"] };
const node = (kind: Node["kind"], inputs: readonly number[]): Node => ({
  name: "v",
  tex: "v",
  kind,
  type: "f64[]",
  op: "mul",
  value: one,
  inputs,
  formula: null,
  numbers: null,
});
const signal = (of: number, ...readers: readonly number[]): Signal => ({
  of,
  value: one,
  addends: readers.map((reader) => ({ reader, value: one, partial: one })),
  uses: 1,
  guess: null,
});

// w and x are given; y and z read w; L reads both.
const nodes = [
  node("learned", []),
  node("data", []),
  node("computed", [0, 1]),
  node("computed", [0]),
  node("computed", [2, 3]),
];
const signals = [signal(4), signal(3, 4), signal(2, 4), signal(0, 3, 2)];
const moves = movesOf(nodes, signals);

test("forward line by line, backward addend by addend, then the end", () => {
  expect(moves.map((move) => move.phase).join(" ")).toBe(
    "forward forward forward backward backward backward backward backward check update after",
  );
  expect(moves.slice(0, 3).map((move) => move.node)).toEqual([2, 3, 4]);
});

test("a value is on the board after its move, an error signal after its last addend", () => {
  expect(movesUntil(moves, 2, "forward")).toBe(1);
  expect(movesUntil(moves, 0, "forward")).toBe(0);
  expect(movesUntil(moves, 0, "backward")).toBe(8);
  expect([6, 7, 8, 11].map((made) => arrived(moves, made, 3))).toEqual([null, 1, 2, 2]);
});

test("what is sent again lights up, and each move has a name", () => {
  const twice = signals.map((each) => ({ ...each, uses: each.of === 4 ? 2 : 1 }));
  expect(moves.map((move) => usedAgain(move, twice).join())).toEqual(
    ["", "", "", "", "4", "4", "", "", "", "", ""], // y and z are each sent what L has
  );
  expect(usedAgain(undefined, twice)).toEqual([]);
  const rules = ["L̄", "z̄", "ȳ", "w̄"].map((plain) => ({
    ...{ name: plain, plain, chain: null, rule: null, addends: [] },
  }));
  expect([undefined, ...moves].map((move) => nameOf(move, nodes, rules)).join(" ")).toBe(
    "given values v v v L̄ z̄ ȳ w̄ w̄ gradient check update loss after",
  );
});

const guess = {
  index: [],
  flat: 0,
  value: -0.0594,
  misses: [
    { kind: "sign", value: 0.0594 },
    { kind: "factor", value: -0.2055 },
    { kind: "addend", value: 0.08 },
  ],
} as const;

test.each([
  ["-0.0594", true, "Right"],
  ["−0.0590", true, "Right"],
  ["-0.0610", false, "Not that"],
  ["0,0594", false, "sign"],
  ["-0.2055", false, "factor"],
  ["0.08", false, "addend"],
  ["", false, "number"],
  ["1/2", false, "number"],
])("a guess of %s", (text, right, says) => {
  const verdict = judge(text, guess);
  expect(verdict.right).toBe(right);
  expect(verdict.says).toContain(says);
});
