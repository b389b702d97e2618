// The examples, in a real browser: two windows, two app servers.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import test, { after, before, describe } from "node:test";
import { until } from "../../testing/wait.mjs";
import { closePages, Example, openBrowser, openPage } from "../harness/browser.mjs";
import { pictureOf } from "../harness/picture.mjs";
import { PLAIN, World } from "../harness/world.mjs";

/** The folder for screenshots, if they are wanted. */
const SHOTS = process.env.E2E_SHOTS;
async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

describe("examples in Chromium", { skip: PLAIN }, () => {
  let world;
  let browser;
  before(async () => {
    world = await World.start({ servers: [] });
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await world?.stop();
  });

  test("chat: two windows on two app servers", async (t) => {
    const chat = await Example.start("chat", world, ["amber", "cobalt"]);
    try {
      const ada = await openPage(browser, `${chat.url}/?name=Ada`);
      await ada.waitForSelector('#line[data-state="online"]');
      const grace = await openPage(browser, `${chat.url}/?name=Grace`);
      await grace.waitForSelector('#line[data-state="online"]');

      await t.test("polling first, then the upgrade", async () => {
        for (const page of [ada, grace]) {
          await page.waitForSelector('#line[data-transport="websocket"]');
          assert.equal(await page.getAttribute("#line", "data-transports"), "polling websocket");
        }
      });

      await t.test("the app servers differ, and both windows see both people", async () => {
        const homes = [await ada.textContent("#server"), await grace.textContent("#server")];
        assert.deepEqual(homes.sort(), ["amber", "cobalt"]);
        for (const page of [ada, grace]) {
          for (const name of ["Ada", "Grace"]) await page.waitForSelector(`#people [data-person="${name}"]`);
          assert.equal(await page.textContent("#count"), "2");
        }
      });

      await t.test("messages both ways, acknowledged", async () => {
        for (const [from, to, text] of [
          [ada, grace, "Hello Grace"],
          [grace, ada, "Hello Ada, ünïcödé 🚂"],
        ]) {
          await from.fill("#text", text);
          await from.click("#send");
          await to.waitForSelector(`.said:not(.mine) .bubble >> text=${text}`);
          await from.waitForSelector('.said.mine [data-tick="delivered"]');
        }
      });

      await t.test("a typing indicator", async () => {
        await until("Ada's window to say so", async () => {
          await grace.type("#text", "…", { delay: 1 });
          return (await ada.textContent("#typing")).includes("Grace is typing");
        });
      });

      await t.test("a picture, sent as binary", async () => {
        const picture = pictureOf(320, 200);
        await ada.setInputFiles("#file", { name: "cable.png", mimeType: "image/png", buffer: picture });
        const image = await grace.waitForSelector('img[alt="cable.png"]');
        assert.equal(await image.getAttribute("data-bytes"), String(picture.length));
        await until("the picture to be drawn", () => image.evaluate((image) => image.naturalWidth === 320));
        await ada.waitForFunction(() => document.querySelectorAll('[data-tick="delivered"]').length === 2);
        await shot(ada, "chat-ada");
        await shot(grace, "chat-grace");
      });

      await t.test("rooms: who is elsewhere hears nothing", async () => {
        await grace.click("#rooms button >> text=random");
        await ada.waitForSelector(".notice >> text=Grace went to #random");
        await ada.fill("#text", "to nobody");
        await ada.click("#send");
        await grace.click("#rooms button >> text=lobby");
        await ada.waitForSelector(".notice >> text=Grace came in");
        await ada.fill("#text", "welcome back");
        await ada.click("#send");
        await grace.waitForSelector(".bubble >> text=welcome back");
        assert.equal(await grace.locator(".bubble >> text=to nobody").count(), 0);
      });

      await t.test(
        "kill -9 of Ada's app server: the other takes over, and no window loses its connection",
        async () => {
          const home = await ada.textContent("#server");
          const other = await grace.textContent("#server");
          await chat.kill(home);
          await ada.waitForSelector(`#server >> text=${other}`);
          await ada.waitForSelector(`.notice >> text=moved from ${home} to ${other}, without a reconnect`);
          for (const page of [ada, grace]) {
            assert.equal(await page.getAttribute("#line", "data-reason"), null);
            assert.equal(await page.getAttribute("#line", "data-connections"), "1");
            await page.waitForSelector(`#people [data-person="Ada"][data-server="${other}"]`);
            assert.equal(await page.textContent("#count"), "2");
          }
          await ada.fill("#text", "I moved");
          await ada.click("#send");
          await grace.waitForSelector(".bubble >> text=I moved");
          await shot(ada, "chat-moved");
        },
      );
      assert.deepEqual(grace.problems, []);
    } finally {
      await closePages(browser);
      await chat.stop();
    }
  });

  test("whiteboard: ink, cursors, and the picture so far for a newcomer", async () => {
    const board = await Example.start("whiteboard", world, ["amber", "cobalt"]);
    try {
      const first = await openPage(browser, board.url);
      await first.waitForSelector('#status[data-server][data-transport="websocket"]');
      await drag(first, 0.2, 0.2, 0.7, 0.6);

      const second = await openPage(browser, board.url);
      await second.waitForSelector('#status[data-server][data-transport="websocket"]');
      assert.notEqual(
        await first.getAttribute("#status", "data-server"),
        await second.getAttribute("#status", "data-server"),
      );
      await second.waitForSelector("#ink[data-received]");
      await until(
        "the same drawing",
        async () => (await inked(second)) > 0 && (await inked(first)) === (await inked(second)),
      );

      const before = await inked(first);
      await drag(second, 0.8, 0.2, 0.3, 0.9);
      await first.waitForSelector(".cursor");
      await until("the second's ink", async () => (await inked(first)) > before);
      await until("the same drawing again", async () => (await inked(first)) === (await inked(second)));
      await shot(first, "whiteboard-first");
      await shot(second, "whiteboard-second");

      await second.click("#clear");
      await until("a blank board", async () => (await inked(first)) === 0 && (await inked(second)) === 0);
      assert.deepEqual([...first.problems, ...second.problems], []);
    } finally {
      await closePages(browser);
      await board.stop();
    }
  });
});

/** Draws a line; the coordinates are fractions of the board. */
async function drag(page, fromX, fromY, toX, toY) {
  const { x, y, width, height } = await page.locator("#ink").boundingBox();
  await page.mouse.move(x + fromX * width, y + fromY * height);
  await page.mouse.down();
  await page.mouse.move(x + toX * width, y + toY * height, { steps: 20 });
  await page.mouse.up();
}

/** The approximate number of pixels with ink: only opaque ones, so that edges do not count. */
function inked(page) {
  return page.evaluate(() => {
    const canvas = document.querySelector("#ink");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 3; at < data.length; at += 4) count += data[at] === 255 ? 1 : 0;
    return count;
  });
}
