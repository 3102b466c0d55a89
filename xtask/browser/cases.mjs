// What a user does with the dashboard, each a case. They follow each other in one browser that stays signed in.

import assert from "node:assert/strict";
import path from "node:path";
import { until } from "./mesh.mjs";

/** Every page, and what shows that it has its data. */
const PAGES = [
  ["graph", "a.node"],
  ["services", "td .tone"],
  ["services?kind=deploy", "td .tone"],
  ["svc/shop/reviews", ".chart path"],
  ["deploy/shop/web", ".chart path"],
  ["edge/shop/web/shop/recommend", ".figure"],
  ["tap?go=1", "table.tap tbody tr"],
  ["traces?go=1", "tbody tr a"],
  ["objectives", ".empty, tbody tr"],
  ["canaries", ".empty"],
  ["certs", "tbody tr"],
  ["config", "tbody tr"],
];

const BROKEN = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: nowhere, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: catalog }]
  rules: [{ matches: [{ path: { type: Exact, value: /never } }], backendRefs: [{ name: nobody, port: 80 }] }]
`;

const PROMISE = `apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: { name: recommend-promise, namespace: shop }
spec:
  targetRefs: [{ kind: Service, name: recommend }]
  slo: { availability: 99.9, window: 30d }
`;

const HOSTILE = '<img src=x onerror="window.hacked=1">';

const text = (page, selector) => page.locator(selector).first().innerText();
const shot = async (page, shots, name) => {
  if (shots) await page.screenshot({ path: path.join(shots, `dashboard-${name}.png`) });
};

export const CASES = [
  ["nobody who is not signed in sees anything", async ({ mesh, browser, page }) => {
    const url = mesh.url();
    await browser.enter(url.split("#")[0]);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(await page.locator("#nav a").count(), 0);
    const answers = await Promise.all(["stat?kind=svc", "certs", "tap"].map((name) => fetch(`${browser.base}/api/${name}`)));
    assert.deepEqual(answers.map((answer) => answer.status), [401, 401, 401]);
  }],

  ["a ticket signs in once", async ({ mesh, browser, page }) => {
    const url = mesh.url();
    await browser.enter("about:blank").catch(() => {});
    await browser.enter(url);
    await page.locator("a.node").first().waitFor();
    assert.ok(!page.url().includes("ticket"), "the ticket is not kept in the address");
    const again = await fetch(`${browser.base}/api/session`, { method: "POST", headers: { origin: browser.base }, body: JSON.stringify({ ticket: url.split("ticket=")[1] }) });
    assert.equal(again.status, 403);
  }],

  ["the topology shows every workload, and what fails without colour", async ({ browser, page, shots }) => {
    await browser.go("graph");
    for (const name of ["visitor", "web", "catalog", "cart", "stock", "recommend", "reviews-v1", "reviews-v2"]) {
      await page.locator("a.node", { hasText: name }).first().waitFor();
    }
    const failing = page.locator("a.link", { hasText: "calls recommend" });
    await until(async () => /9\d\.\d\d% succeed/.test(await failing.locator("title").textContent()), 30_000, "some calls of recommend fail");
    assert.match(await page.locator(".labels").innerHTML(), /✕/);
    const dash = await failing.locator("path.line").evaluate((line) => getComputedStyle(line).strokeDasharray);
    assert.notEqual(dash, "none");
    await page.getByRole("table", { name: "Calls between workloads" }).getByRole("row", { name: /recommend/ }).waitFor();
    await shot(page, shots, "topology");
  }],

  ["from the picture into a workload, and along a line", async ({ browser, page }) => {
    await browser.go("graph");
    await page.locator("a.node", { hasText: "recommend" }).click();
    await page.getByRole("heading", { name: "recommend", exact: true }).waitFor();
    await page.locator(".chart path").first().waitFor();
    await page.getByRole("table", { name: "What failed, by kind" }).getByText("status 503").first().waitFor();
    await page.getByRole("table", { name: "Who calls it" }).getByRole("link", { name: "web" }).click();
    await page.getByRole("heading", { name: "web → recommend" }).waitFor();
    await page.getByRole("row", { name: /recommend.shop.*mTLS/ }).waitFor();
    await browser.go("graph");
    await page.locator("a.link", { hasText: "cart in shop calls stock" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "cart → stock" }).waitFor();
    await browser.go("svc/shop/reviews");
    await page.getByRole("table", { name: "Workloads behind the service" }).getByRole("link", { name: "reviews-v2" }).waitFor();
    await page.getByRole("table", { name: "Routes of the service" }).getByText("httproute/shop/reviews").first().waitFor();
  }],

  ["services are sorted and found", async ({ browser, page }) => {
    await browser.go("services");
    const first = () => text(page, "tbody tr th");
    await page.getByRole("button", { name: "Name", exact: true }).click();
    await until(async () => (await first()) === "cart", 5_000, "cart is first by name");
    assert.equal(await page.getByRole("columnheader", { name: "Name", exact: true }).getAttribute("aria-sort"), "ascending");
    await page.getByRole("searchbox", { name: "Find" }).fill("revi");
    await until(async () => (await page.locator("tbody tr").count()) === 3, 5_000, "three are called like that");
    await page.getByRole("searchbox", { name: "Find" }).fill("nobody");
    await page.getByText("None is called like").waitFor();
  }],

  ["tap shows requests as they end, and filters are the sidecars'", async ({ browser, page }) => {
    await browser.go("tap");
    await page.getByRole("button", { name: "Start" }).click();
    await until(async () => (await page.locator("table.tap tbody tr").count()) > 10, 15_000, "more than ten requests");
    await page.getByLabel("Workload").fill("shop/cart");
    await page.getByRole("button", { name: "Tap anew" }).click();
    await page.locator("table.tap tbody tr", { hasText: "cart → stock" }).first().waitFor();
    assert.equal(await page.locator("table.tap tbody tr", { hasText: "web → catalog" }).count(), 0);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("table.tap summary").first().click();
    await page.locator("table.tap details[open] dl").getByText("Where the time went").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Nothing is tapped").waitFor();
  }],

  ["tap: what a client sends is text, whatever it is", async ({ mesh, browser, page }) => {
    await browser.go("tap?workload=shop%2Fweb&side=inbound&headers=1&path=%2F%253Cscript&go=1");
    await page.getByText("Waiting for a request").waitFor();
    const send = () => mesh.visit("/%3Cscript%3Ewindow.hacked=1%3C/script%3E", { "x-hostile": HOSTILE, authorization: "Bearer secret" });
    await until(async () => { await send(); return (await page.locator("table.tap summary").count()) > 0; }, 15_000, "the hostile request is shown");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("table.tap summary").first().click();
    const shown = await page.locator("table.tap details[open]").first().innerText();
    assert.ok(shown.includes(HOSTILE), shown);
    assert.ok(shown.includes("authorization: (never leaves the sidecar)") && !shown.includes("secret"), shown);
    assert.ok(/script/.test(await text(page, "table.tap summary")));
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("main img, main script").count(), 0);
    await browser.go(`svc/${encodeURIComponent("<b>")}/${encodeURIComponent(HOSTILE)}`);
    await page.getByText("There is no Service").waitFor();
    assert.equal(await page.locator("main img, main b").count(), 0);
  }],

  ["a trace is a waterfall that says where the time went, and stays at its address", async ({ browser, page, shots }) => {
    await browser.go("traces");
    await page.getByRole("button", { name: "Start" }).click();
    const row = page.locator("tbody tr", { has: page.getByRole("link", { name: "GET /", exact: true }) }).first();
    await row.waitFor({ timeout: 30_000 });
    await row.getByRole("link").click();
    const waterfall = page.getByRole("table", { name: "Hops of the trace in their order" });
    await waterfall.waitFor();
    assert.ok((await waterfall.locator("tbody tr").count()) >= 4);
    for (const part of ["application", "way between the sidecars"]) await waterfall.getByText(part).first().waitFor();
    assert.ok((await waterfall.locator("rect.part").count()) > 6);
    await shot(page, shots, "trace");
    await page.reload();
    await waterfall.waitFor();
    await browser.go("trace/00000000000000000000000000000001");
    await page.getByText("This trace is not to be had").waitFor();
    browser.expect(/404.*api\/trace/);
  }],

  ["certificates say how long they are good", async ({ browser, page }) => {
    await browser.go("certs");
    await until(async () => (await page.locator("tbody tr").count()) >= 8, 15_000, "eight certificates");
    await page.getByRole("row", { name: /web.shop.*good/ }).waitFor();
    assert.match(await page.locator("tbody").innerText(), /spiffe:\/\/mesh.local\/ns\/shop\/sa\/web/);
  }],

  ["configuration says what is wrong and why", async ({ mesh, browser, page }) => {
    await browser.go("config");
    await page.getByRole("row", { name: /HTTPRoute shop\/reviews.*in force/ }).waitFor();
    mesh.apply("broken.yaml", BROKEN);
    const bad = page.getByRole("row", { name: /HTTPRoute shop\/nowhere.*not in force.*nobody/ });
    await bad.waitFor();
    await page.getByRole("link", { name: "What is wrong" }).click();
    await until(async () => (await page.getByRole("table", { name: /^Objects/ }).locator("tbody tr").count()) === 1, 10_000, "one object is wrong");
    assert.ok((await page.getByRole("table", { name: /^Sidecars/ }).getByText("synced").count()) >= 8);
  }],

  ["what is promised shows how fast it burns, on a page of its own and beside its service", async ({ mesh, browser, page }) => {
    mesh.apply("promise.yaml", PROMISE);
    await browser.go("objectives");
    await page.getByRole("row", { name: /recommend.*99\.9% good in 30d.*recommend-promise/ }).waitFor({ timeout: 30_000 });
    await page.getByRole("row", { name: /recommend.*\d+(\.\d+)?x.*recommend-promise/ }).waitFor({ timeout: 60_000 });
    await browser.go("svc/shop/recommend");
    await page.getByRole("table", { name: "What is promised of the service" }).getByText("99.9% good in 30d").waitFor();
  }],

  ["everything is reached by keys", async ({ browser, page }) => {
    await browser.go("services");
    await page.locator("td .tone").first().waitFor();
    await page.reload();
    await page.locator("td .tone").first().waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.getByRole("heading", { name: "Certificates" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Certificates", "the heading has the focus");
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.locator("td .tone").first().waitFor();
    const links = page.locator("tbody a");
    await until(async () => (await links.count()) > 5, 10_000, "the services are there");
    for (let i = 0; i < 40; i += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.closest("tbody") !== null)) break;
    }
    const focused = await page.evaluate(() => ({ text: document.activeElement.textContent, outline: getComputedStyle(document.activeElement).outlineStyle }));
    assert.equal(focused.outline, "solid", "focus is seen");
    await page.waitForResponse((response) => response.url().includes("/api/stat"));
    assert.equal(await page.evaluate(() => document.activeElement.textContent), focused.text, "new numbers do not take the focus away");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: focused.text, exact: true }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await until(async () => !(await page.locator("dialog").isVisible()), 3_000, "the dialog is closed");
  }],

  ["light and dark, by the system and as chosen", async ({ browser, page }) => {
    await browser.go("graph");
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(light, dark);
    await page.locator("#theme").click();
    assert.equal(await ground(), light, "chosen: light");
    await page.reload();
    await page.locator("a.node").first().waitFor();
    assert.equal(await ground(), light, "it stays");
    await page.locator("#theme").click();
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await ground(), dark, "chosen: dark");
    await page.locator("#theme").click();
    assert.equal(await ground(), light, "as the system says");
  }],

  ["no page has serious findings of axe, light or dark", async ({ browser, page }) => {
    const found = [];
    for (const [fragment, there] of PAGES) {
      await browser.go(fragment);
      await page.locator(there).first().waitFor({ timeout: 30_000 });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        found.push(...(await browser.findings()).map((finding) => `${fragment} ${colorScheme}: ${finding}`));
      }
      await page.emulateMedia({ colorScheme: "light" });
    }
    assert.deepEqual(found, []);
  }],

  ["nothing is wider than a phone", async ({ browser, page, shots }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    const wide = [];
    try {
      for (const [fragment, there] of [...PAGES, ["signin", "#token"]]) {
        await browser.go(fragment);
        await page.locator(there).first().waitFor({ timeout: 30_000 });
        const over = await browser.overflow();
        if (over > 0) wide.push(`${fragment}: ${over} pixels`);
        if (fragment === "graph") await shot(page, shots, "phone");
      }
    } finally {
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    assert.deepEqual(wide, []);
  }],

  ["a controller that is away makes numbers stale, and comes back", async ({ mesh, browser, page }) => {
    await browser.go("services");
    await page.locator("td .tone").first().waitFor();
    mesh.controller("SIGSTOP");
    try {
      await page.locator(".pill.stale").waitFor({ timeout: 25_000 });
      await page.getByRole("alert").getByText("The controller does not answer").waitFor();
      assert.ok((await page.locator("td .tone").count()) > 3, "the last numbers stay");
    } finally {
      mesh.controller("SIGCONT");
    }
    await page.locator(".pill.live").waitFor({ timeout: 25_000 });
    assert.equal(await page.getByRole("alert").count(), 0);
    browser.wrong = browser.wrong.filter((line) => !/net::ERR/.test(line));
  }],

  ["who signs out is out, and comes back to where they were", async ({ mesh, browser, page, shots }) => {
    if (shots) {
      await page.emulateMedia({ colorScheme: "dark" });
      await browser.go("deploy/shop/recommend");
      await page.locator(".chart path").first().waitFor();
      await shot(page, shots, "service-dark");
      await page.emulateMedia({ colorScheme: "light" });
    }
    await browser.go("certs?window=300");
    await page.locator("svg.life").first().waitFor();
    await page.locator("#keys").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await browser.enter(mesh.url());
    await page.getByRole("heading", { name: "Certificates" }).waitFor();
    assert.ok(page.url().includes("window=300"));
  }],
];
