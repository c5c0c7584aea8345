// Keeps the regions of a page up to date, and offers keys. Every page works without it.
"use strict";

document.documentElement.classList.add("js");

const LEAST_PAUSE = 2000; // ms between two updates of a tab
const POLL_EVERY = 10000; // ms between two updates if the stream does not work
const PATIENCE = 20000; // ms that an update may take
const SILENT = 30000; // ms without an update after which the page says so
const live = document.body.dataset.live; // The question before an action is not updated.
const state = document.getElementById("live-state"), stale = document.getElementById("stale");
let source = null, failures = 0, polling = null, waiting = null, updated = Date.now();
let fresh = Date.now();

function say(element, text) {
  if (element.textContent !== text) element.textContent = text; // A screen reader reads each change.
}

function warn(why) {
  say(stale, why && `Not up to date: ${why}`);
  stale.hidden = !why;
  if (!why) return;
  say(state, "");
  if (document.querySelector("#headline")) document.title = stale.textContent;
}

// --- times in the zone of the browser

function localise(root) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const head of root.querySelectorAll(".cron-yours")) head.textContent = `Yours (${zone})`;
  for (const time of root.querySelectorAll("time[datetime]")) {
    const here = new Date(time.dateTime).toLocaleString("sv-SE");
    if (time.classList.contains("cron-local")) time.textContent = here;
    else time.title = `${here} ${zone}`;
  }
}

// --- updates: the page is fetched again, and those regions are replaced that differ

function shownJobs() {
  return new Set([...document.querySelectorAll("[data-job]")].map((each) => each.dataset.job));
}

function isBusy(region) {
  const active = document.activeElement;
  const writes = active && active.matches("input:not([type=checkbox]), textarea, select");
  const written = [...region.querySelectorAll("input[name=reason]")].some((each) => each.value);
  return (writes && region.contains(active)) || written;
}

function pathTo(element, region) {
  if (!region.contains(element) || element === region) return null;
  const alike = [...region.querySelectorAll("a, button, input, summary")];
  const key = (each) => each.id || each.value || each.getAttribute("href") || each.textContent;
  return { key: key(element), tag: element.tagName, find: (fresh) =>
    [...fresh.querySelectorAll(element.tagName)].find((each) => key(each) === key(element))
    || fresh.querySelectorAll("a, button, input, summary")[alike.indexOf(element)] };
}

function replace(region, fresh) {
  const focused = pathTo(document.activeElement, region);
  const ticked = [...region.querySelectorAll("input[type=checkbox]:checked")].map((each) => each.value);
  const details = [...region.querySelectorAll("details[id]")].map((each) => [each.id, each.open]);
  region.replaceChildren(...fresh.childNodes);
  for (const box of region.querySelectorAll("input[type=checkbox]")) box.checked = ticked.includes(box.value);
  for (const [id, open] of details) {
    const each = document.getElementById(id);
    if (each) each.open = open;
  }
  localise(region);
  if (focused) focused.find(region)?.focus({ preventScroll: true });
}

async function update() {
  waiting = null;
  updated = Date.now();
  try {
    const options = { headers: { Accept: "text/html" }, redirect: "error", signal: AbortSignal.timeout(PATIENCE) };
    const answer = await fetch(location.href, options);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("as-of")) throw new Error("not a page of ours");
    show(page);
  } catch {
    warn("Flower does not answer");
  }
}

function show(page) {
  const fault = page.getElementById("fault"), wasFault = document.getElementById("fault");
  if (fault && !wasFault) return warn(fault.textContent.trim());
  if (wasFault && !fault) return location.reload();
  for (const region of document.querySelectorAll("[data-region]")) {
    const next = page.getElementById(region.id);
    if (next && region.dataset.raw !== next.innerHTML && !isBusy(region)) {
      region.dataset.raw = next.innerHTML;
      replace(region, next);
    }
  }
  if (document.querySelector("#headline")) document.title = page.title;
  fresh = Date.now();
  warn("");
  say(state, polling ? "Updated every 10 s" : "Live");
}

function ask(ids) {
  const shown = shownJobs();
  const isShown = ids === null || !shown.size || ids.some((id) => shown.has(id)) || !ids.length;
  if (!isShown || waiting || document.hidden || !live) return;
  waiting = setTimeout(update, Math.max(0, updated + LEAST_PAUSE - Date.now()));
}

function listen() {
  if (source || document.hidden || !live) return;
  source = new EventSource(live);
  source.onopen = () => { failures = 0; clearInterval(polling); polling = null; if (stale.hidden) say(state, "Live"); };
  source.onmessage = (message) => ask(JSON.parse(message.data).ids);
  source.onerror = () => {
    failures += 1;
    // A stream that was refused does not try again by itself.
    if (failures < 2 && source.readyState !== EventSource.CLOSED) return;
    polling ??= setInterval(() => ask(null), POLL_EVERY);
  };
}

function hush() {
  source?.close();
  source = null;
  clearInterval(polling);
  polling = null;
}

// A connection may end without a word, as when the computer has slept.
function check() {
  if (document.hidden || !live || Date.now() - fresh < SILENT) return;
  if (stale.hidden) warn(`no news for ${Math.round((Date.now() - fresh) / 1000)} s`);
  hush();
  listen();
  ask(null);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return hush();
  fresh = Date.now();
  listen();
  ask(null);
});

// --- keys: none of them acts on a job

function move(step) {
  const links = [...document.querySelectorAll("[data-row] [data-open]")];
  if (!links.length) return;
  const now = links.findIndex((each) => each.closest("[data-row]").contains(document.activeElement));
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : now + step;
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
}

const keys = {
  "/": () => document.getElementById("search")?.focus(),
  "j": () => move(1),
  "k": () => move(-1),
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const writes = event.target.matches("input:not([type=checkbox]), textarea, select");
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

document.getElementById("show-keys").addEventListener("click", keys["?"]);
localise(document);
for (const region of document.querySelectorAll("[data-region]")) region.dataset.raw = "";
listen();
setInterval(check, POLL_EVERY);
