import { expect, test } from "vitest";
import { fileName } from "./save";

test("a file's name has letters, digits and dashes", () => {
  expect(fileName("conv1 / map 3, step 40", "png")).toBe("conv1-map-3-step-40.png");
  expect(fileName("∂L/∂w", "svg")).toBe("L-w.svg");
  expect(fileName("…", "svg")).toBe("panel.svg");
});
