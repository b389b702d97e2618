/** The name and version of this SDK in `Hello.sdk`; `test/package.test.js` keeps it equal to package.json. */
export const SDK = "@trunkline/socket.io/0.1.0";
