import { Server } from "socket.io"; import { useTrunkline } from "@trunkline/socket.io"; const own = new Server(); await useTrunkline(own).ready;
import { io } from "socket.io-client";
const socket = io("http://127.0.0.1:43103", { path: "/clients/socketio/hubs/default" });
{ const { afterClient } = await import("file:///work/wt/docs/e2e/docs/after.mjs"); await afterClient(socket); own.close(); }