// What has to hold before the package is published: types as the daemon's documents have them, a small bundle, and files that
// every resolver finds. Says each on a line, and fails where one does not hold. Needs no daemon.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

/** Bytes of the minified bundle of everything, as gzip. */
const MOST = 8_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules/.bin", name);
const work = mkdtempSync(join(tmpdir(), "mcpvisor-package-"));
let failed = 0;

function report(what, isGood, output = "") {
  console.log(`${isGood ? "ok  " : "FAIL"} ${what}`);
  if (isGood) return;
  failed += 1;
  if (output) console.log(output.replaceAll(/^/gm, "     "));
}

function run(what, command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  report(what, status === 0, `${stdout}${stderr}`);
}

try {
  run("the types are those of the OpenAPI documents", process.execPath, ["scripts/generate.mjs", "--check"]);
  run("it is built by tsc --strict", process.execPath, ["scripts/build.mjs"]);
  const { outputFiles } = buildSync({ entryPoints: [join(root, "dist/esm/index.js")], bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  report(`the bundle has ${size} bytes as gzip, of ${MOST} at most`, size <= MOST);
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  report("it depends on nothing", Object.keys(dependencies).length === 0);
  const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", work], { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  const tarball = join(work, filename);
  run("publint finds nothing in the tarball", bin("publint"), ["run", tarball, "--strict"]);
  run("attw finds nothing in the tarball", bin("attw"), [tarball]);
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
