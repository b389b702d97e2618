// Socket.IO packets that cannot be decoded or come at the wrong time: the app's error, the reason, the end of the
// session.
export const table = {
  "no packet type": ["4"],
  "unknown packet type": ["47"],
  "packet type a letter": ["4x"],
  "JSON cut off": ['42["a",'],
  "JSON with something behind": ['42["a"]x'],
  "a NUL in the JSON": ['42["a","\x00"]'],
  "event that is not a list": ['42{"a":1}'],
  "event that is an empty list": ["42[]"],
  "event without a name": ["42[{}]"],
  "event without a payload": ["42"],
  "event with null as name": ["42[null]"],
  "ack that is not a list": ['431{"a":1}'],
  "ack without an id": ['43["a"]'],
  "disconnect with a payload": ['41{"a":1}'],
  "connect error from the client": ['44{"message":"x"}'],
  "second connect": ["40"],
  "reserved name connect": ['42["connect"]'],
  "reserved name connect_error": ['42["connect_error"]'],
  "reserved name disconnect": ['42["disconnect"]'],
  "reserved name disconnecting": ['42["disconnecting"]'],
  "reserved name newListener": ['42["newListener"]'],
  "reserved name removeListener": ['42["removeListener"]'],
  "event of a namespace not joined": ['42/admin,["a"]'],
  "attachments not a number": ['45x-["a"]'],
  "attachments negative": ['45-1-["a"]'],
  "attachments zero": ['450-["a",1]'],
  "attachments a fraction": ['451.5-["a"]'],
  "attachments without the dash": ['451["a"]'],
  "too many attachments": ['4511-["a"]'],
  "far too many attachments": ['45999999999-["a"]'],
  "text where an attachment is due": ['451-["a",{"_placeholder":true,"num":0}]', '42["b"]'],
  "attachment nobody waits for": [Buffer.from([1, 2])],
  "attachment in base64 nobody waits for": ["bAQID"],
  "placeholder out of range": ['451-["a",{"_placeholder":true,"num":1}]', Buffer.from([1])],
  "placeholder negative": ['451-["a",{"_placeholder":true,"num":-1}]', Buffer.from([1])],
  "placeholder not a number": ['451-["a",{"_placeholder":true,"num":"x"}]', Buffer.from([1])],
  "one attachment too many": ['451-["a",{"_placeholder":true,"num":0}]', Buffer.from([1]), Buffer.from([2])],
};

export async function run(t, packets) {
  const ws = await t.direct({ join: true });
  ws.together(() => {
    for (const packet of packets) typeof packet === "string" ? ws.text(packet) : ws.binary(packet);
    ws.text('42["echo","alive"]');
  });
  for (let line = ""; line !== "end" && !line.includes("alive"); ) {
    line = await ws.next();
    t.log("server", line);
    if (line.startsWith("close")) ws.close();
  }
}
