// An app server that tells and asks the others something as soon as it is ready.
import { serve } from "./serve.mjs";

serve((context) => {
  const { io, trunkline, server } = context;
  context.notes = [];
  io.on("note", (name) => context.notes.push(name));
  io.on("question", (answer) => answer(server));
  const speak = async () => {
    await trunkline.ready;
    io.serverSideEmit("note", server);
    io.socketsJoin(server);
    const answers = await io.serverSideEmitWithAck("question");
    const joined = (await io.in(server).fetchSockets()).length;
    return { servers: await io.of("/").adapter.serverCount(), answers, joined };
  };
  context.early = speak();
});
