import { expect, test } from "vitest";
import { continued, decoded, placeIn, some, type Film } from "./filters";
import { outside } from "./pictures";

const film = (steps: number[], numbers: number[]): Film => ({
  name: "w",
  all: [0, 5, 9],
  steps,
  filters: [2, 7],
  channels: [0],
  rows: 1,
  columns: 2,
  most: steps.map(() => 1),
  alive: steps.map(() => [1, 0]),
  samples: steps.map(() => 16),
  numbers: new Float32Array(numbers),
});

test("a film goes on, and its numbers are found by step, filter and channel", () => {
  const whole = continued(film([0], [1, 2, 3, 4]), film([5, 9], [5, 6, 7, 8, 9, 10, 11, 12]));
  expect(whole.steps).toEqual([0, 5, 9]);
  expect(whole.alive.length).toBe(3);
  expect(whole.numbers[placeIn(whole, 5, 7, 0) as number]).toBe(7);
  expect(whole.numbers[placeIn(whole, 9, 2, 0) as number]).toBe(9);
  expect(placeIn(whole, 5, 3, 0)).toBeNull();
  expect(placeIn(whole, 4, 2, 0)).toBeNull();
});

test("a film of other filters begins anew", () => {
  const other = { ...film([0], [1, 2, 3, 4]), filters: [1, 2] };
  expect(continued(film([0], [9, 9, 9, 9]), other)).toBe(other);
  expect(continued(null, other)).toBe(other);
});

test("numbers arrive with their bits", () => {
  const numbers = new Float32Array([0.1, -2, NaN]);
  const text = btoa(String.fromCharCode(...new Uint8Array(numbers.buffer)));
  expect([...decoded(text)]).toEqual([...numbers]);
});

test("some of many steps, the first and the last among them", () => {
  expect(some([0, 1, 2], 12)).toEqual([0, 1, 2]);
  const steps = Array.from({ length: 200 }, (_, k) => 3 * k);
  const found = some(steps, 12);
  expect(found.length).toBe(12);
  expect([found[0], found.at(-1)]).toEqual([0, 597]);
});

test("what is outside is the whole with the runs cut out", () => {
  const grid = { rows: 2, columns: 3, count: 6, down: false, width: 4, height: 4 };
  expect(outside(grid, [4, 4], [[4, 5]])).toBe("M0 0h12v8h-12zM4 4h8v4h-8z");
  const strip = { ...grid, down: true };
  expect(outside(strip, [4, 4], [[1, 2]])).toBe("M0 0h12v8h-12zM0 4h4v4h-4zM4 0h4v4h-4z");
});
