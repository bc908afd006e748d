// A client that knows the documented contract and nothing of this package: Node.js, no packages.
// Prints one JSON object with what it saw.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const [base, key, brand] = process.argv.slice(2);

async function call(method, path, body, headers = {}) {
  const response = await fetch(`${base}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      "Content-Type": "application/json",
      Accept: "application/json",
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.headers.get("x-request-id")) throw new Error(`${path}: no x-request-id`);
  const text = await response.text();
  const json = text ? JSON.parse(text) : null;
  return { status: response.status, json, headers: response.headers };
}

// The receiver: the signature is over the raw bytes, with the whole secret.
const deliveries = [];
let arrived;
const receiver = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    deliveries.push({ body: Buffer.concat(chunks), header: request.headers["x-dispatch-signature"] });
    response.end("ok");
    arrived();
  });
});
const delivered = new Promise((resolve) => (arrived = resolve));
await new Promise((ready) => receiver.listen(0, "127.0.0.1", ready));

const root = `/brands/${brand}`;
const hook = await call("POST", `${root}/webhooks`, {
  url: `http://127.0.0.1:${receiver.address().port}/hooks`,
  events: ["ticket.updated"],
});
const shownAgain = await call("GET", `${root}/webhooks/${hook.json.id}`);

const made = await call(
  "POST",
  `${root}/tickets`,
  { title: "Größe passt nicht", customerEmail: "jane@example.com", customFields: { orderId: "1" } },
  { "X-Idempotency-Key": "order-1" },
);
const repeated = await call(
  "POST",
  `${root}/tickets`,
  { title: "Größe passt nicht", customerEmail: "jane@example.com", customFields: { orderId: "1" } },
  { "X-Idempotency-Key": "order-1" },
);
const refused = await call("POST", `${root}/tickets`, { status: "nope" });

// An attachment: announce, PUT without the key, confirm with no body.
const bytes = new Uint8Array([0, 1, 2, 253, 254, 255]);
const files = `${root}/tickets/${made.json.id}/attachments`;
const target = await call("POST", files, {
  filename: "photo.png",
  contentType: "image/png",
  size: bytes.length,
});
const put = await fetch(target.json.uploadUrl, {
  method: "PUT",
  headers: { "Content-Type": "image/png" },
  body: bytes,
});
const confirmed = await call("POST", `${files}/${target.json.attachmentId}/confirm`);
const found = await call("GET", `${files}/${target.json.attachmentId}`);
const download = new Uint8Array(await (await fetch(found.json.downloadUrl)).arrayBuffer());

// Pages: the SDK reads `cursor`, the UI `nextCursor`.
for (let number = 0; number < 4; number++) {
  await call("POST", `${root}/tickets`, { title: `Ticket ${number}` });
}
const walks = {};
for (const name of ["cursor", "nextCursor"]) {
  const titles = [];
  let cursor;
  do {
    const query = new URLSearchParams({ limit: "2", sort: "createdAt", order: "asc" });
    if (cursor) query.set("cursor", cursor);
    const page = await call("GET", `${root}/tickets?${query}`);
    titles.push(...page.json.data.map((ticket) => ticket.title));
    cursor = page.json.pagination.hasMore ? page.json.pagination[name] : undefined;
  } while (cursor);
  walks[name] = titles;
}

await call("PATCH", `${root}/tickets/${made.json.id}`, { status: "pending" });
await delivered;
receiver.close();
receiver.closeAllConnections();
const [{ body, header }] = deliveries;
const digest = createHmac("sha256", hook.json.secret).update(body).digest("hex");
const signed = timingSafeEqual(Buffer.from(header), Buffer.from(`sha256=${digest}`));
const gone = await call("DELETE", `${root}/tickets/${made.json.id}`);

console.log(
  JSON.stringify({
    secretOnce: /^whsec_/.test(hook.json.secret) && !("secret" in shownAgain.json),
    created: [made.status, made.json.title, made.json.customFields, made.json.createdAt],
    sameTicket: repeated.json.id === made.json.id,
    refused: [refused.status, refused.json.errors.map((problem) => problem.field).sort()],
    limits: Number(made.headers.get("x-ratelimit-limit")) > 0,
    put: put.status,
    confirmed: [confirmed.status, confirmed.json.status],
    download: [...download],
    walks,
    signed,
    event: JSON.parse(body.toString("utf8")),
    gone: gone.status,
  }),
);
