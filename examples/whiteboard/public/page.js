// An ordinary Socket.IO client. It knows nothing of Trunkline but the address.
import { io } from "/socket.io.js";

const WIDTH_PX = 1600;
const HEIGHT_PX = 1000;
const CURSOR_EVERY_MS = 40;
const CURSOR_SHOWN_MS = 4000;
// Visible on light and dark paper, as all people draw on the same one.
const COLORS = ["#7a8288", "#d9483b", "#e08a1e", "#2f9e6e", "#2f7fd8", "#9a5bd0"];

const $ = (id) => document.getElementById(id);
const { url } = await (await fetch("/trunkline.json")).json();
const socket = io(url);

const canvas = $("ink");
canvas.width = WIDTH_PX;
canvas.height = HEIGHT_PX;
const pen = canvas.getContext("2d");
pen.lineCap = pen.lineJoin = "round";
let color = COLORS[Math.floor(Math.random() * COLORS.length)];
let blank = true;

// --- drawing ----------------------------------------------------------------------------------

/** A stroke is `{ color, width, points: [x, y, x, y, …] }`; x and y are fractions from 0 to 1. */
function draw({ color, width, points }) {
  blank = false;
  canvas.dataset.strokes = Number(canvas.dataset.strokes ?? 0) + 1;
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(points[0] * WIDTH_PX, points[1] * HEIGHT_PX);
  for (let at = 0; at < points.length; at += 2) {
    pen.lineTo(points[at] * WIDTH_PX, points[at + 1] * HEIGHT_PX);
  }
  pen.stroke();
}
function wipe() {
  blank = true;
  canvas.dataset.strokes = 0;
  pen.clearRect(0, 0, WIDTH_PX, HEIGHT_PX);
}
/** The drawing on a transparent background, so that it fits under newer ink and on any paper. */
function png() {
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** The points since the last frame, sent together. */
let fresh = null;
function place(event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;
  return [share((event.clientX - left) / width), share((event.clientY - top) / height)];
}
function flush() {
  if (!fresh) return;
  if (fresh.points.length >= 4 || fresh.dot) {
    draw(fresh);
    socket.emit("ink", { color: fresh.color, width: fresh.width, points: fresh.points });
    // The next piece starts where this one ends.
    fresh = { ...fresh, dot: false, points: fresh.points.slice(-2) };
  }
  requestAnimationFrame(flush);
}
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  fresh = { color, width: Number($("width").value), points: place(event), dot: true };
  flush();
};
canvas.onpointermove = (event) => {
  const [x, y] = place(event);
  if (fresh) fresh.points.push(x, y);
  pointAt(x, y);
};
canvas.onpointerup = canvas.onpointercancel = () => {
  const last = fresh;
  if (last && last.points.length >= 4) {
    draw(last);
    socket.emit("ink", { color: last.color, width: last.width, points: last.points });
  }
  fresh = null;
};

socket.on("ink", draw);
socket.on("clear", wipe);

// --- cursors: volatile both ways --------------------------------------------------------------

let pointedAt = 0;
function pointAt(x, y) {
  if (performance.now() - pointedAt < CURSOR_EVERY_MS) return;
  pointedAt = performance.now();
  socket.volatile.emit("cursor", x, y, color);
}
const cursors = new Map();
socket.on("cursor", (id, x, y, color) => {
  const cursor = cursors.get(id) ?? { element: document.createElement("div") };
  clearTimeout(cursor.timer);
  cursor.timer = setTimeout(() => hide(id), CURSOR_SHOWN_MS);
  cursors.set(id, cursor);
  cursor.element.className = "cursor";
  cursor.element.style.setProperty("--color", CSS.supports("color", color) ? color : "gray");
  cursor.element.style.left = `${x * 100}%`;
  cursor.element.style.top = `${y * 100}%`;
  $("cursors").append(cursor.element);
});
socket.on("gone", hide);
function hide(id) {
  cursors.get(id)?.element.remove();
  cursors.delete(id);
}

// --- the picture so far -----------------------------------------------------------------------

let waiting = false;
socket.on("who has a drawing", (newcomer) => {
  if (!blank) socket.emit("i have one", newcomer);
});
socket.on("offer", (owner) => {
  if (!waiting) return;
  waiting = false;
  socket.emit("yours please", owner);
});
socket.on("send your drawing", async (newcomer) => socket.emit("drawing", newcomer, await png()));
socket.on("drawing", async (bytes) => {
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  // Under what was drawn meanwhile.
  pen.globalCompositeOperation = "destination-over";
  pen.drawImage(picture, 0, 0);
  pen.globalCompositeOperation = "source-over";
  blank = false;
  canvas.dataset.received = bytes.byteLength;
});

// --- the connection ---------------------------------------------------------------------------

let server = "…";
function status(state, text) {
  $("status").dataset.state = state;
  $("text").textContent = text;
}
function online() {
  const transport = socket.io.engine.transport.name;
  $("status").dataset.transport = transport;
  $("status").dataset.server = server;
  status("online", `${transport} to Trunkline, trunk to ${server}`);
}
socket.io.on("open", () => socket.io.engine.on("upgrade", online));
socket.on("connect", () => {
  waiting = blank;
  online();
});
socket.on("welcome", (welcome) => {
  server = welcome.server;
  online();
});
socket.on("disconnect", () => status("offline", "reconnecting"));
socket.on("connect_error", () => status("offline", "reconnecting"));

// --- tools ------------------------------------------------------------------------------------

function showColors() {
  $("colors").replaceChildren(
    ...COLORS.map((choice) => {
      const button = document.createElement("button");
      button.style.setProperty("--color", choice);
      button.setAttribute("role", "radio");
      button.setAttribute("aria-label", choice);
      button.setAttribute("aria-checked", String(choice === color));
      button.onclick = () => {
        color = choice;
        showColors();
      };
      return button;
    }),
  );
}
$("clear").onclick = () => socket.emit("clear");
$("save").onclick = async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await png());
  link.download = "whiteboard.png";
  link.click();
};
showColors();
