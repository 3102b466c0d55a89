// The test of the dashboard in a real browser, on the live traffic of a mesh of its own. `cargo xtask browser` calls it with the programs that
// it needs in the environment: MESHCTL, CHROMIUM, MODULES (a folder with node_modules); SCREENSHOTS is the folder of the pictures in the
// book, if they are to be made anew; with ONLY only cases run whose name has that in it, and the one that signs in.

import { createRequire } from "node:module";
import path from "node:path";
import { start } from "./mesh.mjs";
import { Browser } from "./browser.mjs";
import { CASES } from "./cases.mjs";

const need = (name) => {
  if (!process.env[name]) throw new Error(`${name} is not set; run \`cargo xtask browser\``);
  return process.env[name];
};

async function main() {
  const load = createRequire(path.join(need("MODULES"), "package.json"));
  const began = Date.now();
  const mesh = await start(need("MESHCTL"));
  const wanted = CASES.filter(([name]) => !process.env.ONLY || name.includes(process.env.ONLY) || name.includes("signs in once"));
  let failures = 0;
  try {
    const browser = await Browser.open(load, need("CHROMIUM"));
    try {
      for (const [name, run] of wanted) {
        const since = Date.now();
        try {
          await run({ mesh, browser, page: browser.page, shots: process.env.SCREENSHOTS });
          browser.nothingWrong();
          console.log(`ok    ${name}  ${((Date.now() - since) / 1000).toFixed(1)} s`);
        } catch (error) {
          failures += 1;
          console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).replaceAll("\n", "\n      ")}`);
          for (const line of browser.forget()) console.log(`      also ${line}`);
          console.log(`      the page says: ${(await browser.page.locator("main").innerText().catch(() => "")).slice(0, 300).replaceAll("\n", " ")}`);
        }
      }
    } finally {
      await browser.close();
    }
  } finally {
    await mesh.stop();
  }
  console.log(`browser: ${wanted.length - failures} of ${wanted.length} fine, ${((Date.now() - began) / 1000).toFixed(0)} s`);
  process.exitCode = failures ? 1 : 0;
}

await main();
