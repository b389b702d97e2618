// Loaded before each test file: one that hangs ends as a failure that says which test was running, and what kept the
// process alive.
import { argv, env } from "node:process";

if (env.NODE_TEST_CONTEXT !== undefined && argv[1]?.endsWith(".test.js")) {
  const { afterEach, beforeEach } = await import("node:test");
  const running = new Set();
  beforeEach((context) => running.add(context?.name));
  afterEach((context) => running.delete(context?.name));
  const giveUp = () => {
    const names = [...running].join(", ") || "none, all have ended";
    console.error(`${argv[1]} hangs. Running: ${names}. Open: ${process.getActiveResourcesInfo().join(", ")}`);
    process.exit(1);
  };
  setTimeout(giveUp, Number(env.FILE_LIMIT_MS)).unref();
}
