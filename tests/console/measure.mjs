// How long pages and steps take: figures for people, not a test. `node measure.mjs`
import { performance } from "node:perf_hooks";
import { gzipSync } from "node:zlib";
import { browse, serve } from "./server.mjs";

const server = await serve();
const shares = Array.from({ length: 200 }, (_, n) => (n * 7919) % 25_557);

/** What the middle, the 99th of a hundred, and the worst are. */
function told(name, times) {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))].toFixed(1);
  console.log(`${name}: median ${at(0.5)} ms, p99 ${at(0.99)} ms, worst ${at(1)} ms`);
}

async function pages(name, paths) {
  const times = [];
  let most = 0;
  for (const path of paths) {
    const from = performance.now();
    const answer = await fetch(server.url + path);
    const bytes = Buffer.from(await answer.arrayBuffer());
    times.push(performance.now() - from);
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
    most = Math.max(most, gzipSync(bytes).length);
  }
  told(`${name} (${(most / 1024).toFixed(0)} KiB compressed at the most)`, times);
}

await pages("a page of the book, first look", ["space?id=book-listings"]);
await pages("pages of the book at any position", shares.map((at) => `space?id=book-listings&at=${at}`));
await pages("parts of the book at any position", shares.map((at) => `space?id=book-listings&at=${at}&part=1`));
await pages("the document view", shares.slice(0, 50).map((at) => `space?id=book-src&at=${at}&document=src%2FSUMMARY.md`));
await pages("100,000 documents, first look", ["space?id=many"]);
await pages("100,000 documents", Array(50).fill("space?id=many"));
await pages("100,000 documents at any position", shares.slice(0, 50).map((n) => `space?id=many&at=${25_600 + n * 3}`));
await pages("100,000 documents, a search", Array(20).fill("space?id=many&q=77"));
await pages("the store", Array(50).fill(""));

const chrome = await browse();
const page = await chrome.browser.newPage();
await page.goto(`${server.url}space?id=book-listings`);
const steps = await page.evaluate(async () => {
  const range = document.querySelector("#moment-range");
  const [min, max] = [Number(range.min), Number(range.max)];
  const times = [];
  for (let n = 1; n <= 100; n++) {
    const shown = new Promise((resolve) => document.addEventListener("moment", resolve, { once: true }));
    const from = performance.now();
    range.value = String(min + ((max - min) * ((n * 37) % 100)) / 100);
    range.dispatchEvent(new Event("input"));
    await shown;
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    times.push(performance.now() - from);
  }
  return times;
});
told("a step of the scrubber, to the picture", steps);
await chrome.stop();
await server.stop();
