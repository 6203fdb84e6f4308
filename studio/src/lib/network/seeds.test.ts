import { expect, test } from "vitest";
import { classOf, seedOf, topOf } from "./seeds";

test("seeds of the URL are what the server reads", () => {
  expect(seedOf("loss:3")).toEqual({ kind: "loss", target: 3 });
  expect(seedOf("score:0")).toEqual({ kind: "score", class: 0 });
  expect(seedOf("element:7:0,2")).toEqual({ kind: "element", node: 7, index: [0, 2] });
});

test.each([null, "", "loss", "loss:-1", "other:3", "element:7", "element:7:a"])(
  "%s is no seed",
  (text) => {
    expect(seedOf(text)).toBeNull();
  },
);

test("a class, if the seed has one", () => {
  expect([classOf("loss:3"), classOf("element:7:0"), classOf(null)]).toEqual([3, null, null]);
});

test("the class with the largest share is the first of equal ones", () => {
  expect(topOf([0.2, 0.4, 0.4, "NaN"])).toBe(1);
});
