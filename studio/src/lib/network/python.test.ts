import { expect, test } from "vitest";
import type { Layer } from "../record";
import { pythonOf } from "./python";

const layer = {
  node: 7,
  name: "relu",
  key: "relu 2",
  op: "relu",
  shape: [6, 4, 5],
  maps: 6,
  rows: 4,
  columns: 5,
  value: { signed: false },
} as unknown as Layer;
const at = { run: "a-001", kind: "probe", step: 8 } as const;

test("the second call of a name, one sample, the ends of the colours", () => {
  const text = pythonOf(at, layer, 3, "bar", 0.5) ?? "";
  expect(text).toContain('cr.open_run("a-001").records.tape(8, "probe")');
  expect(text).toContain('tape["relu"][1].bar.numpy()[3]');
  expect(text).toContain("reshape(6, 4, 5)\n");
  expect(text).toContain("vmin=-0.5, vmax=0.5");
});

test("one map; a parameter has no samples", () => {
  expect(pythonOf(at, layer, 0, "value", 2, 4)).toContain("reshape(6, 4, 5)[4:5]\n");
  const parameter = { ...layer, key: "conv1.weight", op: "parameter" };
  expect(pythonOf(at, parameter, 3, "value", 2)).toContain('tape["conv1.weight"].value.numpy()\n');
});

test("what was run again is in no record", () => {
  expect(pythonOf({ ...at, edit: "5f" }, layer, 0, "value", 1)).toBeNull();
});
