// A page in a headless browser, whose console is printed line by line.
// usage: node browser.js BROWSER URL
const puppeteer = require('puppeteer-core');
const [executablePath, url] = process.argv.slice(2);
(async () => {
  // Chromium has no sandbox for root.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  const browser = await puppeteer.launch({ executablePath, args });
  process.stdin.on('data', () => {}).on('end', () => browser.close().then(() => process.exit(0)));
  const page = await browser.newPage();
  page.on('console', (message) => console.log(message.text()));
  page.on('pageerror', (err) => console.error(err));
  await page.goto(url);
})().catch((err) => {
  console.error(err);
  process.exit(1);
});
