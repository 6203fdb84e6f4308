/** Answers that stand in the page itself: a file that was saved, which has no server to ask. */

interface Embedded {
  readonly page: string; // the path that it opens with, such as /stepper?move=3
  readonly answers: Readonly<Record<string, unknown>>; // by the path that is asked for
}

function read(): Embedded | null {
  const element = typeof document === "undefined" ? null : document.getElementById("embedded");
  return element ? (JSON.parse(element.textContent) as Embedded) : null;
}

const embedded = read();

/** Whether this page is a saved file. */
export const isEmbedded = () => embedded !== null;

/** The page that a saved file opens with. */
export const embeddedPage = () => embedded?.page ?? "/";

/** A path with its query written in one way: Python and browsers spell some letters differently. */
export function sameSpelling(path: string): string {
  const [before = "", query] = path.split("?", 2);
  return query === undefined ? before : `${before}?${new URLSearchParams(query)}`;
}

const answers = new Map(
  Object.entries(embedded?.answers ?? {}).map(([path, answer]) => [sameSpelling(path), answer]),
);

/** What the server answered when the file was saved; undefined for what was not kept. */
export const embeddedAnswer = (path: string): unknown => answers.get(sameSpelling(path));
