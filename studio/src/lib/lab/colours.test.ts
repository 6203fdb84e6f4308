import { expect, test } from "vitest";
import { better, contrast } from "./colours";

test("the contrast of black on white is 21, and of a colour on itself 1", () => {
  expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21);
  expect(contrast([9, 99, 200], [9, 99, 200])).toBe(1);
  expect(contrast([119, 119, 119], [255, 255, 255])).toBeCloseTo(4.48, 2);
});

test("dark words stand on light cells", () => {
  expect(better([230, 230, 230], [0, 0, 0], [255, 255, 255])).toBe(true);
  expect(better([30, 30, 30], [0, 0, 0], [255, 255, 255])).toBe(false);
});
