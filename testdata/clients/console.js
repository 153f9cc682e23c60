// Walks through the console in a headless browser as people of three roles do,
// with axe-core on every page.
// usage: node console.js BROWSER URL TOKENS_JSON PAGE; PAGE is one of Anna's that opens a socket
const { base, expect, go, login, look, rest: [anna], run, text, tokens, visitor, wait } = require('./consolelib.js');

async function outside(browser) {
  const page = await visitor(browser, 'nobody');
  await page.goto(`${base}/console/off`);
  await look(page, 'login');
  await page.type('#token', 'slt_wrong');
  await go(page, page.keyboard.press('Enter'));
  expect((await text(page, '.warn')) !== '', 'a wrong token is not refused');
}

async function viewer(page) {
  await look(page, 'cluster');
  // By the keyboard alone: / and a name.
  await page.keyboard.press('/');
  await page.keyboard.type('websockets off anna@example.com');
  await page.waitForSelector('.found a[href="/console/person/1337/17"]', wait);
  await go(page, page.keyboard.press('Enter'));
  expect(page.url().endsWith('/console/person/1337/17'), `the question leads to ${page.url()}`);
  expect((await text(page, '.answer')).includes('is true for user 17 in context 1337'), `the answer is ${await text(page, '.answer')}`);
  expect((await page.$$('button[name=do]')).length === 0, 'a viewer is offered the switch');
  await look(page, 'person-viewer');
  await page.goto(`${base}/console/?q=an`);
  expect((await page.$$('.people li')).length === 2, 'a search for "an" does not find two');
  await look(page, 'search');
  await page.goto(`${base}/console/?q=nobody@nowhere`);
  await look(page, 'nobody');
  await page.goto(`${base}/console/?q=com.openexchange.websockets.enabled`);
  expect(page.url().includes('/console/property/'), `a property leads to ${page.url()}`);
  await look(page, 'property');
  await page.goto(`${base}/console/person/1337/17?value=false`);
  expect((await text(page, '.answer')).includes('is false'), 'what-if: a value does not change the answer');
  await page.goto(`${base}/console/person/1337/17?tags=off`);
  expect((await text(page, '.answer')).includes('is false'), 'what-if: a tag does not change the answer');
  expect((await text(page, '.warn')).includes('What if'), 'what-if looks as if it were so');
  await look(page, 'what-if');
  await page.goto(`${base}/console/off`);
  expect((await text(page, '#sets + .scroll')).includes('switched-off'), 'who is off has no set that switches off');
  expect((await text(page, '#rollouts + .scroll')).includes('the first 50 % of the contexts of autumn'), 'who is off has no roll-out');
  expect((await text(page, '#never + .scroll')).includes('switched-off'), 'who is off has no set that matches nobody');
  expect((await page.$$('input[name=key]')).length === 0, 'a viewer may choose overrides');
  await look(page, 'off-empty');
  await page.goto(`${base}/console/person/0/17`);
  await look(page, 'error');
  const status = await page.evaluate(() => fetch('/console/plan', { method: 'POST', body: new URLSearchParams({ reason: 'x', do: 'off', key: '1337.17.0', property: 'com.openexchange.websockets.enabled' }) }).then((r) => r.status));
  expect(status === 403, `a viewer who switches gets ${status}`);
}

async function operator(page, browser) {
  await page.goto(`${base}/console/person/1337/17`);
  await page.waitForSelector('#doctor ~ [data-part] li', wait);
  const problem = await page.$$eval('[data-part] li', (list) => list.filter((li) => li.textContent.includes('no socket is open')).map((li) => li.textContent));
  expect(problem.length === 1 && problem[0].includes('Next:'), `the steps do not say that no socket is open: ${problem}`);
  await go(page, page.click('form[action$="/send"] button'));
  expect((await text(page, '.said')).includes('A test message was queued for 0 sockets'), `a test message: ${await text(page, '.said')}`);
  expect((await text(page, '[data-live=deliveries] .said')).includes('no socket was open'), `the proof without a socket: ${await text(page, '[data-live=deliveries] .said')}`);
  // Anna opens a page: the console shows her socket by itself, and a test message arrives.
  const other = await browser.createBrowserContext();
  await (await other.newPage()).goto(anna);
  await page.waitForFunction(() => document.querySelector('[data-live=sockets] tbody tr'), wait);
  await go(page, page.click('form[action$="/send"] button'));
  await page.waitForFunction(() => /the (page|browser) has it after \d+ ms/.test(document.querySelector('[data-live=deliveries] .said')?.textContent ?? ''), wait);
  expect((await page.$$('form[action$="/end"]')).length === 0, 'an operator is offered to end a session');
  await page.waitForSelector('#doctor ~ [data-part] li', wait);
  await look(page, 'person-live');
  await page.goto(`${base}/console/person/1337/17/doctor`);
  await look(page, 'doctor');
  await page.goto(`${base}/console/cluster`);
  await page.waitForFunction(() => document.querySelector('polyline.a')?.points.length > 1, wait);
  await look(page, 'cluster-live');
  return other;
}

async function bulk(page) {
  await page.goto(`${base}/console/off`);
  expect((await text(page, '[data-live=overrides] tbody')).includes('<script>alert(1)</script>'), 'who is off has not the override');
  expect((await text(page, '[data-live=overrides] tbody')).includes('com.example.flag'), 'who is off has not the override of another property');
  await look(page, 'off');
  await page.goto(`${base}/console/off?switch=any&property=com.example.flag&context=acme&actor=unix:${require('os').userInfo().username}&expires=never`);
  expect((await page.$$('[data-live=overrides] tbody tr')).length === 1, 'the filter of who is off does not find one');
  await page.goto(`${base}/console/off?switch=on`);
  expect((await text(page, '#sets + .scroll')).includes('com.openexchange.websockets.enabled=true') && (await page.$$('input[name=key]')).length === 0, 'who is on');
  await page.goto(`${base}/console/off?property=com.openexchange.websockets.enabled`);
  await page.click('input[name=key]');
  await page.type('[data-live=overrides] input[name=reason]', 'over');
  await go(page, page.click('[data-live=overrides] form button'));
  expect((await text(page, 'h1')).includes('Take the override of 17@1337 away?'), `the plan: ${await text(page, 'h1')}`);
  await look(page, 'plan');
  await go(page, page.click('main form button'));
  expect((await text(page, '.said')).includes('Saved as revision'), `taken away: ${await text(page, '.said')}`);
  expect((await page.$$('input[name=key]')).length === 0, 'the override is still there');
}

async function editor(page, second) {
  const person = `${base}/console/person/1337/17`;
  await page.goto(person);
  await second.goto(person);
  await page.type('input[name=reason]', '<script>alert(1)</script> \u202eticket');
  await page.select('select[name=hours]', '2');
  await go(page, page.click('button[value=off]'));
  expect((await text(page, 'h1')).includes('Switch 17@1337 off?'), `the plan: ${await text(page, 'h1')}`);
  expect((await text(page, '.answer')).includes('1 of 1 connected user would be sent away'), `the plan: ${await text(page, '.answer')}`);
  expect(page.url().includes('/console/plan?'), 'a plan has no address');
  await look(page, 'plan-one');
  await go(page, page.click('main form button'));
  expect((await text(page, '.answer')).includes('is false for user 17'), `after switching off: ${await text(page, '.answer')}`);
  expect((await text(page, '.answer')).includes('<script>alert(1)</script>'), 'the reason is not shown as text');
  expect((await text(page, '.answer')).includes('[U+202E]ticket'), 'a mark that turns text around is not shown');
  await look(page, 'person-off');
  // Somebody else has the page from before.
  await second.type('input[name=reason]', 'too late');
  await go(second, second.click('button[value=on]'));
  expect(/^Somebody else was faster: editor switched Web Sockets off, \d+ s ago, because of .*ticket.* Nothing of yours was saved.$/.test(await text(second, '.said')), `the second person is told: ${await text(second, '.said')}`);
  expect((await text(second, '.step.wins')).includes('override by editor: <script>alert(1)</script>'), `the second person sees ${await text(second, '.step.wins')}`);
  expect((await text(second, '.answer')).includes('is false for user 17'), 'the second person has overwritten the first');
  await bulk(second);
  await second.goto(`${base}/console/person/1337/17`);
  expect((await text(second, '.answer')).includes('is true for user 17'), 'an override that was taken away counts');
  await page.goto(person);
  await page.type('input[name=reason]', 'ticket 4711');
  await go(page, page.click('button[value=off]'));
  await go(page, page.click('main form button'));
  await go(page, page.click('.said button'));
  expect((await text(page, '.answer')).includes('is true for user 17'), `after undo: ${await text(page, '.answer')}`);
  await page.goto(`${base}/console/audit`);
  expect(page.url().endsWith('/console/cluster#audit'), `the audit is at ${page.url()}`);
  expect((await page.$$('[data-live=entries] tbody tr')).length >= 2, 'the audit has no entries');
  const audit = await text(page, '[data-live=entries]');
  for (const action of ['websockets.disable', 'websockets.reset', 'revert.']) expect(audit.includes(action), `the audit does not say ${action}`);
  await look(page, 'audit');
  await page.goto(`${base}/console/configuration?search=WEBSOCKETS`);
  expect((await text(page, 'main')).includes('bad.properties:1:3'), 'a finding is not shown with its place');
  await page.click('details.reload summary');
  await look(page, 'configuration');
  expect((await text(page, '#view ~ .scroll')).includes('com.openexchange.websockets.enabled'), 'the search finds nothing');
  await go(page, page.click('form[action$="/reload"] button'));
  expect((await text(page, '.said')).includes('some have errors'), `reload: ${await text(page, '.said')}`);
  expect((await text(page, 'main')).includes('a=\\uZZZZ'), 'the line of a finding is not shown');
  expect((await page.$$('button[data-copy]')).length === 1, 'no line is corrected');
  expect((await text(page, 'details.reload')).includes('com.example.shown'), 'no reload is remembered');
  // A session that is ended takes its sockets along.
  await page.goto(person);
  await go(page, page.click('form[action$="/end"] button'));
  expect((await text(page, '.said')).includes('The session has ended'), `ending a session: ${await text(page, '.said')}`);
  await page.waitForFunction(() => document.querySelector('[data-live=sockets]').textContent.includes('No socket is open'), wait);
  const cookie = (await page.cookies(`${base}/console/`)).find((c) => c.name === 'sluice_console');
  expect(cookie && cookie.httpOnly && cookie.sameSite === 'Strict' && !(await page.evaluate(() => document.cookie)), 'the cookie is within reach of scripts');
  await go(page, page.click('header form.who button'));
  expect(page.url().includes('/console/login'), 'logging out leads elsewhere');
  // A login that ends while a page is open leads to the login, and back.
  await second.goto(`${base}/console/cluster`);
  // A connection that is lost is told of, and the page goes on when it is back.
  await second.setOfflineMode(true);
  await second.waitForFunction(() => !document.querySelector('.lost').hidden, wait);
  await second.setOfflineMode(false);
  await second.waitForFunction(() => document.querySelector('.lost').hidden, wait);
  await second.deleteCookie(...await second.cookies(`${base}/console/`));
  await second.waitForFunction(() => location.pathname === '/console/login', wait);
  expect((await text(second, '.warn')).includes('Your login has ended'), 'nobody is told that the login has ended');
  await second.type('#token', tokens.editor);
  await go(second, second.keyboard.press('Enter'));
  expect(second.url().endsWith('/console/cluster'), `the login leads to ${second.url()}`);
}

// withoutScripts looks somebody up.
async function withoutScripts(browser) {
  const page = await visitor(browser, 'without scripts');
  await page.setJavaScriptEnabled(false);
  await page.goto(`${base}/console/`);
  await page.type('#token', tokens.viewer);
  await go(page, page.keyboard.press('Enter'));
  await page.type('#q', '17@1337');
  await go(page, page.keyboard.press('Enter'));
  expect((await text(page, '.answer')).includes('is true for user 17'), 'without scripts the console does not answer');
}

run(async (browser) => {
  await outside(browser);
  await viewer(await login(browser, 'viewer'));
  const other = await operator(await login(browser, 'operator'), browser);
  await editor(await login(browser, 'editor'), await login(browser, 'editor'));
  await other.close();
  await withoutScripts(browser);
});
