export { Log } from "../../testing/log.mjs";
