// Programs of the machine that tests run where they are there.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Arguments with which Chromium opens the page that follows them, and writes what has become of it. */
export const CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"];

/** The program of this name on the machine; `undefined` without one. */
export function find(name) {
  return (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
