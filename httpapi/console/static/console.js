// What pages do beside being read: `/` goes to the search, times keep up, parts
// marked data-live follow what happens on the server, and data-load ones come
// when the rest of the page is there.

const search = document.querySelector("#who, #q");
addEventListener("keydown", (e) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && search) {
    e.preventDefault();
    search.focus();
    search.select();
  }
});

// The words are those of ago in texts.go.
function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function times() {
  for (const t of document.querySelectorAll("time")) {
    const d = (Date.now() - Date.parse(t.dateTime)) / 1000;
    const text = d < 0 ? `in ${span(-d)}` : `${span(d)} ago`;
    if (t.textContent !== text) t.textContent = text;
  }
}
setInterval(times, 5000);

function lost(yes) {
  const note = document.querySelector(".lost");
  if (note) note.hidden = !yes;
}

// page asks for a page; a login that has ended leads to the login.
async function page(address) {
  const res = await fetch(address, { redirect: "manual" });
  if (res.type === "opaqueredirect") {
    location.assign(`/console/login?ended=1&next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error("the login has ended");
  }
  const found = new DOMParser().parseFromString(await res.text(), "text/html");
  if (!res.ok) throw new Error(found.querySelector(".warn")?.textContent ?? String(res.status));
  return found;
}

// A part is asked for again at most once a second, and only while the page is
// looked at, so that a thousand events cost no more than one.
const live = [...document.querySelectorAll("[data-live]")].map((el) => el.dataset.live);
const role = document.querySelector(".who span")?.title;
let due = false;
let busy = false;

async function refresh() {
  due = false;
  if (busy || document.hidden) return;
  busy = true;
  try {
    const fresh = await page(location.href);
    // Who may do less, or more, than before is offered what he may now.
    if (role && fresh.querySelector(".who span")?.title !== role) return location.reload();
    for (const name of live) {
      const old = document.querySelector(`[data-live="${name}"]`);
      const next = fresh.querySelector(`[data-live="${name}"]`);
      // Nothing is taken away under the hands of somebody who uses it.
      const used = old?.contains(document.activeElement) || old?.querySelector("input:checked");
      if (old && next && old.innerHTML !== next.innerHTML && !used) old.replaceWith(next);
    }
    times();
    lost(false);
    watch();
  } catch {
    lost(true);
  } finally {
    busy = false;
  }
}

function soon() {
  if (due) return;
  due = true;
  setTimeout(refresh, 1000);
}

// What is under way is looked at until it has come to its end, or looks stuck.
let looks = 0;
function watch() {
  if (document.querySelector("[data-watch]") && looks++ < 20) soon();
}
watch();

function listen() {
  const source = new EventSource(`/console/events?${document.querySelector("main").dataset.events ?? ""}`);
  source.onopen = () => lost(false);
  source.onerror = () => {
    lost(true);
    if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    soon(); // which finds out whether the login has ended
    setTimeout(listen, 5000);
  };
  for (const kind of ["config", "override", "directory", "socket", "member", "closing", "reset"]) source.addEventListener(kind, soon);
}
if (live.length > 0) {
  listen();
  addEventListener("visibilitychange", soon);
  if (document.querySelector("[data-every]")) setInterval(soon, 5000);
}

// Parts that take longer than a page may.
for (const part of document.querySelectorAll("[data-load]")) {
  part.setAttribute("aria-busy", "true");
  page(part.dataset.load).then(
    (found) => part.querySelector("p").replaceWith(found.querySelector("[data-part]")),
    (err) => part.querySelector("p").append(` ${err.message}`),
  ).finally(() => { part.removeAttribute("aria-busy"); times(); });
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => navigator.clipboard.writeText(button.dataset.copy).then(
    () => { button.textContent = button.dataset.done; },
    () => { getSelection().selectAllChildren(button.previousElementSibling); },
  ));
}
