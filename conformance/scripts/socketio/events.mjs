// Events from the client, as the app gets them and as they come back.
export const table = {
  "no arguments": '42["echo"]',
  "every JSON type": '42["echo",1,-1.5e3,"s",true,null,[],{},{"a":[{"b":null}]}]',
  "an empty name": '42["",1]',
  "a number as the name": "42[7,1]",
  "unicode in the name": '42["grüße",1]',
  "white space around": '42 [ "echo" , 1 ] ',
  "keys that look like prototypes": '42["echo",{"__proto__":{"x":1},"constructor":2}]',
  "large numbers": '42["echo",9007199254740993,1e400]',
  "escaped text": '42["echo","\\u00fc\\n\\"\\\\"]',
  "lone surrogate": '42["echo","\\ud800"]',
  "many arguments": `42${JSON.stringify(["echo", ...Array(100).keys()])}`,
  "duplicate keys": '42["echo",{"a":1,"a":2}]',
};

export async function run(t, packet) {
  const ws = await t.direct({ join: true });
  ws.text(packet);
  t.log("server", await ws.text('42["echo","end"]').next());
}
