import { expect, test } from "vitest";
import { begin, link, parse, placeOf, placeText, question, TABS } from "./view";

test("a query names all of a view, and comes back from it", () => {
  const text =
    "/lab?mode=bar&image=1+0_0+-1.5&size=9&kernel=box&stride=2&padding=1&dilation=2&op=convolution&upstream=1+2&wanted=5&at=y.0%2C1%2C2&fill=1";
  const view = parse(text.slice(4));
  expect(view).toMatchObject({ image: "1 0_0 -1.5", padding: "1", stride: 2, fill: true });
  expect(link(view)).toBe(text);
});

test.each(TABS.map((each) => each.tab))("the tab %s begins with an empty address", (tab) => {
  const view = begin(tab, tab === "wiring" ? 1 : 2);
  expect(link(view)).toBe(tab === "slide" ? "/lab" : `/lab?tab=${tab}`);
  expect(parse(link(view).slice(4))).toEqual(view);
});

test("one dimension begins with a signal, and each change survives", () => {
  const view = parse("?dims=1");
  expect(view.image).toBe("five");
  const other = { ...view, kernel: "ends", run: "lenet-001" };
  expect(parse(link(other).slice(4))).toEqual(other);
});

test("words that are none of the choices are none", () => {
  const view = parse("?tab=other&op=x&size=-1&stride=1e3&mode=B&shift=north&dims=7&fill=yes");
  expect(view).toEqual(begin("slide", 2));
});

test("each tab asks its own question, and padding is a number where it is one", () => {
  expect(question(parse("?padding=2")).asked["padding"]).toBe(2);
  expect(question(parse("?padding=full")).asked["padding"]).toBe("full");
  const { path, asked } = question(parse("?tab=pool&pool=mean"));
  expect(path).toBe("/api/lab/pool");
  expect(asked).toMatchObject({ pool: "mean", window: 2 });
  expect(question(parse("?tab=copies&of=pixels")).asked["copies"]).toBe("pixels");
  expect(question(parse("?tab=channels&mode=bar")).asked["back"]).toBe(true);
});

test("a place is read as it is written", () => {
  const place = { node: "w", index: [0, 1, 2, 0] };
  expect(placeOf(placeText(place))).toEqual(place);
  for (const text of [null, "", "y", "q.1", "y.1,", "y.-1", "y.1,2,3,4,5"]) {
    expect(placeOf(text)).toBeNull();
  }
});
