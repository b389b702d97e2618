// An app that issues tokens: its clients ask it for the address and the token.
import express from "express";
import { negotiate } from "@azure/web-pubsub-socket.io";
import { serve } from "./serve.mjs";

serve((context) => {
  const { io, note } = context;
  const app = express();
  app.get(
    "/negotiate",
    negotiate(io, async (request) => ({
      userId: request.query.user,
      expirationTimeInMinutes: Number(request.query.minutes ?? 60),
    })),
  );
  context.answer = app;
  io.on("connection", (socket) => note("connection", { id: socket.id, claims: socket.request.claims }));
});
