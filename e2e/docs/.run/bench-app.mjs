import { createServer } from "node:http";
import { Server } from "socket.io";
const http = createServer();
const io = new Server(http);
import { benchEvents } from "./events.mjs";
benchEvents(io);
http.listen(0, "127.0.0.1", () => console.log("port", http.address().port));
