import { expect, test } from "vitest";
import { meant, type Key } from "./keys";

const keys: Key[] = [{ key: "d", what: "dark or light", act: () => undefined }];
const press = (key: string, held = {}) => ({
  key,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  defaultPrevented: false,
  ...held,
});

test("a key acts, small or capital", () => {
  expect(meant(keys, press("d"), "BODY")).toBe(keys[0]);
  expect(meant(keys, press("D"), "BUTTON")).toBe(keys[0]);
  expect(meant(keys, press("x"), "BODY")).toBeUndefined();
});

test("the browser's own keys and typing are left alone", () => {
  expect(meant(keys, press("d", { ctrlKey: true }), "BODY")).toBeUndefined();
  expect(meant(keys, press("d", { metaKey: true }), "BODY")).toBeUndefined();
  expect(meant(keys, press("d"), "INPUT")).toBeUndefined();
  expect(meant(keys, press("d", { defaultPrevented: true }), "BODY")).toBeUndefined();
});
