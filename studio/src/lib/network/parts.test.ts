import { expect, test } from "vitest";
import type { Edit, Layer } from "../record";
import { changedNodes, offOf, partName, partOf } from "./parts";

const layer = (...shape: number[]) =>
  ({ node: 4, shape, columns: shape.at(-1) }) as unknown as Layer;

test("a map, a row of tokens, a unit of a vector", () => {
  expect(partOf(layer(6, 8, 8), 3, 17)).toBe(3);
  expect(partOf(layer(7, 16), 0, 33)).toBe(2);
  expect(partOf(layer(120), 0, 17)).toBe(17);
});

test("its name", () => {
  expect([layer(120), layer(7, 16), layer(6, 8, 8)].map(partName)).toEqual(["Unit", "Row", "Map"]);
});

test("what is off in a layer, and which nodes were changed", () => {
  const edit = {
    edits: [
      { kind: "off", node: 4, map: 2 },
      { kind: "off", node: 5, map: 1 },
      { kind: "nudge", node: 9, index: [0], to: 1 },
    ],
  } as unknown as Edit;
  expect([...offOf(edit, layer(6, 8, 8))]).toEqual([2]);
  expect([...changedNodes(edit)]).toEqual([4, 5, 9]);
  expect(offOf(null, layer(6, 8, 8)).size).toBe(0);
});
