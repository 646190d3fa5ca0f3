// Headless Chromium, started through playwright-core, and a small server for its pages.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { chromium } from "playwright-core";

const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript" };

/** Debian's Chromium, or the one that the environment variable CHROMIUM names. */
export function launch(further = []) {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find(
    (path) => path && existsSync(path),
  );
  if (!found) throw new Error("Chromium is not installed: run `cargo xtask setup`");
  return chromium.launch({ executablePath: found, args: [...ARGUMENTS, ...further] });
}

/** Serves the listed files (path -> file URL, text, or what is called for the text) on a free local port; resolves with the address. */
export function serve(files) {
  const server = createServer(async (request, response) => {
    const file = files[new URL(request.url, "http://localhost").pathname];
    if (!file) return response.writeHead(404).end();
    const made = typeof file === "function" ? await file() : file;
    const text = file instanceof URL ? await readFile(file) : made;
    const kind = file instanceof URL ? KINDS[extname(file.pathname)] : "text/html";
    response.writeHead(200, { "Content-Type": `${kind}; charset=utf-8` }).end(text);
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`));
  });
}
