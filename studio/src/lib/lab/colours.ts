/** Words on coloured cells: ink or paper, whichever can be read. */

import type { Colour } from "../pictures";

/** The luminance of WCAG 2.2, from 0 to 1. */
function luminance(colour: Colour): number {
  const [r, g, b] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** How well one colour is seen on another, from 1 to 21. */
export function contrast(a: Colour, b: Colour): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((one, two) => one - two) as [
    number,
    number,
  ];
  return (light + 0.05) / (dark + 0.05);
}

/** Which of two colours is seen better on a cell: the first or the second. */
export const better = (cell: Colour, first: Colour, second: Colour): boolean =>
  contrast(cell, first) >= contrast(cell, second);
