// An ordinary Socket.IO client. It knows nothing of Trunkline but the address.
import { io } from "/socket.io.js";

const PICTURE_BYTES_MAX = 700_000;
const PICTURE_SIDE_MAX_PX = 1600;
const TYPING_SHOWN_MS = 2500;
const ACK_WITHIN_MS = 5000;
const ROOMS = ["lobby", "pictures", "random"];
const NAMES = ["Ada", "Edsger", "Grace", "Hedy", "Ken", "Lynn", "Radia", "Tim"];

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const { url } = await (await fetch("/trunkline.json")).json();

const me = {
  // One person per tab, the same one after a reload.
  id: (sessionStorage.id ??= [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(36)).join("")),
  name: asked.get("name") ?? sessionStorage.name ?? "",
  room: asked.get("room") ?? "lobby",
  server: "",
  /** How often this window has connected, and how often it had when its app server last spoke. */
  connections: 0,
  connectionsThen: 0,
};
const people = new Map();
const rooms = new Set([...ROOMS, me.room]);

// Called on every connection, so that after a reconnection, perhaps to another app server, we are in the same room
// again.
const socket = io(url, { autoConnect: false, auth: (answer) => answer({ id: me.id, name: me.name, room: me.room }) });

// --- the line: state, transport, app server ---------------------------------------------------

function showTransport(name) {
  $("transport").textContent = name;
  $("line").dataset.transport = name;
  $("line").dataset.transports = `${$("line").dataset.transports} ${name}`.trim();
}
socket.io.on("open", () => {
  const { engine } = socket.io;
  $("line").dataset.transports = "";
  showTransport(engine.transport.name);
  engine.on("upgrade", (transport) => showTransport(transport.name));
});
socket.on("connect", () => {
  me.connections++;
  $("line").dataset.connections = String(me.connections);
  $("line").dataset.state = "online";
  people.clear();
});
socket.on("disconnect", (reason) => {
  $("line").dataset.state = "offline";
  $("line").dataset.reason = reason;
  $("transport").textContent = "reconnecting";
  if (reason === "io server disconnect") socket.connect();
});
socket.on("connect_error", (error) => {
  $("line").dataset.state = "offline";
  $("transport").textContent = socket.active ? "reconnecting" : error.message;
});
socket.on("welcome", ({ server, room }) => {
  if (me.server && me.server !== server) {
    const how = me.connections === me.connectionsThen ? "without a reconnect" : "with a reconnect";
    notice(`moved from ${me.server} to ${server}, ${how}`);
  }
  me.server = server;
  me.connectionsThen = me.connections;
  $("server").textContent = server;
  paint($("server"), server);
  showRoom(room);
});

/** Every app server gets a colour of its own, the same in every window. */
function paint(element, server) {
  const hues = { amber: 75, cobalt: 255 };
  const hue = hues[server] ?? [...server].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) % 360, 7);
  element.style.setProperty("--server", `light-dark(oklch(0.9 0.09 ${hue}), oklch(0.4 0.1 ${hue}))`);
  element.style.setProperty("--on-server", `light-dark(oklch(0.35 0.1 ${hue}), oklch(0.93 0.06 ${hue}))`);
}

// --- people -----------------------------------------------------------------------------------

socket.on("roll call", (caller) => socket.emit("here", caller));
socket.on("present", (person) => {
  people.set(person.id, person);
  rooms.add(person.room);
  showPeople();
  showRooms();
});
socket.on("gone", (person) => {
  // A person who reconnected is present already.
  if (people.get(person.id)?.socket === person.socket) people.delete(person.id);
  showPeople();
});

function showPeople() {
  const sorted = [...people.values()].sort((a, b) => a.name.localeCompare(b.name));
  $("count").textContent = String(sorted.length);
  $("people").replaceChildren(
    ...sorted.map((person) => {
      const who = element("span", "who", person.name + (person.id === me.id ? " (you)" : ""));
      who.append(element("span", "where", `#${person.room}`));
      const item = element("li", "", who, badge(person.server));
      item.dataset.person = person.name;
      item.dataset.server = person.server;
      return item;
    }),
  );
}

// --- rooms ------------------------------------------------------------------------------------

async function enter(room) {
  rooms.add(room);
  const answer = await socket.emitWithAck("enter", room);
  $("log").replaceChildren();
  showRoom(answer.room);
}
function showRoom(room) {
  me.room = room;
  rooms.add(room);
  $("text").placeholder = `Message #${room}`;
  showRooms();
}
function showRooms() {
  $("rooms").replaceChildren(
    ...[...rooms].map((room) => {
      const button = element("button", "", `# ${room}`);
      button.setAttribute("aria-current", String(room === me.room));
      button.onclick = () => enter(room);
      return element("li", "", button);
    }),
  );
}
$("new-room").onsubmit = (event) => {
  event.preventDefault();
  const { room } = event.target.elements;
  const name = room.value.trim().replace(/^#\s*/, "");
  if (name) enter(name);
  room.value = "";
};

// --- what is said -----------------------------------------------------------------------------

socket.on("notice", notice);
socket.on("message", ({ from, text, at }) => say(from, bubble(text), at));
socket.on("picture", ({ from, type, alt, at }, bytes) => say(from, picture(bytes, type, alt), at));

const typing = new Map();
socket.on("typing", ({ id, name }) => {
  clearTimeout(typing.get(id)?.timer);
  const timer = setTimeout(() => quiet(id), TYPING_SHOWN_MS);
  typing.set(id, { name, timer });
  showTyping();
});
function quiet(id) {
  clearTimeout(typing.get(id)?.timer);
  typing.delete(id);
  showTyping();
}
function showTyping() {
  const names = [...typing.values()].map(({ name }) => name);
  const verb = names.length === 1 ? "is" : "are";
  $("typing").textContent = names.length === 0 ? "" : `${names.join(", ")} ${verb} typing …`;
}

/** Shows a message from another person. */
function say(from, content, at) {
  quiet(from.id);
  const head = element("p", "from", from.name, badge(from.server));
  append(element("article", "said", head, content, element("p", "foot", clock(at))));
}

/** Shows our own message, and a tick once an app server has received it. */
function sayMine(content, send) {
  const tick = element("span", "", "sending");
  const foot = element("p", "foot", tick);
  append(element("article", "said mine", content, foot));
  attempt();

  async function attempt() {
    tick.dataset.tick = "sending";
    try {
      const answer = await send(socket.timeout(ACK_WITHIN_MS));
      foot.replaceChildren(`${clock(answer.at)} · `, tick);
      tick.dataset.tick = "delivered";
      tick.textContent = "✓ delivered";
      tick.title = `taken by app server ${answer.server}`;
    } catch {
      const again = element("button", "", "not delivered, try again");
      again.dataset.tick = "failed";
      again.onclick = () => {
        foot.replaceChildren(tick);
        attempt();
      };
      foot.replaceChildren(again);
    }
  }
}

$("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  sayMine(bubble(text), (socket) => socket.emitWithAck("message", text));
};
let typedAt = 0;
$("text").oninput = () => {
  if (Date.now() - typedAt < TYPING_SHOWN_MS / 3) return;
  typedAt = Date.now();
  socket.volatile.emit("typing");
};
$("attach").onclick = () => $("file").click();
$("file").onchange = async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) await sendPicture(file);
};
addEventListener("paste", async (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) await sendPicture(file);
});

async function sendPicture(file) {
  const small = await fitting(file);
  const bytes = await small.arrayBuffer();
  const { type } = small;
  sayMine(picture(bytes, type, file.name), (socket) => socket.emitWithAck("picture", bytes, { type, alt: file.name }));
}

/** The picture itself if it is small enough to send, otherwise a smaller JPEG of it. */
async function fitting(file) {
  if (file.size <= PICTURE_BYTES_MAX) return file;
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, PICTURE_SIDE_MAX_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(bitmap.width * scale, bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}

// --- elements ---------------------------------------------------------------------------------

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}
function badge(server) {
  const made = element("span", "badge", server);
  paint(made, server);
  return made;
}
function bubble(text) {
  return element("div", "bubble", text);
}
function picture(bytes, type, alt) {
  const image = document.createElement("img");
  image.src = URL.createObjectURL(new Blob([bytes], { type }));
  image.alt = alt;
  image.dataset.bytes = bytes.byteLength;
  image.onload = showNewest;
  return element("div", "bubble picture", image);
}
function notice(text) {
  append(element("p", "notice", text));
}
function append(child) {
  $("log").append(child);
  showNewest();
}
function showNewest() {
  $("log").scrollTop = $("log").scrollHeight;
}
function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// --- the door ---------------------------------------------------------------------------------

showRoom(me.room);
if (me.name) {
  socket.connect();
} else {
  $("name").value = NAMES[Math.floor(Math.random() * NAMES.length)];
  $("door").addEventListener("cancel", (event) => event.preventDefault());
  $("door").onclose = () => {
    me.name = sessionStorage.name = $("name").value.trim() || "somebody";
    socket.connect();
    $("text").focus();
  };
  $("door").showModal();
  $("name").select();
}
