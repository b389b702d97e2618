// An app with passport: a user who logs in over HTTP is the same user on the socket.
import { negotiate, restorePassport, usePassport } from "@azure/web-pubsub-socket.io";
import express from "express";
import session from "express-session";
import passport from "passport";
import { serve } from "./serve.mjs";

const users = new Map([["7", { id: "7", name: "Ada" }]]);

serve((context) => {
  const { io } = context;
  passport.serializeUser((user, done) => done(null, user.id));
  passport.deserializeUser((id, done) => done(null, users.get(String(id)) ?? false));
  const app = express();
  app.use(session({ secret: "of the test", resave: false, saveUninitialized: false }));
  app.use(passport.initialize());
  app.use(passport.session());
  app.get("/login", (request, response, next) => {
    request.login(users.get(request.query.id), (error) => (error ? next(error) : response.json({ ok: true })));
  });
  app.get("/negotiate", negotiate(io, usePassport()));
  context.answer = app;

  const wrap = (middleware) => (socket, next) => middleware(socket.request, {}, next);
  io.use(wrap(restorePassport()));
  io.use(wrap(passport.initialize()));
  io.use(wrap(passport.session()));
  io.use((socket, next) => next(socket.request.user ? undefined : new Error("log in first")));
  io.on("connection", (socket) => socket.on("who am I", (done) => done(socket.request.user.name)));
});
