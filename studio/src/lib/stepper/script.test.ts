import { expect, test } from "vitest";
import { NOTHING } from "../selection";
import { isSent, pathOf } from "./script";

test("a formula, an example, or the first example", () => {
  expect(pathOf(NOTHING, "first")).toBe("/api/stepper?example=first");
  expect(pathOf({ ...NOTHING, example: "two" }, "first", "/file")).toBe(
    "/api/stepper/file?example=two",
  );
  expect(pathOf({ ...NOTHING, formula: "w*2", values: "w = 1" }, "first")).toBe(
    "/api/stepper?formula=w*2&values=w+%3D+1",
  );
});

test("a recorded scalar, unless something else is asked for", () => {
  const sent = { ...NOTHING, run: "a b", step: 3, kind: "batch", node: "7" } as const;
  expect(pathOf(sent, "first")).toBe("/api/runs/a%20b/steps/batch/3/stepper?node=7");
  expect(pathOf(sent, "first", "/file")).toBe("/api/runs/a%20b/steps/batch/3/stepper/file?node=7");
  expect(isSent({ ...sent, node: null })).toBe(false);
  expect(isSent({ ...sent, example: "two" })).toBe(false);
});
