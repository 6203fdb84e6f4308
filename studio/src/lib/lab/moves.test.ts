import { expect, test } from "vitest";
import { moved, nextCopy, nextWindow } from "./moves";
import { begin } from "./view";

const view = begin("slide", 2);
const plane = { rows: 2, columns: 3 };

test("arrow keys move the window, and keep the map; backward they move the pixel", () => {
  expect(moved({ ...view, at: "y.1,0,2" }, plane, "ArrowDown").at).toBe("y.1,1,2");
  expect(moved({ ...view, at: "y.1,0,2" }, plane, "ArrowRight").at).toBe("y.1,0,2");
  expect(moved({ ...view, at: "y.1,0,2", mode: "bar" }, plane, "ArrowRight").at).toBe("x.0,0,1");
});

test("playing begins with the first window and ends with the whole output", () => {
  const places: unknown[] = [];
  let now = { ...view, at: "y.0,1,1" };
  for (let next = nextWindow(now, plane); next; next = nextWindow(now, plane)) {
    now = { ...now, ...next.changes } as typeof now;
    places.push([now.at, now.fill]);
    if (!next.more) break;
  }
  expect(places).toEqual([
    ["y.0,0,0", true],
    ["y.0,0,1", true],
    ["y.0,0,2", true],
    ["y.0,1,0", true],
    ["y.0,1,1", true],
    ["y.0,1,2", false],
  ]);
  expect(nextWindow({ ...now, fill: true }, plane)).toBeNull();
});

test("copies are added one by one, and begin again", () => {
  expect(nextCopy({ ...view, copy: 2 }, 3)).toEqual({ changes: { copy: 3 }, more: false });
  expect(nextCopy({ ...view, copy: 999 }, 3)).toEqual({ changes: { copy: 1 }, more: true });
});
