// Opens one page of Fovea in Chromium as several readers see it, and prints what it found there as one JSON object.
//
//     node tools/page/check.mjs CHROMIUM PAGE.html [FOLDER_FOR_SCREENSHOTS]
//
// For each of phone and desktop width, light and dark: violations found by axe-core, requests that left the page, messages of the
// console, how far it scrolls sideways, whether the keyboard reaches everything that can be operated, and (once) what is printed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [browserPath, page, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const readers = [360, 1280].flatMap((width) => ["light", "dark"].map((scheme) => ({ width, scheme })));

// --no-sandbox: root in a container has no user namespaces, and the page runs no script
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
const found = [];
for (const { width, scheme } of readers) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, bypassCSP: true });
  const tab = await context.newPage();
  const requests = [];
  const messages = [];
  tab.on("request", (request) => /^(data|file|blob):/.test(request.url()) || requests.push(request.url()));
  tab.on("console", (message) => messages.push(message.text()));
  tab.on("pageerror", (error) => messages.push(String(error)));
  await tab.goto(pathToFileURL(resolve(page)).href);
  const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  // everything folded is unfolded, so that nothing hides from the check
  await tab.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true)));
  const opened = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await tab.evaluate(axe);
  const result = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const violations = result.violations.map(({ id, impact, help, nodes }) => ({
    id, impact, help, count: nodes.length, first: nodes[0]?.html.slice(0, 200), why: nodes[0]?.failureSummary?.slice(0, 300),
  }));
  const map = await keys(tab);
  if (folder) await tab.screenshot({ path: join(folder, `${basename(page, ".html")}-${width}-${scheme}.png`), fullPage: true });
  found.push({ width, scheme, violations, requests, messages, sideways: Math.max(sideways, opened), map });
  await context.close();
}
await browser.close();
console.log(JSON.stringify({ readers: found }));

// What the arrow keys do on the map: how many pictures show one after the other; null where there is no map.
async function keys(tab) {
  const spots = tab.locator(".map input[type=radio]");
  const count = await spots.count();
  if (!count) return null;
  await spots.first().focus();
  let shown = 0;
  const steps = Math.min(count - 1, 5);
  for (let step = 0; step < steps; step++) {
    await tab.keyboard.press("ArrowDown");
    shown += await tab.evaluate(() => {
      const card = document.activeElement?.nextElementSibling;
      return card && getComputedStyle(card).display !== "none" ? 1 : 0;
    });
  }
  return { spots: count, steps, shown };
}
