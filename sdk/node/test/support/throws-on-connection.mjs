// An app whose `connection` handler throws: used by adoption.test.js, because such an app ends.
import { Server } from "socket.io";
import { useTrunkline } from "../../dist/esm/index.js";

const io = new Server({ connectionStateRecovery: {} });
useTrunkline(io, { endpoint: process.argv[2] });
io.on("connection", () => {
  throw new Error("a fault in the app");
});
