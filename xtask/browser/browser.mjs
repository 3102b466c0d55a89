// Chromium without a screen, and everything that must not happen in it: errors, what the policy of the page forbids, requests to elsewhere.

import assert from "node:assert/strict";
import fs from "node:fs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export class Browser {
  static async open(load, executablePath) {
    const { chromium } = load("playwright-core");
    const browser = await chromium.launch({ executablePath, args: FLAGS });
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", reducedMotion: "reduce" });
    const self = new Browser();
    Object.assign(self, { browser, context, wrong: [], axe: fs.readFileSync(load.resolve("axe-core/axe.min.js"), "utf8") });
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    self.page = await context.newPage();
    self.page.setDefaultTimeout(12_000);
    self.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) self.wrong.push(`${message.type()}: ${message.text()} ${message.location().url}`);
    });
    self.page.on("pageerror", (error) => self.wrong.push(`uncaught: ${error.stack}`));
    self.page.on("request", (request) => {
      const url = new URL(request.url());
      if (self.base && url.origin !== self.base && url.protocol !== "about:") self.wrong.push(`a request to ${url.origin}`);
    });
    return self;
  }

  /** Opens a URL of `meshctl dashboard`. */
  async enter(url) {
    this.base = new URL(url).origin;
    await this.page.goto(url);
  }

  /** Goes to a view by its address. */
  async go(fragment) {
    await this.page.goto(`${this.base}/#/${fragment}`);
  }

  nothingWrong() {
    assert.deepEqual(this.wrong, []);
  }

  /** What is expected to be told as an error by the browser itself, and nothing else. */
  expect(pattern) {
    const left = this.wrong.filter((text) => !pattern.test(text));
    assert.ok(left.length < this.wrong.length, `nothing like ${pattern} was told`);
    this.wrong = left;
  }

  /** Gives what was wrong, and begins anew. */
  forget() {
    const { wrong } = this;
    this.wrong = [];
    return wrong;
  }

  /** Serious findings of axe. */
  async findings() {
    await this.page.evaluate(this.axe);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary?.split("\n")[1]?.trim() ?? ""}`).join(" | ")}`);
  }

  /** Pixels by which the page is wider than the screen. */
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }

  async close() {
    await this.browser.close();
  }
}
