const connectionString = process.env.CONNECTION_STRING ?? '';
const hub = 'default';
import { useTrunkline } from "@trunkline/socket.io";
import { Server } from "socket.io";
const io = new Server();
useTrunkline(io, { hub, connectionString });
{ const { afterApp } = await import("file:///work/wt/docs/e2e/docs/after.mjs"); await afterApp(io); process.exit(0); }