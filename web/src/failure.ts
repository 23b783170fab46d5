// Why an image cannot be derained, in words for the person at the page.

export class Failure extends Error {
  readonly type: string;
  readonly canRetry: boolean; // whether the same request may succeed later

  constructor(words: string, { type = "", canRetry = false } = {}) {
    super(words);
    this.type = type;
    this.canRetry = canRetry;
  }
}

export const NOT_WRITTEN = "urn:crdnet:format-not-written"; // as the server says it
