// Lists that come in pages.

/** A page of a list, with the API's own names. */
export interface Page<T> {
  items: T[];
  /** Number of the page, from 1. */
  page: number;
  per_page: number;
  /** Number of entries on all pages. */
  total: number;
  total_pages: number;
}

/**
 * A list in pages: `for await` goes over all its entries and asks for a page when it is needed. What is added or removed
 * meanwhile may move an entry to another page.
 */
export class Paged<T> implements AsyncIterable<T> {
  readonly #fetch: (page: number) => Promise<Page<T>>;

  constructor(fetch: (page: number) => Promise<Page<T>>) {
    this.#fetch = fetch;
  }

  /** One page, from 1; one beyond the end is empty. */
  page(number = 1): Promise<Page<T>> {
    return this.#fetch(number);
  }

  /** All entries at once. */
  async all(): Promise<T[]> {
    const items: T[] = [];
    for await (const item of this) items.push(item);
    return items;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    for (let number = 1; ; number += 1) {
      const { items, total_pages } = await this.#fetch(number);
      yield* items;
      if (items.length === 0 || number >= total_pages) return undefined;
    }
  }
}
