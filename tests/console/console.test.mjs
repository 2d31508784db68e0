// Every page of the console, in a browser.
import assert from "node:assert/strict";
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { browse, serve } from "./server.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where pictures are put, when they are asked for. */
const SHOTS = process.env.SPACEFOLD_SHOTS;

const PAGES = {
  store: "",
  space: "space?id=book-src&at=12000",
  changes: "space?id=book-src&at=20000&a=9000&b=20000&view=changes",
  document: "space?id=handbook&a=5&document=intro",
  details: "space?id=handbook&view=details",
  commands: "space?id=book-src&at=12000&a=9000&view=commands",
  many: "space?id=many",
  live: "live?space=book-src",
  trace: "trace?correlation=917544888a55e4da7109bdba8c88c893c0da70f4",
  subscriptions: "subscriptions",
  projections: "projections",
  health: "health",
};

let server, chrome;
before(async () => {
  server = await serve();
  chrome = await browse();
});
after(async () => {
  await chrome?.stop();
  await server?.stop();
});

/** A page, which fails on whatever is wrong in it or asked of another host. */
async function open(path, options = {}) {
  const context = await chrome.browser.newContext({ bypassCSP: false, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => request.url().startsWith(server.url) || wrong.push(request.url()));
  const answer = await page.goto(server.url + path);
  assert.equal(answer.status(), 200, path);
  const close = async () => {
    assert.deepEqual(wrong, [], path);
    await context.close();
  };
  return { page, answer, close };
}

test("axe finds nothing serious, and every page is small", async () => {
  for (const [name, path] of Object.entries(PAGES)) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, answer, close } = await open(path, { colorScheme });
      const bytes = gzipSync(await answer.body()).length;
      assert.ok(bytes <= 100 << 10, `${name} has ${bytes} bytes`);
      // Evaluated by the debugger, past the policy of the page.
      await page.evaluate(AXE);
      const found = await page.evaluate(() => globalThis.axe.run());
      const serious = found.violations.filter((it) => ["serious", "critical"].includes(it.impact));
      const told = serious.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).slice(0, 3).join("\n  ")}`);
      assert.deepEqual(told, [], `${name}, ${colorScheme}`);
      await close();
    }
  }
});

test("no page is wider than the window", async () => {
  for (const [name, path] of Object.entries(PAGES)) {
    const { page, close } = await open(path, { viewport: { width: 390, height: 844 } });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${name} is ${wide} wide`);
    await close();
  }
});

test("style, script and icon are small", async () => {
  let bytes = 0;
  for (const name of ["console.css", "console.js", "icon.svg"]) {
    const answer = await fetch(`${server.url}assets/${name}`);
    assert.ok(answer.headers.get("etag"));
    bytes += Buffer.from(await answer.arrayBuffer()).length;
  }
  assert.ok(bytes <= 60 << 10, `${bytes} bytes`);
});

test("the arrows go an event, with shift a day, and the address follows", async () => {
  const { page, close } = await open("space?id=book-src&at=12000");
  const at = () => page.getAttribute("#moment", "data-at");
  const press = async (key) => {
    const before = await at();
    await page.keyboard.press(key);
    await page.waitForFunction((before) => document.querySelector("#moment").dataset.at !== before, before);
    return Number(await at());
  };
  const here = Number(await at());
  const next = await press("ArrowRight");
  assert.ok(next > here);
  assert.equal(new URL(page.url()).searchParams.get("at"), String(next));
  assert.equal(await press("ArrowLeft"), here);
  assert.ok((await press("Shift+ArrowLeft")) < here);
  assert.equal(await press("Home"), Number(await page.getAttribute("#moment", "data-at")));
  const last = await press("End");
  assert.ok(last > next);
  const said = await page.getAttribute("#moment-range", "aria-valuetext");
  assert.match(said, /^position \d+, \d{4}-\d\d-\d\d/);
  // What is shown is what the address alone shows.
  const rows = await page.locator("[data-rows] > li:not(.gone)").allTextContents();
  await page.reload();
  assert.deepEqual(await page.locator("[data-rows] > li").allTextContents(), rows);
  await close();
});

test("the thumb is dragged, and the state follows", async () => {
  const { page, close } = await open("space?id=book-src");
  const range = page.locator("#moment-range");
  const box = await range.boundingBox();
  const last = await page.getAttribute("#moment", "data-at");
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction((last) => document.querySelector("#moment").dataset.at !== last, last);
  const middle = Number(await page.getAttribute("#moment", "data-at"));
  assert.ok(middle > 100 && middle < Number(last), `${middle}`);
  await close();
});

test("two pins show what changed between them, and the text of a document", async () => {
  const { page, close } = await open("space?id=handbook&at=5");
  await page.click("[data-pin=A]");
  await page.click("[data-step=last]");
  await page.waitForFunction(() => Number(document.querySelector("#moment").dataset.at) > 25557);
  await page.click("[data-pin=B]");
  await page.waitForSelector(".changes li");
  assert.ok((await page.locator(".changes li").count()) >= 2);
  await close();
});

test("the text of a document is held against that at another position", async () => {
  const { page, close } = await open("space?id=handbook");
  const first = Number(await page.getAttribute("[data-step=first]", "href").then((it) => new URLSearchParams(it.split("?")[1]).get("at")));
  await page.goto(`${server.url}space?id=handbook&a=${first + 3}&document=intro`);
  assert.match(await page.textContent(".diff .gone .line"), /removed: Ask when/);
  assert.match(await page.textContent(".diff .came .line"), /added: Please ask when/);
  assert.match(await page.textContent("table.blame"), /content/);
  await close();
});

test("with scripts off every page and form works", async () => {
  const options = { javaScriptEnabled: false };
  for (const path of Object.values(PAGES)) await (await open(path, options)).close();
  const { page, close } = await open("space?id=book-src&at=12000", options);
  await page.click("[data-step=next]");
  assert.ok(Number(new URL(page.url()).searchParams.get("at")) > 11_000);
  await page.click("[data-step=day-back]");
  assert.equal(new URL(page.url()).searchParams.get("step"), null);
  await page.focus("#moment-range");
  await page.keyboard.press("Home");
  await page.click(".go");
  assert.ok(Number(new URL(page.url()).searchParams.get("at")) < 12_000);
  await page.fill("#q", "no such document");
  await page.click(".search button");
  assert.match(await page.textContent(".documents"), /No document has/);
  await close();
});

test("what happens comes, and nothing is missed by a pause", async () => {
  const { page, close } = await open("live?space=lively");
  await page.waitForSelector(".live-state.on");
  const append = async (name) => {
    const event = { event_type: "variable.set", space_id: "lively", payload: { name, value: 1 } };
    const answer = await fetch(`${server.url}v1/append`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ events: [event] }),
    });
    assert.equal(answer.status, 200, await answer.clone().text());
  };
  const shown = (name) => page.waitForFunction((name) => document.querySelector("[data-tail]").textContent.includes(name), name);
  await append("first");
  await shown("first");
  await page.click("[data-pause]");
  await append("unseen");
  assert.equal(await page.textContent("[data-state]"), "paused");
  assert.ok(!(await page.textContent("[data-tail]")).includes("unseen"));
  await page.click("[data-pause]");
  await shown("unseen");
  assert.equal(await page.locator("[data-tail] tr").count(), 2);
  await close();
});

test("forms change what they say", async () => {
  const { page, close } = await open("subscriptions");
  const row = page.locator("tr", { hasText: "index" });
  await row.locator("input[name=after]").fill("77");
  await row.getByRole("button", { name: "Go on after" }).click();
  assert.match(await page.locator("tr", { hasText: "index" }).textContent(), /77/);
  await page.locator("tr", { hasText: "index" }).getByRole("button", { name: "Remove" }).click();
  assert.equal(await page.locator("tr", { hasText: "index" }).count(), 0);
  await close();
});

test("the help opens and closes by keys", async () => {
  const { page, close } = await open("");
  await page.keyboard.press("?");
  assert.ok(await page.isVisible("#help"));
  await page.keyboard.press("Escape");
  assert.ok(!(await page.isVisible("#help")));
  await close();
});

test("a token is traded for a session, which shows what it grants", async () => {
  const closed = await serve("--tokens");
  try {
    const context = await chrome.browser.newContext();
    const page = await context.newPage();
    await page.goto(`${closed.url}space?id=book-src&at=12000`);
    assert.equal(new URL(page.url()).pathname, "/login");
    await page.fill("#token", "sfk1_wrong_wrong");
    await page.click("button.primary");
    assert.ok(await page.isVisible("#refused"));
    await page.fill("#token", closed.book_token);
    await page.click("button.primary");
    assert.equal(new URL(page.url()).search, "?id=book-src&at=12000");
    const [cookie] = await context.cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes("sfk1"));
    await page.goto(closed.url);
    const spaces = await page.textContent("main");
    assert.ok(spaces.includes("book-src") && !spaces.includes("handbook"));
    assert.equal((await page.goto(`${closed.url}space?id=handbook`)).status(), 403);
    assert.equal((await page.goto(`${closed.url}health`)).status(), 403);
    await page.goto(closed.url);
    await page.click("text=Log out");
    assert.equal(new URL(page.url()).pathname, "/login");
    assert.equal((await page.goto(closed.url)).status(), 200);
    assert.equal(new URL(page.url()).pathname, "/login");
    await context.close();
  } finally {
    await closed.stop();
  }
});

test("pictures of every page, when they are asked for", { skip: !SHOTS }, async () => {
  mkdirSync(SHOTS, { recursive: true });
  for (const [name, path] of Object.entries({ ...PAGES, login: "login" })) {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const { page, close } = await open(path, { colorScheme, viewport: { width, height: width === 390 ? 844 : 860 } });
        await page.screenshot({ path: `${SHOTS}/${name}-${colorScheme}-${width}.png` });
        await close();
      }
    }
  }
});
