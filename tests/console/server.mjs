// A console of its own for a test, and a browser that looks at it.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const PROGRAM = process.env.SPACEFOLD_CONSOLE ?? "../../target/release/examples/console";

/** Starts a console; it ends with `stop`. */
export async function serve(...args) {
  const child = spawn(PROGRAM, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const said = await new Promise((resolve, reject) => {
    lines.once("line", (line) => resolve(JSON.parse(line)));
    child.once("exit", (code) => reject(new Error(`the console ended with ${code}`)));
  });
  const stop = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.stdin.end();
    });
  return { ...said, stop };
}

/** Starts a browser; it ends with `stop`. */
export async function browse() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  // Each launch has a profile of its own, which goes with it.
  return { browser, stop: () => browser.close() };
}
