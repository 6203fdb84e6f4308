/** Numbers, names and dates as people read them. */

import type { Figure, Figures, Run } from "./api";

const MINUS = "−";

const LONG = 1e7; // whole numbers from here on are shortened as others are

/** 4 significant digits; whole numbers that are not long in full. */
export function number(value: Figure): string {
  if (typeof value === "string") return value.replace("-", MINUS).replace("Infinity", "∞");
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < LONG)
    return (value + 0).toLocaleString("en").replace("-", MINUS);
  const text = size >= 1e-3 && size < 1e6 ? value.toPrecision(4) : value.toExponential(3);
  return text.replaceAll("-", MINUS);
}

/** A figure by its name: shares of right answers in percent. */
export function figure(name: string, value: Figure): string {
  const share =
    /accuracy$|^(val_)?error$/.test(name) && typeof value === "number" && Math.abs(value) <= 1;
  return share ? `${(100 * value).toFixed(1)} %` : number(value);
}

/** "val_binary_accuracy" → "validation binary accuracy" */
export function words(name: string): string {
  return name.replace(/^val_/, "validation ").replaceAll("_", " ");
}

/** The figure that says most about a run: of the validation data, and not the loss. */
export function headline(figures: Figures): readonly [string, Figure] | null {
  const rank = ([name]: readonly [string, Figure]) =>
    (name.endsWith("loss") ? 2 : 0) + (name.startsWith("val_") ? 0 : 1);
  const told = Object.entries(figures).filter(([name]) => name !== "seconds" && name !== "lr");
  return told.sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A moment on the clock of this machine; "" for what is none. */
export function date(iso: string): string {
  const moment = new Date(iso);
  return Number.isNaN(moment.getTime()) ? "" : DATE.format(moment);
}

/** The command line that makes a run such as this one again, with a record. */
export function recordCommand(run: Pick<Run, "system" | "title"> | undefined): string {
  if (run?.title.endsWith(".py")) return `chainrule run --record ${run.title}`;
  return `chainrule train ${run?.system || "SYSTEM"} --record`;
}
