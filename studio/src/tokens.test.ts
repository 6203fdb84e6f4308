import { expect, test } from "vitest";
import css from "./tokens.css?raw";

function tokens(theme: "light" | "dark"): Map<string, string> {
  const [light, dark] = css.split(':root[data-theme="dark"]');
  const part = theme === "light" ? light : dark;
  return new Map(
    [...(part ?? "").matchAll(/--([\w-]+): (#[\da-f]{6});/g)].map((m) => [m[1] ?? "", m[2] ?? ""]),
  );
}

/** WCAG 2's relative luminance. */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

const TEXT = [
  "ink",
  "muted",
  "wrong",
  "right",
  "signed-lowest",
  "signed-highest",
  "signal-lowest",
  "signal-highest",
  "not-a-number",
  ...[0, 1, 2, 3, 4, 5, 6].map((tap) => `tap-${tap}`),
];

test.each(["light", "dark"] as const)("%s: text can be read on paper and panel", (theme) => {
  const named = tokens(theme);
  for (const name of TEXT) {
    for (const ground of ["paper", "panel"]) {
      const found = contrast(named.get(name) ?? "", named.get(ground) ?? "");
      expect(found, `${name} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  expect(contrast(named.get("edge") ?? "", named.get("paper") ?? "")).toBeGreaterThanOrEqual(3);
});

test.each(["light", "dark"] as const)("%s: zero is the page, scales grow away from it", (theme) => {
  const named = tokens(theme);
  const at = (name: string) => contrast(named.get(name) ?? "", named.get("paper") ?? "");
  for (const scale of ["signed", "signal"]) {
    expect(named.get(`${scale}-zero`)).toBe(named.get("paper"));
    expect(at(`${scale}-lowest`)).toBeGreaterThan(at(`${scale}-low`));
    expect(at(`${scale}-highest`)).toBeGreaterThan(at(`${scale}-high`));
  }
  const steps = [0, 1, 2, 3, 4].map((n) => at(`value-${n}`));
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(named.get("value-0")).toBe(named.get("paper"));
});

test("both themes name the same colours", () => {
  expect([...tokens("dark").keys()]).toEqual([...tokens("light").keys()]);
});
