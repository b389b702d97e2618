/** Compiled, never run: a typed `Server` passes through `useTrunkline`, and the public types say what they should. */
import { Server } from "socket.io";
import { TrunklineError, useTrunkline, type TrunklineOptions, type TrunklineStats } from "../../src/index.js";

interface FromClient {
  hello: (name: string, done: (answer: number) => void) => void;
}
interface ToClient {
  news: (text: string) => void;
}
interface Between {
  ping: () => void;
}
interface Data {
  user: string;
}

const io = new Server<FromClient, ToClient, Between, Data>();
const options: TrunklineOptions = { endpoint: ["http://a", "http://b"], hub: "h", key: "k" };
const trunkline = useTrunkline(io, options);
useTrunkline(new Server());

export const ready: Promise<void> = trunkline.ready;
export const stats: TrunklineStats = trunkline.stats;
trunkline.on("error", (error) => {
  if (error instanceof TrunklineError) console.log(error.status);
});
trunkline.on("connect", ({ node }) => console.log(node));

// @ts-expect-error unknown option
useTrunkline(io, { endpont: "x" });
// @ts-expect-error no server
useTrunkline({});
io.on("connection", (socket) => {
  // @ts-expect-error the server's own types still hold
  socket.emit("unknown");
});
