// What pages do beside being read: `/` goes to the search, times keep up, and the
// parts marked data-live follow what happens on the server.

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

// A part is asked for again at most once a second, and only while the page is
// looked at, so that a thousand events cost no more than one.
const live = [...document.querySelectorAll("[data-live]")].map((el) => el.dataset.live);
let due = false;
let busy = false;

async function refresh() {
  due = false;
  if (busy || document.hidden) return;
  busy = true;
  try {
    const res = await fetch(location.href, { redirect: "error" });
    if (!res.ok) throw new Error(String(res.status));
    const page = new DOMParser().parseFromString(await res.text(), "text/html");
    for (const name of live) {
      const old = document.querySelector(`[data-live="${name}"]`);
      const fresh = page.querySelector(`[data-live="${name}"]`);
      // Nothing is taken away under the hands of somebody who uses it.
      if (old && fresh && old.innerHTML !== fresh.innerHTML && !old.contains(document.activeElement)) {
        old.replaceWith(fresh);
      }
    }
    times();
  } catch {
    lost(true);
  } finally {
    busy = false;
  }
}

function lost(yes) {
  const note = document.querySelector(".lost");
  if (note) note.hidden = !yes;
}

if (live.length > 0) {
  const source = new EventSource("/console/events");
  source.onopen = () => lost(false);
  source.onerror = () => lost(true);
  const soon = () => {
    if (!due) {
      due = true;
      setTimeout(refresh, 1000);
    }
  };
  for (const kind of ["config", "override", "directory", "socket", "member"]) source.addEventListener(kind, soon);
  source.onmessage = soon;
  addEventListener("visibilitychange", soon);
}
