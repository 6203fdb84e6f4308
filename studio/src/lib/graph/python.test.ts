import { expect, test } from "vitest";
import { pythonOf } from "./python";

const at = { run: "odd-001", kind: "probe", step: 3 } as const;

test("the Python names the step, and what is open in it", () => {
  const text = pythonOf(at, 2, "bar", "Net,Net.one");
  expect(text).toContain('run = cr.open_run("odd-001")');
  expect(text?.split("\n").at(-1)).toBe(
    'save_graph(run, "graph.html", step=3, kind="probe", sample=2, mode="bar", opened="Net,Net.one")',
  );
});

test("of a step that was changed there is none", () => {
  expect(pythonOf({ ...at, edit: "e1" }, 0, null, null)).toBeNull();
});
