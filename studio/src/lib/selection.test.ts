import { expect, test } from "vitest";
import { link, NOTHING, parse, query } from "./selection";

test("a query names all of a selection, and comes back from it", () => {
  const text =
    "?run=lenet-001&step=40&kind=batch&sample=3&node=7&unit=7%2C4%2C5&mode=bar&number=6.bar.0%2C7%2C4%2C5&bank=conv1.weight&filter=2&channel=0&film=time&seed=loss%3A3&other=xor-001&axis=log&edit=5f3a&scale=network&hold=steps&maps=rms&open=Net%2Ca.0&find=3%2C4+relu&view=0.5%2C-20%2C7";
  const selection = parse(text);
  expect(selection).toEqual({
    ...NOTHING,
    run: "lenet-001",
    step: 40,
    kind: "batch",
    sample: 3,
    node: "7",
    unit: "7,4,5",
    mode: "bar",
    number: "6.bar.0,7,4,5",
    bank: "conv1.weight",
    filter: 2,
    channel: 0,
    film: "time",
    seed: "loss:3",
    other: "xor-001",
    axis: "log",
    edit: "5f3a",
    scale: "network",
    hold: "steps",
    maps: "rms",
    open: "Net,a.0",
    find: "3,4 relu",
    view: "0.5,-20,7",
  });
  expect(query(selection)).toBe(text);
});

test("a stepper's formula, its values and the move come back from the query", () => {
  const chosen = {
    ...NOTHING,
    formula: "L = (w*x + b)**2/2 + λ",
    values: "w = 1.5, x = [1, -2]",
    learned: "w,b",
    rate: "0.1",
    move: 7,
    notation: "delta",
    game: "bug",
    bug: 1,
    naive: "yes",
  } as const;
  expect(parse(query(chosen))).toEqual(chosen);
  expect(parse("?notation=dots&game=chess&move=-1")).toEqual(NOTHING);
});

test("zero is a step, and an empty query selects nothing", () => {
  expect(parse("?step=0").step).toBe(0);
  expect(parse("")).toEqual(NOTHING);
  expect(query(NOTHING)).toBe("");
});

test.each(["-1", "1.5", "x", "", "1e3", "9".repeat(400)])("step=%s is none", (word) => {
  expect(parse(`?step=${word}`).step).toBeNull();
});

test("words that are none of the choices are none", () => {
  expect(parse("?kind=other&mode=B&axis=linear&scale=layer&hold=1&maps=x")).toEqual(NOTHING);
});

test("odd names survive, and what is unknown is left out", () => {
  const run = "a b&c=d?/ü";
  expect(parse(query({ ...NOTHING, run })).run).toBe(run);
  expect(query(parse("?colour=red&run=a"))).toBe("?run=a");
});

test("a link selects what it names alone", () => {
  expect(link("/", { run: "xor-001" })).toBe("/?run=xor-001");
  expect(link("/")).toBe("/");
});
