import { expect, test } from "vitest";
import { inkOf } from "./strips";

test("zero alone has no ink, and what is no number stays none", () => {
  expect(inkOf(0, [-4, 0])).toBe(0);
  expect(inkOf(NaN, "share")).toBeNaN();
  expect(inkOf(1e-9, [-4, 0])).toBeCloseTo(0.08);
});

test("a power of ten lies between the ends of its scale, a share between 0 and 1", () => {
  expect(inkOf(1, [-4, 0])).toBe(1);
  expect(inkOf(1e-2, [-4, 0])).toBeCloseTo(0.54);
  expect(inkOf(Infinity, [-4, 0])).toBe(1);
  expect(inkOf(0.5, "share")).toBeCloseTo(0.54);
  expect(inkOf(0.5, "share")).toBe(inkOf(1e-2, [-4, 0]));
});
