// Walks through the console in a headless browser as people of three roles do,
// with axe-core on every page. Prints what is wrong, a line each, and nothing
// where all is well. With a folder it saves a picture of every page.
// usage: node console.js BROWSER URL TOKENS_JSON [FOLDER]
const puppeteer = require('puppeteer-core');
const axe = require('axe-core');
const path = require('path');

const [executablePath, base, tokensText, folder] = process.argv.slice(2);
const tokens = JSON.parse(tokensText);
const wrong = (text) => console.log(text);
const expect = (ok, text) => ok || wrong(text);

async function text(page, selector) {
  return page.$eval(selector, (el) => el.textContent.trim()).catch(() => '');
}

// go clicks and waits for the page that follows.
const go = (page, action) => Promise.all([page.waitForNavigation(), action]);

async function look(page, name) {
  await page.evaluate(axe.source);
  const result = await page.evaluate(() => axe.run(document));
  for (const v of result.violations) wrong(`${name}: axe ${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(' ')}`);
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    if (scheme === 'dark') {
      const dark = await page.evaluate(() => axe.run(document, { runOnly: ['color-contrast'] }));
      for (const v of dark.violations) wrong(`${name}, dark: axe ${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`);
    }
    for (const width of [360, 1280, 1920]) {
      await page.setViewport({ width, height: 900 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(over <= 0, `${name}: ${over} pixels beside a screen of ${width}`);
      if (folder) await page.screenshot({ path: path.join(folder, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  await page.emulateMediaFeatures([]);
  await page.setViewport({ width: 1280, height: 900 });
}

async function login(browser, role) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.on('pageerror', (err) => wrong(`${role}: ${err}`));
  page.on('console', (m) => m.type() === 'error' && !/ 4\d\d /.test(m.text()) && wrong(`${role}: ${m.text()}`));
  await page.goto(`${base}/console/cluster`);
  expect(page.url().includes('/console/login'), `${role}: without a login ${page.url()} opens`);
  if (role === 'viewer') await look(page, 'login');
  await page.type('#token', 'slt_wrong');
  await go(page, page.keyboard.press('Enter'));
  expect((await text(page, '.warn')) !== '', `${role}: a wrong token is not refused`);
  await page.type('#token', tokens[role]);
  await go(page, page.keyboard.press('Enter'));
  expect(page.url().endsWith('/console/cluster'), `${role}: the login leads to ${page.url()}`);
  return page;
}

async function viewer(page) {
  await look(page, 'cluster');
  // By the keyboard alone: / and a name.
  await page.keyboard.press('/');
  await page.keyboard.type('websockets off anna@example.com');
  await go(page, page.keyboard.press('Enter'));
  expect(page.url().endsWith('/console/person/1337/17'), `the question leads to ${page.url()}`);
  expect((await text(page, '.answer')).includes('is true for user 17 in context 1337'), `the answer is ${await text(page, '.answer')}`);
  expect((await page.$$('form[action$="/off"]')).length === 0, 'a viewer is offered the switch');
  await look(page, 'person-viewer');
  await page.goto(`${base}/console/?q=an`);
  expect((await page.$$('.people li')).length === 2, 'a search for "an" does not find two');
  await look(page, 'search');
  await page.goto(`${base}/console/?q=nobody@nowhere`);
  await look(page, 'nobody');
  await page.goto(`${base}/console/?q=com.openexchange.websockets.enabled`);
  expect(page.url().includes('/console/property/'), `a property leads to ${page.url()}`);
  await look(page, 'property');
  await page.goto(`${base}/console/person/1337/17?tags=off`);
  expect((await text(page, '.answer')).includes('is false'), 'what-if: a tag does not change the answer');
  await look(page, 'what-if');
  await page.goto(`${base}/console/person/0/17`);
  await look(page, 'error');
  const status = await page.evaluate(() => fetch('/console/person/1337/17/off', { method: 'POST', body: new URLSearchParams({ reason: 'x' }) }).then((r) => r.status));
  expect(status === 403, `a viewer who switches gets ${status}`);
}

async function operator(page) {
  await page.goto(`${base}/console/person/1337/17`);
  await go(page, page.click('form[action$="/send"] button'));
  expect((await text(page, '.said')).includes('A test message was queued for 0 sockets'), `a test message: ${await text(page, '.said')}`);
}

async function editor(page, second) {
  const person = `${base}/console/person/1337/17`;
  await page.goto(person);
  await second.goto(person);
  await page.type('input[name=reason]', '<script>alert(1)</script> \u202eticket');
  await page.select('select[name=hours]', '2');
  await go(page, page.click('button[formaction$="/off"]'));
  expect((await text(page, '.answer')).includes('is false for user 17'), `after switching off: ${await text(page, '.answer')}`);
  expect((await text(page, '.answer')).includes('<script>alert(1)</script>'), 'the reason is not shown as text');
  expect((await text(page, '.answer')).includes('[U+202E]ticket'), 'a mark that turns text around is not shown');
  await look(page, 'person-off');
  // Somebody else has the page from before.
  await second.type('input[name=reason]', 'too late');
  await go(second, second.click('button[formaction$="/on"]'));
  expect((await text(second, '.said')).includes('Somebody else changed the switch'), `the second person is told: ${await text(second, '.said')}`);
  expect((await text(second, '.answer')).includes('is false for user 17'), 'the second person has overwritten the first');
  await go(page, page.click('.said button'));
  expect((await text(page, '.answer')).includes('is true for user 17'), `after undo: ${await text(page, '.answer')}`);
  await page.goto(`${base}/console/audit`);
  expect((await page.$$('tbody tr')).length >= 2, 'the audit has no entries');
  await look(page, 'audit');
  await page.goto(`${base}/console/configuration?prefix=com.openexchange.websockets`);
  expect((await text(page, 'main')).includes('bad.properties:1:3'), 'a finding is not shown with its place');
  await look(page, 'configuration');
  await go(page, page.click('form[action$="/reload"] button'));
  expect((await text(page, '.said')).includes('some have errors'), `reload: ${await text(page, '.said')}`);
  // A page that is open follows what happens.
  await page.goto(person);
  await page.evaluate(() => { document.querySelector('[data-live]').dataset.mark = 'old'; });
  const cookie = (await page.cookies(`${base}/console/`)).find((c) => c.name === 'sluice_console');
  expect(cookie && cookie.httpOnly && cookie.sameSite === 'Strict' && !(await page.evaluate(() => document.cookie)), 'the cookie is within reach of scripts');
  await go(page, page.click('header form.who button'));
  expect(page.url().includes('/console/login'), 'logging out leads elsewhere');
}

(async () => {
  const args = process.getuid() === 0 ? ['--no-sandbox'] : []; // Chromium has no sandbox for root
  const browser = await puppeteer.launch({ executablePath, args });
  await viewer(await login(browser, 'viewer'));
  await operator(await login(browser, 'operator'));
  const [first, second] = [await login(browser, 'editor'), await login(browser, 'editor')];
  await editor(first, second);
  const plain = await (await browser.createBrowserContext()).newPage();
  await plain.setJavaScriptEnabled(false);
  await plain.goto(`${base}/console/`);
  await plain.type('#token', tokens.viewer);
  await go(plain, plain.keyboard.press('Enter'));
  await plain.type('#who', '17@1337');
  await go(plain, plain.keyboard.press('Enter'));
  expect((await text(plain, '.answer')).includes('is true for user 17'), 'without scripts the console does not answer');
  await browser.close();
})().catch((err) => {
  wrong(`the walk ended: ${err.stack}`);
  process.exit(1);
});
