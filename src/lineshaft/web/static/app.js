// What the pages gain where there is JavaScript: they stay up to date, bulk actions count what is ticked, what deletes
// asks first, and texts can be copied. Without it everything still works, one request at a time.
import { morph } from "./morph.js";

const page = document.body.dataset;
const numbers = new Intl.NumberFormat(document.documentElement.lang);

// Live: one stream of small messages says whether anything has changed; then the page asks for itself again.

const LEAST_MS = 1000;
const MOST_MS = 10000;
let seen = "";
let lookedAt = Date.now();
let looking = false;
let source;

function watch() {
  if (!page.live || source) return;
  source = new EventSource(page.live);
  source.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    show(true);
    for (const name of ["busy", "queues", "retries", "scheduled", "dead"]) {
      const count = document.querySelector(`[data-count="${name}"]`);
      if (count) count.textContent = numbers.format(news[name]);
    }
    const due = Date.now() - lookedAt;
    const pace = Number(page.pace || 2000);
    if ((news.version !== seen && due >= Math.max(pace, LEAST_MS) - 200) || due >= MOST_MS) {
      seen = news.version;
      look();
    }
  };
  source.onerror = () => show(false);
}

function unwatch() {
  source?.close();
  source = undefined;
}

function show(connected) {
  for (const mark of document.querySelectorAll(".live")) {
    mark.hidden = false;
    mark.classList.toggle("off", !connected);
    mark.querySelector("span").textContent = connected ? mark.dataset.on : mark.dataset.off;
  }
}

async function look() {
  if (looking) return;
  looking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other) morph(part, other);
    }
    count();
  } catch {
    show(false);
  } finally {
    looking = false;
    lookedAt = Date.now();
  }
}

// A search goes on while its page is open: rows are added as they are found.

function search(list) {
  const stream = new EventSource(list.dataset.search || list.dataset.countOn);
  const panel = list.closest("section");
  const told = panel.querySelector("[data-told]");
  const next = panel.querySelector("[data-next]");
  const say = (news) => {
    if (told) told.textContent = news.told;
    if (news.count) list.textContent = news.count;
    if (news.html) {
      const body = list.querySelector("tbody");
      body.querySelector("[data-nothing]")?.remove();
      const fresh = new DOMParser().parseFromString(`<table><tbody>${news.html}</tbody></table>`, "text/html");
      body.append(...fresh.querySelectorAll("tr"));
      count();
    }
  };
  stream.addEventListener("rows", ({ data }) => {
    const news = JSON.parse(data);
    say(news);
    if (next && news.next) next.href = news.next;
  });
  stream.addEventListener("end", ({ data }) => {
    stream.close();
    const news = JSON.parse(data);
    say(news);
    if (next && news.next) next.textContent = next.dataset.next;
    else next?.remove();
    const nothing = list.querySelector("[data-nothing] b");
    if (nothing) nothing.textContent = list.dataset.none;
  });
  stream.addEventListener("failed", ({ data }) => {
    stream.close();
    say(JSON.parse(data));
  });
  // The link goes on from where it stopped.
  stream.onerror = () => stream.close();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) unwatch();
  else {
    watch();
    look();
  }
});

// Ticked rows

function count() {
  for (const form of document.querySelectorAll("form[data-bulk]")) {
    const boxes = [...form.querySelectorAll('input[name="key"], input[name="jid"]')];
    const ticked = boxes.filter((box) => box.checked).length;
    const bar = form.querySelector(".bulk");
    if (bar) {
      bar.hidden = ticked === 0;
      const text = bar.querySelector("[data-ticked]");
      if (text) text.textContent = text.dataset.ticked.replace("{n}", numbers.format(ticked));
    }
    const all = form.querySelector("[data-all]");
    if (all) {
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    }
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches?.("[data-all]")) {
    for (const other of box.form.querySelectorAll('input[name="key"], input[name="jid"]')) other.checked = box.checked;
  }
  if (box.matches?.('input[type="checkbox"]')) count();
  if (box.matches?.("select[data-submit]")) box.form.requestSubmit();
});

// What deletes asks first

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (!button) return;
  if (button.dataset.confirm && !button.dataset.sure) {
    event.preventDefault();
    ask(button);
  } else if (button.dataset.copy) {
    copy(button);
  } else if (button.dataset.close) {
    button.closest(button.dataset.close)?.remove();
  } else if (button.matches(".theme")) {
    nextTheme();
  }
});

function ask(button) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = button.dataset.confirm;
  const yes = dialog.querySelector("[data-yes]");
  yes.textContent = button.dataset.yes || button.textContent;
  yes.onclick = () => {
    dialog.close();
    button.dataset.sure = "1";
    button.click();
    delete button.dataset.sure;
  };
  dialog.showModal();
}

async function copy(button) {
  const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard: select it, so that one key copies it.
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    return;
  }
  const before = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => (button.textContent = before), 1500);
}

// The scheme: as the system has it, light, dark

const THEMES = ["auto", "light", "dark"];

function nextTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("lineshaft-theme", next);
  } catch {
    // Then it holds for this page.
  }
  nameTheme();
}

function nameTheme() {
  const button = document.querySelector(".theme");
  if (!button) return;
  button.hidden = false;
  button.textContent = button.dataset[document.documentElement.dataset.theme || "auto"];
}

// Keys: "/" goes to the search

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input, textarea, select")) return;
  const field = document.querySelector("main input[type=search]") || document.querySelector(".side input");
  if (field) {
    event.preventDefault();
    field.focus();
  }
});

// A note of what was done is told once: a reload does not tell it again.
if (document.querySelector(".flash") && location.search.includes("did=")) {
  const kept = new URLSearchParams(location.search);
  kept.delete("did");
  kept.delete("n");
  history.replaceState(null, "", location.pathname + (kept.size ? `?${kept}` : ""));
}

for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;
// On a phone the menu is one line: the page that is open shall be in sight.
document.querySelector(".side .item[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
nameTheme();
count();
watch();
document.querySelectorAll("[data-search], [data-count-on]").forEach(search);
