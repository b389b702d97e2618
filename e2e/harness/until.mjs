export * from "../../testing/wait.mjs";
