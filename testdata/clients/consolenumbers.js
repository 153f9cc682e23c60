// Measures the console in a headless browser, and tells each figure as an event.
// usage: node consolenumbers.js BROWSER URL TOKENS_JSON FIGURE
const { base, login, rest: [figure], run, say, wait } = require('./consolelib.js');

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const round = (ms) => Math.round(ms * 10) / 10;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const figures = {
  async paint(browser) {
    const page = await login(browser, 'editor', '/console/');
    const all = [];
    let bytes = 0;
    for (let i = 0; i < 15; i++) {
      await page.goto(`${base}/console/`);
      const one = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime, wait);
      all.push(await one.jsonValue());
      bytes = await page.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, e) => sum + (e.decodedBodySize ?? 0), 0));
    }
    say('figure', `first contentful paint: median ${round(median(all))} ms, greatest ${round(Math.max(...all))} ms of ${all.length}; ${bytes} bytes`);
  },
  async keystroke(browser) {
    const page = await login(browser, 'editor', '/console/');
    const all = await page.evaluate(async () => {
      const q = document.querySelector('#q');
      const { fetch } = window;
      // What is shown is often what was there before: the answer is what is waited for,
      // and that the page has dealt with it.
      const answered = () => new Promise((done) => {
        window.fetch = async (address, options) => {
          window.fetch = fetch;
          const res = await fetch(address, options);
          const text = await res.text();
          setTimeout(done);
          return { type: res.type, ok: res.ok, status: res.status, text: async () => text };
        };
      });
      const times = [];
      for (const word of ['person123456', 'why is push off for person7', 'zzz', 'person9@example.com', '77@42', 'com.openexchange.websockets']) {
        for (let n = 1; n <= word.length; n++) {
          const began = performance.now();
          const shown = answered();
          q.value = word.slice(0, n);
          q.dispatchEvent(new Event('input'));
          await shown;
          times.push(performance.now() - began);
        }
      }
      return times;
    });
    const first = all.shift(); // right after the import
    say('figure', `a keystroke over 1,000,000 users: the first ${round(first)} ms, then median ${round(median(all))} ms, greatest ${round(Math.max(...all))} ms of ${all.length}, ${all.filter((ms) => ms > 100).length} above 100 ms`);
  },
  async events(browser) {
    for (const address of ['/console/off', '/console/cluster?hours=24']) {
      const page = await login(browser, 'editor', address);
      await page.evaluate(() => {
        window.tasks = [0];
        window.seen = 0;
        new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
        new EventSource('/console/events').addEventListener('override', () => { window.seen++; });
      });
      await pause(1000);
      say('ready');
      const began = await page.evaluate(() => { window.seen = 0; return performance.now(); });
      await pause(10000);
      const { seen, took, longest } = await page.evaluate((from) => ({ seen: window.seen, took: performance.now() - from, longest: Math.max(...window.tasks) }), began);
      say('figure', `${address}: ${Math.round(seen / took * 1000)} events a second, longest task ${longest ? `${longest} ms` : 'below 50 ms'}`);
      await page.close();
    }
  },
  async idle(browser) {
    await login(browser, 'editor', '/console/cluster');
    say('open');
    await pause(40000);
  },
};

run((browser) => figures[figure](browser));
