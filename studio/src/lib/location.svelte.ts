/** Where the browser stands: page and selection, kept in step with back, forward and links. */

import { embeddedPage, isEmbedded } from "./embedded";
import { parse, type Selection } from "./selection";

/** Path and query: of a saved file, whose own path is the disk's, behind its #. */
function here(): readonly [string, string] {
  if (!isEmbedded()) return [window.location.pathname, window.location.search];
  const href = window.location.hash.slice(1) || embeddedPage();
  const [path = "", query = ""] = href.split("?", 2);
  return [path, query && `?${query}`];
}

const written = (href: string) => (isEmbedded() ? `#${href}` : href);

class Place {
  path = $state(here()[0]);
  selection: Selection = $state.raw(parse(here()[1]));
  query = $state(here()[1]); // all of it: some pages have words of their own there

  /** Follow a link of ours: a new entry in the browser's history. */
  go(href: string): void {
    if (href !== here().join("")) window.history.pushState(null, "", written(href));
    this.read();
  }

  /** Stand elsewhere without a new entry: of what is dragged, each place is none to go back to. */
  replace(href: string): void {
    window.history.replaceState(null, "", written(href));
    this.read();
  }

  /** Read the URL again. */
  read(): void {
    const [path, query] = here();
    this.path = path;
    this.selection = parse(query);
    this.query = query;
  }
}

export const place = new Place();

/** The link of ours that a click means; null for other links, and for those into a new tab. */
function followed(event: MouseEvent): string | null {
  if (event.defaultPrevented || event.button !== 0) return null;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const anchor = event.target instanceof Element ? event.target.closest("a") : null;
  if (!anchor || anchor.target || anchor.download || anchor.origin !== window.location.origin)
    return null;
  return anchor.hash ? null : anchor.pathname + anchor.search;
}

/** Let clicks on links and the browser's back and forward lead here; returns how to end that. */
export function followLinks(): () => void {
  const clicked = (event: MouseEvent) => {
    const href = followed(event);
    if (href === null) return;
    event.preventDefault();
    place.go(href);
  };
  const moved = () => place.read();
  window.addEventListener("click", clicked);
  window.addEventListener("popstate", moved);
  return () => {
    window.removeEventListener("click", clicked);
    window.removeEventListener("popstate", moved);
  };
}
