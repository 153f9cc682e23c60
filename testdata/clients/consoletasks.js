// Does in a headless browser what a new user comes to the console for, by clicks
// from the front page, and says of each task its clicks, what was typed and how long
// it took; then goes through every page by keyboard alone.
// usage: node consoletasks.js BROWSER URL TOKENS_JSON
const { base, expect, go, login, run, say, text, wait, wrong } = require('./consolelib.js');

let clicks = 0;

// click counts, and waits for the page that follows.
async function click(page, selector) {
  clicks++;
  await go(page, page.click(selector));
}

async function task(page, name, steps) {
  clicks = 0;
  await page.goto(`${base}/console/`);
  const began = performance.now();
  const typed = await steps();
  say('task', `${name}: ${clicks} clicks, types ${typed ?? 'nothing'}, ${Math.round(performance.now() - began)} ms`);
}

// find types a question into the search, and takes the first answer below it.
async function find(page, words) {
  await page.type('#q', words);
  await page.waitForSelector('[data-found] a[href="/console/person/1337/17"]', wait);
  await click(page, '[data-found] a[href="/console/person/1337/17"]');
}

async function tasks(page) {
  await task(page, 'switch it off for two hours', async () => {
    await find(page, 'anna');
    await page.type('input[name=reason]', 'ticket 4711');
    clicks++; // on the list, and a key
    await page.select('select[name=hours]', '2');
    await click(page, 'button[value=off]');
    await click(page, 'main form button');
    expect((await text(page, '.answer')).includes('is false for user 17'), `switched off: ${await text(page, '.answer')}`);
    expect((await text(page, '.step.wins')).includes('ends in 2 h'), `until when: ${await text(page, '.step.wins')}`);
    return 'a name and a reason';
  });
  await task(page, 'why is push off for this user', async () => {
    await find(page, 'why is push off for anna');
    expect((await text(page, '.answer')).includes('ticket 4711'), `why: ${await text(page, '.answer')}`);
    return 'a question';
  });
  await task(page, 'what changed since yesterday', async () => {
    await click(page, 'a[href="/console/cluster"]');
    clicks++;
    await page.select('select[name=hours]', '24');
    await click(page, 'main form.row button');
    expect((await text(page, '[data-live=entries] tbody')).includes('ticket 4711'), `changed: ${await text(page, '[data-live=entries]')}`);
    expect(page.url().includes('hours=24'), `the address is ${page.url()}`);
  });
  await task(page, 'which sets does nobody match', async () => {
    await click(page, 'a[href="/console/off"]');
    expect((await text(page, '#never + .scroll')).includes('switched-off'), `never: ${await text(page, '#never + .scroll')}`);
  });
  await task(page, 'did this mail reach that browser', async () => {
    await find(page, 'anna@example.com');
    expect((await text(page, '[data-live=deliveries] tbody')).includes('ox:mail:new'), `messages: ${await text(page, '[data-live=deliveries]')}`);
    return 'an address';
  });
}

// keyboard goes through a page with the tab key: it has to come to everything that
// can be used, and to show where it is.
async function keyboard(page, address) {
  await page.goto(base + address);
  await page.waitForFunction(() => !document.querySelector('[aria-busy]'), wait);
  const want = await page.evaluate(() => {
    const usable = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex="0"]')]
      .filter((el) => el.checkVisibility({ visibilityProperty: true }));
    usable.forEach((el, i) => { el.dataset.at = i; });
    document.activeElement?.blur();
    return usable.length;
  });
  const seen = new Set();
  for (let presses = 0; presses < want + 5 && seen.size < want; presses++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const el = document.activeElement;
      const style = getComputedStyle(el);
      const shown = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
      return { at: el.dataset.at, shown, what: el.outerHTML.slice(0, 100) };
    });
    if (at.at === undefined) continue;
    seen.add(at.at);
    expect(at.shown, `${address}: the focus is not seen on ${at.what}`);
  }
  if (seen.size < want) {
    const missed = await page.evaluate((list) => [...document.querySelectorAll('[data-at]')].filter((el) => !list.includes(el.dataset.at)).map((el) => el.outerHTML.slice(0, 100)), [...seen]);
    wrong(`${address}: the tab key does not come to ${missed.join(' ')}`);
  }
}

// steady holds that nothing jumps while a page loads: what happens on the server is
// shown a second after that at the earliest.
async function steady(page, address) {
  await page.goto(base + address);
  await page.waitForFunction(() => !document.querySelector('[aria-busy]'), wait);
  const shift = await page.evaluate(() => new Promise((done) => {
    const end = performance.getEntriesByType('navigation')[0].loadEventEnd + 900;
    new PerformanceObserver((list) => done(list.getEntries().filter((e) => e.startTime < end).reduce((sum, e) => sum + e.value, 0))).observe({ type: 'layout-shift', buffered: true });
    requestAnimationFrame(() => requestAnimationFrame(() => done(0)));
  }));
  expect(shift === 0, `${address}: the page jumps by ${shift} while it loads`);
}

// late goes to an answer of the search, by keys or by mouse, while that of a later
// keystroke is on its way: it arrives between, and must take nothing away.
async function late(page, at, leave) {
  let release;
  const held = new Promise((done) => { release = done; });
  const hold = async (request) => {
    if (request.url().endsWith('q=anna')) await held;
    request.continue();
  };
  await page.setRequestInterception(true);
  page.on('request', hold);
  await page.keyboard.type('ann');
  await page.waitForSelector(at, wait);
  await page.keyboard.type('a');
  await go(page, leave(async () => {
    const answered = page.waitForResponse((r) => r.url().endsWith('q=anna'), wait);
    release();
    await (await answered).text();
    await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
  }));
  page.off('request', hold);
  await page.setRequestInterception(false);
}

// byKeys switches Anna on again without a mouse.
async function byKeys(page) {
  const anna = '.found a[href="/console/person/1337/17"]';
  await page.goto(`${base}/console/cluster`);
  await page.focus('#q');
  await late(page, anna, async (answer) => {
    const box = await (await page.$(anna)).boundingBox();
    await page.mouse.move(box.x + 5, box.y + 5);
    await page.mouse.down();
    await answer();
    await page.mouse.up();
  });
  await page.goto(`${base}/console/cluster`);
  await page.keyboard.press('/');
  await late(page, anna, async (answer) => {
    await page.keyboard.press('ArrowDown');
    await answer();
    await page.keyboard.press('Enter');
  });
  const to = async (selector) => {
    for (let i = 0; i < 60 && !(await page.evaluate((s) => document.activeElement.matches(s), selector)); i++) await page.keyboard.press('Tab');
  };
  await to('input[name=reason]');
  await page.keyboard.type('by keys');
  await to('button[value=on]');
  await go(page, page.keyboard.press('Enter'));
  // The plan has its button ready: a browser moves the focus there as it draws the page.
  await page.waitForFunction(() => document.activeElement.matches('main form button[autofocus]'), wait);
  await go(page, page.keyboard.press('Enter'));
  expect((await text(page, '.answer')).includes('by keys'), `by keys alone: ${await text(page, '.answer')}`);
  await to('.said button');
  await go(page, page.keyboard.press('Enter'));
  expect(!(await text(page, '.answer')).includes('by keys'), 'undo by keys alone');
}

// offered are what a role may do, by the page that has it.
const offered = {
  '/console/person/1337/17': { operator: ['form[action$="/send"]'], editor: ['button[name=do]', 'form[action$="/revert"]'] },
  '/console/off': { operator: [], editor: ['input[name=key]'] },
  '/console/configuration': { operator: [], editor: ['form[action$="/reload"]'] },
  '/console/audit': { operator: [], editor: ['form[action$="/revert"]'] },
};

const refusedTo = {
  viewer: ['person/1337/17/send', 'person/1337/17/close', 'person/1337/17/end', 'person/1337/17/register', 'plan', 'configuration/reload', 'configuration/confirm', 'audit/1/revert'],
  operator: ['person/1337/17/end', 'person/1337/17/register', 'plan', 'configuration/reload', 'configuration/confirm', 'audit/1/revert'],
};

async function roles(page, role) {
  const rank = ['viewer', 'operator', 'editor'];
  for (const [address, of] of Object.entries(offered)) {
    await page.goto(base + address);
    for (const [need, selectors] of Object.entries(of)) {
      for (const selector of selectors) {
        const there = (await page.$(selector)) !== null;
        expect(there === rank.indexOf(role) >= rank.indexOf(need), `${address}: a ${role} ${there ? 'is' : 'is not'} offered ${selector}`);
      }
    }
  }
  const form = { do: 'off', key: '1337.18.0', property: 'com.openexchange.websockets.enabled', reason: 'x', digest: 'x', session: 'x' };
  for (const action of refusedTo[role] ?? []) {
    const status = await page.evaluate((a, f) => fetch(`/console/${a}`, { method: 'POST', body: new URLSearchParams(f) }).then((r) => r.status), action, form);
    expect(status === 403, `a ${role} who sends ${action} gets ${status}`);
  }
}

run(async (browser) => {
  const editor = await login(browser, 'editor');
  await tasks(editor);
  for (const role of ['viewer', 'operator']) await roles(await login(browser, role), role);
  await roles(editor, 'editor');
  await byKeys(editor);
  for (const address of ['/console/', '/console/?q=an', '/console/person/1337/17?tags=a', '/console/person/1337/17/doctor', '/console/property/com.openexchange.websockets.enabled', '/console/off', '/console/configuration?search=websockets', '/console/cluster?hours=24', '/console/person/0/0', '/console/plan?do=off&property=com.openexchange.websockets.enabled&key=1337.18.0']) {
    await keyboard(editor, address);
    await steady(editor, address);
  }
});
