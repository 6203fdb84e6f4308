import { expect, test } from "vitest";
import {
  bucketOf,
  duration,
  epochCharts,
  joined,
  powers,
  stepsOf,
  unpack,
  type Answer,
  type Packed,
} from "./training";

function pack(values: readonly number[], of: "float64" | "int64" = "float64"): Packed {
  const array = of === "int64" ? new BigInt64Array(values.map(BigInt)) : new Float64Array(values);
  return { dtype: of, data: btoa(String.fromCharCode(...new Uint8Array(array.buffer))) };
}

function told(since: number, steps: readonly number[], value: number): Answer {
  const numbers = pack(steps.map((step) => step + value));
  return {
    begun: "a",
    since,
    width: 1,
    map_width: 2,
    rows: 9,
    last: steps.at(-1) ?? null,
    window: 16,
    changes: [],
    steps: pack(steps, "int64"),
    loss: { mean: numbers, low: numbers, high: numbers, smooth: numbers },
    rate: numbers,
    speed: { mean: numbers, smooth: numbers },
    maps: {
      steps: pack(
        steps.filter((step) => step % 2 === 0),
        "int64",
      ),
      kinds: [
        {
          kind: "gradient",
          rows: [{ of: "w", values: pack(steps.filter((s) => s % 2 === 0).map((s) => s + value)) }],
        },
      ],
    },
  };
}

test("numbers come bit for bit", () => {
  expect(unpack(pack([0.1, -0, NaN, Infinity]))).toEqual([0.1, -0, NaN, Infinity]);
  expect(unpack(pack([3, 4], "int64"))).toEqual([3, 4]);
});

test("a part replaces what is known from its first step on", () => {
  const all = joined(null, told(0, [0, 1, 2, 3, 4, 5], 0));
  const more = joined(all, told(4, [4, 5, 6], 0.5));
  expect(more.steps).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(more.loss.mean).toEqual([0, 1, 2, 3, 4.5, 5.5, 6.5]);
  expect(more.maps.steps).toEqual([0, 2, 4, 6]);
  expect(more.maps.kinds[0]?.rows[0]?.values).toEqual([0, 2, 4.5, 6.5]);
});

test("what is told from the beginning is all there is", () => {
  const all = joined(null, told(0, [0, 1, 2], 0));
  expect(joined(all, told(0, [0, 1], 7)).loss.mean).toEqual([7, 8]);
});

test("a step lies in the last bucket that begins before it", () => {
  expect([-1, 0, 7, 8, 99].map((step) => bucketOf([0, 8, 16], step))).toEqual([-1, 0, 0, 1, 2]);
  expect(bucketOf([], 3)).toBe(-1);
});

test("buckets and durations in words", () => {
  expect(stepsOf(7, 1)).toBe("step 7");
  expect(stepsOf(1024, 64)).toBe("steps 1,024 to 1,087");
  expect([0.2, 59, 61, 3600, "NaN", null].map((s) => duration(s as number | null))).toEqual([
    "1 s",
    "59 s",
    "1 min",
    "1 h 0 min",
    "",
    "",
  ]);
});

test("figures of training and validation stand in one chart", () => {
  const charts = epochCharts([
    { loss: 1, seconds: 2, val_loss: 3 },
    { loss: 0.5, seconds: 2, val_loss: 2.5, accuracy: 0.5 },
  ]);
  expect(charts.map((chart) => chart.name)).toEqual(["loss", "accuracy"]);
  expect(charts[0]?.lines).toEqual([
    { name: "training", values: [1, 0.5] },
    { name: "validation", values: [3, 2.5] },
  ]);
  expect(charts[1]?.lines[0]?.values).toEqual(["NaN", 0.5]);
});

test("a scale of powers of ten holds all but what lies far away", () => {
  expect(powers([[0, NaN, 2e-4, 0.3]])).toEqual([-4, 0]);
  expect(powers([[], [0]])).toEqual([-1, 0]);
});
