import { expect, test } from "vitest";
import { Latest } from "./latest";

function deferred() {
  let done: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => (done = resolve));
  return { promise, done };
}

test("one job is at work, and of those that come meanwhile the last one is done", async () => {
  const [seen, latest, first] = [[] as string[], new Latest(), deferred()];
  latest.push(async () => {
    seen.push("a");
    await first.promise;
  });
  for (const name of ["b", "c", "d"]) latest.push(async () => void seen.push(name));
  expect(seen).toEqual(["a"]);
  first.done();
  await new Promise((resolve) => setTimeout(resolve));
  expect(seen).toEqual(["a", "d"]);
});

test("a job that fails keeps no other one back", async () => {
  const [seen, latest] = [[] as string[], new Latest()];
  latest.push(() => Promise.reject(new Error("no")));
  latest.push(async () => void seen.push("b"));
  await new Promise((resolve) => setTimeout(resolve));
  expect(seen).toEqual(["b"]);
});
