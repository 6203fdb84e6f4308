import { expect, test } from "vitest";
import { embeddedAnswer, isEmbedded, sameSpelling } from "./embedded";

test("a path is the same however its query is spelled", () => {
  const python = "/api/stepper?example=saved&values=w+%3D+%5B1%2C+-2%5D%2C+a+%3D+2%2A3~";
  const browser = `/api/stepper?${new URLSearchParams({ example: "saved", values: "w = [1, -2], a = 2*3~" })}`;
  expect(python).not.toBe(browser);
  expect(sameSpelling(python)).toBe(sameSpelling(browser));
  expect(sameSpelling("/api/runs")).toBe("/api/runs");
});

test("a page of the server has nothing embedded", () => {
  expect(isEmbedded()).toBe(false);
  expect(embeddedAnswer("/api/runs")).toBeUndefined();
});
