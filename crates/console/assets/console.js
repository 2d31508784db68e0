// @ts-check
// What the console does beyond its pages: the scrubber, the live tail, keys, copying.

const reduced = matchMedia("(prefers-reduced-motion: reduce)");
document.documentElement.classList.add("scripted");

/** @template {Element} T @param {string} selector @param {new () => T} type @returns {T | null} */
function find(selector, type) {
  const found = document.querySelector(selector);
  return found instanceof type ? found : null;
}

/** @param {Element} element @param {string} text */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {number} number */
function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

// ---- The scrubber: a moment of a space after the other, the newest that is wanted alone. ----

class Scrubber {
  /** @param {HTMLFormElement} form @param {HTMLInputElement} range */
  constructor(form, range) {
    this.form = form;
    this.range = range;
    this.isPlaying = false;
    /** @type {string | null} What is wanted next, while something is on its way. */
    this.wanted = null;
    this.isBusy = false;
    this.kept = "replace";
    range.addEventListener("input", () => this.go(this.addressOfThumb()));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.go(this.addressOfThumb());
    });
    document.addEventListener("click", (event) => this.clicked(event));
    addEventListener("popstate", () => this.go(location.pathname.split("/").pop() + location.search, "none"));
    this.arrived();
  }

  moment() {
    return find("#moment", HTMLElement);
  }

  addressOfThumb() {
    const fields = new URLSearchParams(location.search);
    for (const name of ["at", "t", "step", "after", "after_id"]) fields.delete(name);
    fields.set("t", this.range.value);
    return `space?${fields}`;
  }

  /** @param {string} address @param {"push" | "replace" | "none"} [kept] How the history of the browser has it. */
  go(address, kept = "replace") {
    this.wanted = address;
    this.kept = kept;
    if (!this.isBusy) void this.load();
  }

  async load() {
    this.isBusy = true;
    try {
      while (this.wanted !== null) {
        const address = this.wanted;
        this.wanted = null;
        const answer = await fetch(`${address}&part=1`, { headers: { accept: "text/html" } });
        if (answer.redirected || !answer.ok) {
          location.assign(address);
          return;
        }
        const template = document.createElement("template");
        template.innerHTML = await answer.text();
        const next = template.content.querySelector("#moment");
        const here = this.moment();
        if (!(next instanceof HTMLElement) || !here) return;
        this.swap(here, next, address);
      }
    } catch {
      this.stop();
    } finally {
      this.isBusy = false;
    }
  }

  /** @param {HTMLElement} here @param {HTMLElement} next @param {string} address */
  swap(here, next, address) {
    const rows = here.querySelector("[data-rows]");
    const scrolled = rows ? rows.scrollTop : 0;
    const focused = document.activeElement?.getAttribute("data-step");
    mark(here, next);
    here.replaceWith(next);
    const fresh = next.querySelector("[data-rows]");
    if (fresh) fresh.scrollTop = scrolled;
    if (focused) find(`[data-step="${focused}"]`, HTMLElement)?.focus();
    const url = new URL(address, location.href);
    for (const name of ["t", "step", "part"]) url.searchParams.delete(name);
    url.searchParams.set("at", next.dataset.at ?? "0");
    if (this.kept === "push") history.pushState(null, "", url);
    else if (this.kept === "replace") history.replaceState(null, "", url);
    this.arrived();
    document.dispatchEvent(new CustomEvent("moment", { detail: next.dataset.at }));
  }

  /** What goes with another moment. */
  arrived() {
    const moment = this.moment();
    if (!moment) return;
    if (moment.dataset.time && document.activeElement !== this.range) this.range.value = moment.dataset.time;
    if (moment.dataset.time && document.activeElement === this.range && !this.range.matches(":active")) {
      this.range.value = moment.dataset.time;
    }
    this.range.setAttribute("aria-valuetext", moment.dataset.said ?? "");
    const share = (Number(this.range.value) - Number(this.range.min)) / (Number(this.range.max) - Number(this.range.min) || 1);
    document.querySelector("[data-played]")?.setAttribute("width", String(share * 480 + 1));
    for (const button of moment.querySelectorAll("[data-play]")) {
      if (!(button instanceof HTMLElement)) continue;
      button.hidden = false;
      say(button, this.isPlaying ? "❚❚ Stop" : "▶ Play");
      button.setAttribute("aria-pressed", String(this.isPlaying));
    }
    showCopying(moment);
  }

  /** @param {string} name */
  step(name) {
    const link = find(`[data-step="${name}"][href]`, HTMLAnchorElement);
    if (link) this.go(link.getAttribute("href") ?? "");
    return link !== null;
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("[data-play]")) return this.isPlaying ? this.stop() : this.play();
    const link = target?.closest("#moment a[href]");
    if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const href = link.getAttribute("href") ?? "";
    // Pins are drawn on the scrubber, which is another one then.
    if (!href.startsWith("space?") || link.hasAttribute("data-pin") || link.hasAttribute("data-unpin")) return;
    event.preventDefault();
    this.stop();
    this.go(href, link.hasAttribute("data-step") ? "replace" : "push");
  }

  play() {
    this.isPlaying = true;
    const [min, max] = [Number(this.range.min), Number(this.range.max)];
    if (Number(this.range.value) >= max) this.range.value = String(min);
    const steps = reduced.matches ? 24 : 400;
    let from = performance.now();
    const on = () => {
      if (!this.isPlaying) return;
      const due = (performance.now() - from) / (reduced.matches ? 1000 : 60);
      if (due >= 1 && !this.isBusy) {
        from = performance.now();
        const value = Math.min(max, Number(this.range.value) + (max - min) / steps);
        this.range.value = String(Math.ceil(value));
        this.go(this.addressOfThumb());
        if (Number(this.range.value) >= max) this.stop();
      }
      requestAnimationFrame(on);
    };
    this.arrivedKeepingThumb();
    requestAnimationFrame(on);
  }

  arrivedKeepingThumb() {
    const value = this.range.value;
    this.arrived();
    this.range.value = value;
  }

  stop() {
    this.isPlaying = false;
    this.arrivedKeepingThumb();
  }
}

/** Marks the rows that came, changed or moved, and keeps those that went for a moment.
 * @param {HTMLElement} here @param {HTMLElement} next */
function mark(here, next) {
  /** @type {Map<string, HTMLElement>} */
  const before = new Map();
  for (const row of here.querySelectorAll("[data-rows] > li:not(.gone)")) {
    if (row instanceof HTMLElement) before.set(row.dataset.id ?? "", row);
  }
  const list = next.querySelector("[data-rows]");
  if (!list || before.size === 0) return;
  /** @type {HTMLElement[]} */
  const marked = [];
  for (const row of list.children) {
    if (!(row instanceof HTMLElement)) continue;
    const old = before.get(row.dataset.id ?? "");
    before.delete(row.dataset.id ?? "");
    if (!old) row.classList.add("came");
    else if (old.dataset.path !== row.dataset.path) row.classList.add("moved");
    else if (old.dataset.version !== row.dataset.version) row.classList.add("changed");
    else continue;
    marked.push(row);
  }
  const ghosts = [...before.values()].slice(0, 20);
  for (const ghost of ghosts) {
    const place = [...list.children].find((row) => row instanceof HTMLElement && (row.dataset.path ?? "") > (ghost.dataset.path ?? ""));
    const row = /** @type {HTMLElement} */ (ghost.cloneNode(true));
    row.className = "gone";
    row.querySelector("a")?.removeAttribute("href");
    list.insertBefore(row, place ?? null);
  }
  // What stays marked while one looks; it fades once something else is shown, or after a while.
  setTimeout(() => {
    for (const row of marked) row.classList.remove("came", "moved", "changed");
    for (const row of next.querySelectorAll("li.gone")) row.remove();
  }, 1200);
}

// ---- The live tail: it goes on where it was, whatever happens to the connection. ----

class Tail {
  /** @param {HTMLElement} card @param {HTMLButtonElement} button @param {HTMLElement} body */
  constructor(card, button, body) {
    this.card = card;
    this.button = button;
    this.body = body;
    this.stream = /** @type {EventSource | null} */ (null);
    this.through = new URL(card.dataset.live ?? "", location.href).searchParams.get("after") ?? "0";
    button.hidden = false;
    button.addEventListener("click", () => (this.stream ? this.pause() : this.resume()));
    this.resume();
  }

  resume() {
    const url = new URL(this.card.dataset.live ?? "", location.href);
    url.searchParams.set("after", this.through);
    const stream = new EventSource(url);
    this.stream = stream;
    const passed = (/** @type {MessageEvent} */ event) => {
      if (event.lastEventId) this.through = event.lastEventId;
      const shown = document.querySelector("[data-through]");
      if (shown) say(shown, grouped(Number(this.through)));
      const head = document.querySelector("[data-head]");
      if (head) say(head, grouped(Number(this.through)));
    };
    stream.addEventListener("event", (event) => {
      this.add(JSON.parse(event.data));
      passed(event);
    });
    for (const name of ["checkpoint", "caught-up"]) stream.addEventListener(name, passed);
    stream.addEventListener("closing", () => this.pause());
    stream.addEventListener("open", () => this.state("live", true));
    stream.addEventListener("error", () => this.state("connecting again", false));
    say(this.button, "Pause");
    this.button.setAttribute("aria-pressed", "false");
  }

  pause() {
    this.stream?.close();
    this.stream = null;
    say(this.button, "Resume");
    this.button.setAttribute("aria-pressed", "true");
    this.state("paused", false);
  }

  /** @param {string} text @param {boolean} isOn */
  state(text, isOn) {
    const shown = document.querySelector("[data-state]");
    if (shown) say(shown, text);
    document.querySelector(".live-state")?.classList.toggle("on", isOn);
  }

  /** @param {any} event */
  add(event) {
    const row = document.createElement("tr");
    /** @param {string} text @param {string} [kind] @param {string} [href] */
    const cell = (text, kind = "", href) => {
      const made = document.createElement("td");
      if (kind) made.className = kind;
      if (href) {
        const link = document.createElement("a");
        link.href = href;
        link.textContent = text;
        made.append(link);
      } else made.textContent = text;
      row.append(made);
    };
    const space = encodeURIComponent(event.space_id);
    const payload = event.payload ?? {};
    const telling = ["new_path", "path", "name", "document_id", "target", "direction", "error", "reason", "value"];
    const told = telling.filter((key) => payload[key] != null).slice(0, 2).map((key) => (typeof payload[key] === "string" ? payload[key] : JSON.stringify(payload[key])));
    cell(grouped(event.position), "figure", `space?id=${space}&at=${event.position}`);
    cell(String(event.recorded_at).slice(0, 19).replace("T", " "));
    cell(event.space_id, "", `space?id=${space}`);
    cell(event.event_type, "type");
    cell(told.join(" · "), "about");
    cell(event.source ?? "");
    if (event.correlation_id) cell(`${event.correlation_id.slice(0, 12)}…`, "", `trace?correlation=${encodeURIComponent(event.correlation_id)}`);
    else cell("");
    this.body.prepend(row);
    while (this.body.children.length > 500) this.body.lastElementChild?.remove();
  }
}

// ---- Copying, help and keys. ----

/** @param {ParentNode} within */
function showCopying(within) {
  for (const button of within.querySelectorAll("[data-copy]")) {
    if (button instanceof HTMLElement) button.hidden = false;
  }
}

/** @param {Element} button */
async function copy(button) {
  const text = button.parentElement?.querySelector("code")?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
    say(button, "Copied");
  } catch {
    const code = button.parentElement?.querySelector("code");
    if (code) getSelection()?.selectAllChildren(code);
    say(button, "Selected: copy it");
  }
}

const form = find("[data-scrub]", HTMLFormElement);
const range = find("#moment-range", HTMLInputElement);
const scrubber = form && range ? new Scrubber(form, range) : null;
const card = find("[data-live]", HTMLElement);
const pause = find("[data-pause]", HTMLButtonElement);
const rows = find("[data-tail]", HTMLElement);
if (card && pause && rows) new Tail(card, pause, rows);
showCopying(document);
const help = find("#help", HTMLDialogElement);
const helpButton = find("[data-help]", HTMLButtonElement);
if (helpButton) helpButton.hidden = false;

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const button = target?.closest("[data-copy]");
  if (button) void copy(button);
  if (target?.closest("[data-help]")) help?.showModal();
});

/** @param {string} selector */
function follow(selector) {
  find(selector, HTMLAnchorElement)?.click();
}

let isGoing = false;
document.addEventListener("keydown", (event) => {
  const target = event.target instanceof HTMLElement ? event.target : null;
  const isTyping = target?.matches("input:not([type=range]), textarea, select") ?? false;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  const key = event.key;
  if (isGoing) {
    isGoing = false;
    return follow(`[data-go="${CSS.escape(key)}"]`);
  }
  if (key === "g") return void (isGoing = true);
  if (key === "?") return help?.showModal();
  if (!scrubber) return;
  /** @type {Record<string, string>} */
  const steps = { ArrowLeft: event.shiftKey ? "day-back" : "previous", ArrowRight: event.shiftKey ? "day-on" : "next", Home: "first", End: "last" };
  if (steps[key]) {
    event.preventDefault();
    scrubber.stop();
    scrubber.step(steps[key]);
  } else if (key === " " && !target?.matches("button, a, summary")) {
    event.preventDefault();
    scrubber.isPlaying ? scrubber.stop() : scrubber.play();
  } else if (key === "a" || key === "b") follow(`[data-pin="${key.toUpperCase()}"]`);
  else if (key === "x") follow("[data-unpin]");
  else if (key === "d") follow('[data-view="changes"]');
  else if (key === "/") {
    event.preventDefault();
    find("#q", HTMLInputElement)?.focus();
  }
});
