import { expect, test } from "vitest";
import { merge, type Run } from "./api";

const run = (name: string, started: string, epoch = 0): Run => ({
  name,
  started,
  epoch,
  system: "xor",
  title: "",
  status: "running",
  epochs: 9,
  figures: {},
  results: [],
  seconds: null,
  recorded: false,
  kept: 0,
  error: null,
  remedy: null,
  place: null,
});

const names = (runs: readonly Run[]) => runs.map((each) => each.name);

test("the newest run stands first, whatever order they come in", () => {
  const runs = merge([], { runs: [run("a", "1"), run("c", "3"), run("b", "2")], gone: [] });
  expect(names(runs)).toEqual(["c", "b", "a"]);
});

test("a change replaces what changed and leaves the rest", () => {
  const before = [run("b", "2"), run("a", "1")];
  const after = merge(before, { runs: [run("a", "1", 5)], gone: [] });
  expect(names(after)).toEqual(["b", "a"]);
  expect(after[1]?.epoch).toBe(5);
  expect(after[0]).toBe(before[0]);
});

test("what is gone goes, and a whole list forgets what was before", () => {
  const before = [run("b", "2"), run("a", "1")];
  expect(names(merge(before, { runs: [], gone: ["b"] }))).toEqual(["a"]);
  expect(names(merge(before, { runs: [run("z", "0")], gone: [], all: true }))).toEqual(["z"]);
});
