// What the walks through the console share: a browser, people who are logged in,
// and pages that are looked at with axe-core. What happens is printed as a line of
// JSON each: "wrong", and "done" at the end.
// usage: node SCRIPT BROWSER URL TOKENS_JSON [ARGUMENT...]
const puppeteer = require('puppeteer-core');
const axe = require('axe-core');
const path = require('path');

const [executablePath, base, tokensText, ...rest] = process.argv.slice(2);
const wait = { timeout: 120000 }; // a loaded machine is slow
const tokens = JSON.parse(tokensText);
const folder = process.env.SLUICE_PICTURES; // for a picture of every page
const say = (event, data = null) => console.log(JSON.stringify({ event, data }));
const wrong = (text) => say('wrong', text);
const expect = (ok, text) => ok || wrong(text);

async function text(page, selector) {
  return page.$eval(selector, (el) => el.textContent.trim()).catch(() => '');
}

// go clicks and waits for the page that follows.
const go = (page, action) => Promise.all([page.waitForNavigation(wait), action]);

const schemes = ['light', 'dark'];
const widths = [360, 1280, 1920];

// Rules of axe-core that colours and widths decide. The others are about what a page
// has, which is the same in all of them.
const drawn = ['color-contrast', 'link-in-text-block', 'scrollable-region-focusable', 'target-size'];

// look holds a page to axe-core in both schemes and at all widths.
async function look(page, name) {
  await page.evaluate(axe.source);
  for (const scheme of schemes) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    for (const width of widths) {
      await page.setViewport({ width, height: 900 });
      const only = scheme === 'light' && width === 1280 ? {} : { runOnly: drawn };
      const { over, violations } = await page.evaluate(async (options) => ({
        over: document.documentElement.scrollWidth - innerWidth,
        violations: (await axe.run(document, options)).violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(' ')}`),
      }), { ...only, resultTypes: ['violations'] });
      for (const v of violations) wrong(`${name}, ${scheme}, ${width}: axe ${v}`);
      expect(over <= 0, `${name}: ${over} pixels beside a screen of ${width}`);
      if (folder) await page.screenshot({ path: path.join(folder, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  await page.emulateMediaFeatures([]);
  await page.setViewport({ width: 1280, height: 900 });
}

async function open() {
  const args = process.getuid() === 0 ? ['--no-sandbox'] : []; // Chromium has no sandbox for root
  return puppeteer.launch({ executablePath, args });
}

// visitor is a page of somebody with cookies of their own. What scripts complain
// about is wrong; a status of 4xx, and a server that is gone, are what tests make.
async function visitor(browser, who) {
  const page = await (await browser.createBrowserContext()).newPage();
  page.setDefaultTimeout(wait.timeout);
  page.on('dialog', (d) => { wrong(`${who}: a dialog says ${d.message()}`); d.dismiss(); });
  page.on('pageerror', (err) => wrong(`${who}: ${err}`));
  page.on('console', (m) => m.type() === 'error' && !/ 4\d\d |net::ERR_/.test(m.text()) && wrong(`${who}: ${m.text()}`));
  return page;
}

async function login(browser, role, at = '/console/cluster') {
  const page = await visitor(browser, role);
  await page.goto(base + at);
  expect(page.url().includes('/console/login'), `${role}: without a login ${page.url()} opens`);
  await page.type('#token', tokens[role]);
  await go(page, page.keyboard.press('Enter'));
  expect(page.url().endsWith(at), `${role}: the login leads to ${page.url()}`);
  return page;
}

// run ends the browser, and the process with 1 where a walk did not come to its end.
function run(walk) {
  (async () => {
    const browser = await open();
    try {
      await walk(browser);
    } finally {
      await browser.close();
    }
  })().then(() => say('done'), (err) => { wrong(`the walk ended: ${err.stack}`); say('done'); });
}

module.exports = { base, expect, go, login, look, rest, run, say, text, tokens, visitor, wait, wrong };
