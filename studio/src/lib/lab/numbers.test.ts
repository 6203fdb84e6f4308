import { expect, test } from "vitest";
import {
  asLines,
  asText,
  read,
  readers,
  short,
  stepped,
  tapsOf,
  withNumbers,
  type Packed,
} from "./numbers";

const packed = (numbers: number[]): Packed => {
  const bytes = new Uint8Array(new Float64Array(numbers).buffer);
  return {
    shape: [numbers.length],
    dtype: "float64",
    data: btoa(String.fromCharCode(...bytes)),
  };
};

test("every bit of a number arrives", () => {
  const numbers = [0.1, -0, 1e-300, Number.MAX_VALUE, -1 / 3];
  expect(Array.from(read(packed(numbers)))).toEqual(numbers);
  const whole: Packed = { shape: [2], dtype: "int32", data: btoa("\xff\xff\xff\xff\x07\0\0\0") };
  expect(Array.from(read(whole))).toEqual([-1, 7]);
});

test.each(["1 0_0 1", "1__2", "1 2_3 4__5 6_7 8___1 0_0 1__0 0_1 1"])("%s", (text) => {
  expect(asText(asLines(text))).toBe(text);
});

test("what people type is read kindly", () => {
  expect(asText(" 1,2;3\r\n −4\t5 , 6 \n")).toBe("1 2 3_-4 5 6");
});

test("numbers are changed in their places", () => {
  expect(withNumbers("1 0.5_-2 3__4", new Map([[1, 9], [4, -1]]))).toBe("1 9_-2 3__-1"); // prettier-ignore
});

test("which windows read a cell", () => {
  const places = [-1, 0, 0, 1, 1, 2]; // three windows of two taps over three cells
  expect(readers({ places, taps: 2, count: 3 }, 1)).toEqual([[1, 1], [2, 0]]); // prettier-ignore
});

test("taps of a window stand in the padding too", () => {
  const of = { across: 3, stride: [2, 2], dilation: 2, before: [1, 1] } as const;
  expect(tapsOf(4, { ...of, kernel: [2, 2] })).toEqual([[1, 1], [1, 3], [3, 1], [3, 3]]); // prettier-ignore
  expect(tapsOf(0, { ...of, kernel: [1, 1] })).toEqual([[-1, -1]]);
});

test("arrow keys stop at the edges", () => {
  const go = (cell: number, key: string) => stepped(cell, key, 2, 3);
  expect([go(0, "ArrowLeft"), go(2, "ArrowRight"), go(1, "ArrowUp"), go(4, "ArrowDown")]).toEqual([
    0, 2, 1, 4,
  ]);
  expect([go(4, "ArrowLeft"), go(1, "ArrowDown"), go(3, "Home"), go(0, "End")]).toEqual([
    3, 4, 0, 5,
  ]);
});

test("small cells have short numbers", () => {
  expect([0.25, -0.0625, 4, -12, 1 / 3].map(short)).toEqual([".25", "−.063", "4", "−12", ".33"]);
});
