// Opens pages of the console in a headless browser and tells, as events, when it is
// ready for something to go wrong; then waits for the page to say so.
// usage: node consolefaults.js BROWSER URL TOKENS_JSON FAULT
const { base, expect, go, login, look, rest: [fault], run, say, text, tokens, wait, wrong } = require('./consolelib.js');

const lost = (page, yes) => page.waitForFunction((want) => document.querySelector('.lost').hidden !== want, wait, yes);

const faults = {
  // The role of the person is taken away, then the token.
  async role(browser) {
    const page = await login(browser, 'editor', '/console/person/1337/17');
    expect((await page.$('button[name=do]')) !== null, 'an editor is not offered the switch');
    say('demote');
    await page.waitForFunction(() => !document.querySelector('button[name=do]') && document.body.dataset.role === 'viewer', wait);
    say('end');
    await page.waitForFunction(() => location.pathname === '/console/login', wait);
    expect((await text(page, '.warn')).includes('Your login has ended'), 'nobody is told that the login has ended');
    await page.type('#token', tokens.viewer);
    await go(page, page.keyboard.press('Enter'));
    expect(page.url().endsWith('/console/person/1337/17'), `the login leads to ${page.url()}`);
  },
  // The member that answers dies; another one answers at the same address.
  async member(browser) {
    const page = await login(browser, 'editor', '/console/cluster');
    await page.waitForFunction(() => document.querySelector('tbody')?.textContent.includes('m1') && document.querySelector('tbody').textContent.includes('m0 (this)'), wait);
    say('kill');
    await lost(page, true);
    expect((await text(page, '.lost')).includes('The connection to the server is lost'), 'the page does not say what is lost');
    say('back');
    await lost(page, false);
    await page.waitForFunction(() => document.querySelector('tbody').textContent.includes('m1 (this)'), wait);
    await page.waitForFunction(() => /m0[^]*gone/.test(document.querySelector('tbody').textContent) || !document.querySelector('tbody').textContent.includes('m0'), wait);
  },
  // A change of the files is held with its numbers until an editor lets it through, and
  // a value waits for a restart.
  async held(browser) {
    const viewer = await login(browser, 'viewer', '/console/configuration');
    expect((await text(viewer, 'section.held')).includes('sluice reload --confirm') && !(await viewer.$('section.held button')), 'a viewer is offered to confirm');
    const page = await login(browser, 'editor', '/console/configuration');
    const held = await text(page, 'section.held');
    for (const words of ['It would close 1 of 1 socket (1 user); 0 go unasked.', '1 user: com.openexchange.websockets.enabled=false (zswitch.properties:1)']) {
      expect(held.includes(words), `${words} is not in: ${held}`);
    }
    const pending = await text(page, '#pending + ul');
    expect(/sluice.admin.socketGroup: nothing is in force, the file says staff \(restart.properties:1\)/.test(pending), `what needs a restart: ${pending}`);
    await look(page, 'held');
    await page.goto(`${base}/console/person/1337/17`);
    expect((await text(page, '.answer')).includes('is true for user 17'), `what is in force: ${await text(page, '.answer')}`);
    expect((await text(page, '[data-live=why]')).includes('change of the files is held. With it:'), 'the person is not told of the change that is held');
    await page.click('a[href="/console/configuration#held"]');
    await page.waitForSelector('section.held button', wait);
    await go(page, page.click('section.held button'));
    expect((await text(page, '.said')).includes('The change counts.') && !(await page.$('section.held')), `confirmed: ${await text(page, 'main')}`);
    await page.goto(`${base}/console/person/1337/17`);
    expect((await text(page, '.answer')).includes('is false for user 17'), `after it was let through: ${await text(page, '.answer')}`);
  },
  // Somebody is connected to another member, with two sockets.
  async plan(browser) {
    const page = await login(browser, 'editor', '/console/person/1337/17');
    await page.type('input[name=reason]', 'moved');
    await go(page, page.click('button[value=off]'));
    expect((await text(page, '.answer')).includes('1 of 1 connected user would be sent away'), `the plan: ${await text(page, '.answer')}`);
  },
  // What others write has markup, scripts, marks that turn text around, and 10,000
  // characters: it is text, and all of it.
  async input(browser) {
    const page = await login(browser, 'editor');
    const long = 'x'.repeat(4000);
    const hostile = '<script>alert(1)</script><img src=x onerror=alert(1)>"\'&amp;';
    const pages = {
      '/console/?q=evil': [hostile],
      '/console/person/1337/19': [hostile, '[U+202E]', 'tag<b>', long, hostile],
      '/console/person/1337/19/doctor': [hostile],
      '/console/off': [hostile, '[U+202E]', long],
      '/console/audit': [hostile, '[U+202E]', long],
      '/console/configuration?search=hostile': [hostile, 'y'.repeat(10000)],
      '/console/property/com.example.hostile': [hostile, 'y'.repeat(10000)],
      [`/console/?q=${encodeURIComponent(hostile)}`]: [],
      [`/console/person/1337/19?tags=${encodeURIComponent(hostile)}`]: [hostile],
      [`/console/person/1337/19?property=${encodeURIComponent(hostile)}`]: [hostile],
      '/console/person/1337/19?said=<b>no</b>&n=<i>&done=<u>': [],
      [`/console/plan?do=off&key=1337.19.0&property=com.example.other&reason=${encodeURIComponent(hostile + '\u202e')}`]: [hostile, '[U+202E]'],
      [`/console/off?property=${encodeURIComponent(hostile + '\u202e')}`]: [hostile, '[U+202E]'],
      [`/console/audit?actor=${encodeURIComponent(hostile)}`]: [],
    };
    for (const [address, texts] of Object.entries(pages)) {
      await page.goto(base + address);
      await page.waitForFunction(() => !document.querySelector('[aria-busy]'), wait);
      for (const width of [360, 1280]) {
        await page.setViewport({ width, height: 900 });
        const found = await page.evaluate((list) => ({
          over: document.documentElement.scrollWidth - innerWidth,
          made: document.querySelectorAll('main :is(script, img, b, i, u), body > script').length,
          missing: list.filter((t) => !document.querySelector('main').textContent.includes(t)),
          marks: /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.textContent),
        }), texts);
        expect(found.over <= 0, `${address}: ${found.over} pixels beside a screen of ${width}`);
        expect(found.made === 0, `${address}: markup of others is markup`);
        expect(!found.marks, `${address}: a mark that turns text around is not shown`);
        for (const t of found.missing) wrong(`${address}: ${t.slice(0, 60)} (${t.length} characters) is not whole`);
      }
    }
  },
};

run((browser) => faults[fault](browser));
