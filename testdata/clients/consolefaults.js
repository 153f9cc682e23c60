// Opens pages of the console in a headless browser and tells, as events, when it is
// ready for something to go wrong; then waits for the page to say so.
// usage: node consolefaults.js BROWSER URL TOKENS_JSON FAULT
const { base, expect, go, login, rest: [fault], run, say, text, tokens, wait, wrong } = require('./consolelib.js');

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
