import { expect, test } from "vitest";
import { date, figure, headline, number, recordCommand, words } from "./format";

test.each([
  [0.0211234, "0.02112"],
  [-0.5, "−0.5000"],
  [61706, "61,706"],
  [9999999, "9,999,999"],
  [762595469451853800, "7.626e+17"],
  [-0, "0"],
  [0.000012345, "1.234e−5"],
  [1234567.5, "1.235e+6"],
  ["NaN", "NaN"],
  ["-Infinity", "−∞"],
] as const)("%s is written %s", (value, text) => {
  expect(number(value)).toBe(text);
});

test("shares are percentages, losses are not", () => {
  expect(figure("val_accuracy", 0.9861)).toBe("98.6 %");
  expect(figure("loss", 0.9861)).toBe("0.9861");
  expect(figure("accuracy", "NaN")).toBe("NaN");
});

test("names are words", () => {
  expect(words("val_binary_accuracy")).toBe("validation binary accuracy");
});

test("the headline is of the validation data, and a loss only where there is nothing else", () => {
  const figures = { loss: 1, accuracy: 0.5, val_loss: 2, val_accuracy: 0.25, seconds: 9 };
  expect(headline(figures)).toEqual(["val_accuracy", 0.25]);
  expect(headline({ loss: 1, val_loss: 2 })).toEqual(["val_loss", 2]);
  expect(headline({ seconds: 9 })).toBeNull();
});

test("what is no date is nothing", () => {
  expect(date("")).toBe("");
  expect(date("2026-01-02T03:04:05+00:00")).toMatch(/Jan 2026/);
});

test("the command that makes a record is that of the run", () => {
  expect(recordCommand({ system: "lenet", title: "" })).toBe("chainrule train lenet --record");
  expect(recordCommand({ system: "", title: "mine.py" })).toBe("chainrule run --record mine.py");
  expect(recordCommand(undefined)).toBe("chainrule train SYSTEM --record");
});
