// What pages do beside being read: `/` goes to the search, which answers each
// keystroke; times keep up; parts marked data-live follow what happens on the
// server, and data-load ones come when the rest of the page is there.

const search = document.querySelector("#q");
const found = document.querySelector("[data-found]");

// page asks for a page; a login that has ended leads to the login.
async function page(address) {
  const res = await fetch(address, { redirect: "manual" });
  if (res.type === "opaqueredirect") {
    location.assign(`/console/login?ended=1&next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error("ended");
  }
  const answer = new DOMParser().parseFromString(await res.text(), "text/html");
  if (!res.ok) throw new Error(answer.querySelector(".warn")?.textContent ?? String(res.status));
  return answer;
}

// An answer may come while somebody is in the list of the one before: the focus stays
// on its link, and a link that is being clicked is not taken from under the click.
let asked = 0;
search?.addEventListener("input", async () => {
  const mine = ++asked;
  const answer = await page(`/console/?list=1&q=${encodeURIComponent(search.value)}`).catch(() => null);
  while (found.matches(":active")) await new Promise((done) => { setTimeout(done, 50); });
  if (!answer || mine !== asked || found.innerHTML === answer.body.innerHTML) return;
  const at = found.contains(document.activeElement) && document.activeElement.href;
  found.replaceChildren(...answer.body.childNodes);
  if (at) ([...found.querySelectorAll("a")].find((a) => a.href === at) ?? search).focus();
  if (found.querySelector("[data-again]")) setTimeout(() => mine === asked && search.dispatchEvent(new Event("input")), 1000);
});

addEventListener("keydown", (e) => {
  const at = document.activeElement;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(at?.tagName ?? "");
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && search) {
    e.preventDefault();
    search.select();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
  if (step && (at === search || found?.contains(at))) {
    const places = [search, ...found.querySelectorAll("a")];
    places[places.indexOf(at) + step]?.focus();
    e.preventDefault();
  }
});

// The spans are those of texts.go, in seconds: unit, and where the next begins.
const texts = JSON.parse(document.body.dataset.ago ?? "{}");
const spans = [["second", 1, 60], ["minute", 60, 3600], ["hour", 3600, 172800], ["day", 86400, Infinity]];
function times() {
  for (const t of document.querySelectorAll("time")) {
    const passed = (Date.now() - Date.parse(t.dateTime)) / 1000;
    const [name, unit] = spans.find(([, , end]) => Math.abs(passed) < end);
    const text = texts[passed < 0 ? "future" : "past"].replace("{1}", texts[name].replace("{1}", Math.round(Math.abs(passed) / unit)));
    if (t.textContent !== text) t.textContent = text;
  }
}
setInterval(times, 5000);

// Parts are asked for again at most once a second, and only while the page is
// looked at, so that a thousand events cost no more than one.
const live = [...document.querySelectorAll("[data-live]")].map((el) => el.dataset.live);
const role = document.body.dataset.role;
let due = false;
let busy = false;
let looks = 0;

const lost = (yes) => { document.querySelector(".lost").hidden = !yes; };

function replace(old, next) {
  // Nothing is taken away under the hands of somebody who uses it.
  const selection = getSelection();
  const used = old.contains(document.activeElement) || old.querySelector("input:checked") || (!selection.isCollapsed && old.contains(selection.anchorNode));
  if (used || old.innerHTML === next.innerHTML) return;
  for (const d of old.querySelectorAll("details[open][id]")) next.querySelector(`[id="${d.id}"]`)?.setAttribute("open", "");
  old.replaceWith(next);
}

async function refresh() {
  due = false;
  if (busy || document.hidden) return;
  busy = true;
  try {
    const fresh = await page(live.length > 0 ? location.href : "/console/?list=1");
    // Who may do less, or more, than before is offered what he may now.
    if (live.length > 0 && fresh.body.dataset.role !== role) return location.reload();
    for (const name of live) {
      const [old, next] = [document, fresh].map((d) => d.querySelector(`[data-live="${name}"]`));
      if (old && next) replace(old, next);
    }
    times();
    lost(false);
    watch();
  } catch {
    lost(true);
    setTimeout(soon, 4000);
  } finally {
    busy = false;
  }
}

function soon() {
  if (!due) setTimeout(refresh, 1000);
  due = true;
}

// What is under way is looked at until it has come to its end, or looks stuck.
function watch() {
  if (document.querySelector("[data-watch]") && looks++ < 20) soon();
}

// concerns reports whether an event is about the person of the page, or about all.
const { context, user } = document.querySelector("main").dataset;
function concerns(e) {
  const of = JSON.parse(e.data || "{}");
  return !context || !of.context || (String(of.context) === context && (!of.user || String(of.user) === user));
}

// A page that nobody looks at does not listen: a browser has few connections.
let source;
function listen() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource("/console/events");
  source.onopen = () => lost(false);
  source.onerror = () => {
    lost(true);
    soon(); // which finds out whether the login has ended
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // else it connects again by itself
  };
  for (const kind of ["config", "override", "directory", "token", "socket", "member", "closing", "reset"]) {
    source.addEventListener(kind, (e) => concerns(e) && soon());
  }
}
if (role) {
  listen();
  watch();
  addEventListener("visibilitychange", () => { listen(); soon(); });
  setInterval(soon, document.querySelector("[data-every]") ? 5000 : 30000); // also finds out that a role is another
}

// Parts that take longer than a page may.
for (const part of document.querySelectorAll("[data-load]")) {
  part.setAttribute("aria-busy", "true");
  page(part.dataset.load).then(
    (answer) => part.querySelector("p").replaceWith(answer.querySelector("[data-part]")),
    (err) => part.querySelector("p").append(` ${err.message}`),
  ).finally(() => { part.removeAttribute("aria-busy"); times(); });
}

// What is open is part of the address.
document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
addEventListener("toggle", (e) => history.replaceState(null, "", e.target.open ? `#${e.target.id}` : location.pathname + location.search), true);

addEventListener("click", (e) => {
  const button = e.target.closest?.("[data-copy]");
  if (!button) return;
  const copied = navigator.clipboard?.writeText(button.dataset.copy) ?? Promise.reject(); // without TLS there is no clipboard
  copied.then(() => { button.textContent = button.dataset.done; }, () => getSelection().selectAllChildren(button.previousElementSibling));
});
