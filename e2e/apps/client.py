"""Drives the capabilities app with python-socketio's client, and prints what it saw as one line of JSON.

usage: client.py URL TRANSPORT...
"""

import json
import sys
import threading

import socketio

WITHIN_S = 20


def main(url, transports):
    client = socketio.Client(reconnection=False)
    seen = {}
    heard = {name: threading.Event() for name in ("repeat", "question", "club", "bytes", "disconnect")}

    @client.on("repeat")
    def repeat(*values):
        seen["repeat"] = values
        heard["repeat"].set()

    @client.on("question")
    def question(value):
        heard["question"].set()
        return {"twice": value * 2}

    @client.on("club")
    def club(what):
        seen["club"] = what
        heard["club"].set()

    @client.on("bytes")
    def received(value):
        seen["bytes"] = [isinstance(value["bytes"], bytes), list(value["bytes"])]
        heard["bytes"].set()

    @client.event
    def disconnect(*reason):
        heard["disconnect"].set()

    def wait(name):
        if not heard[name].wait(WITHIN_S):
            raise RuntimeError(f"never came: {name}")

    client.connect(url, transports=transports, auth={"token": "python"}, namespaces=["/", "/static"], wait_timeout=WITHIN_S)
    seen["transport"] = client.transport()
    seen["id"] = client.get_sid("/")

    seen["echo"] = client.call("echo", ("ünïcödé 🚂", [1, {"two": None}]), timeout=WITHIN_S)
    seen["namespace"] = client.call("echo", "in /static", namespace="/static", timeout=WITHIN_S)
    client.emit("repeat", ("a", 1, [True, None]))
    wait("repeat")

    blob = bytes(range(256)) * 100
    answer = client.call("echo", {"blob": blob, "list": [b"\x00\xff", "text"]}, timeout=WITHIN_S)
    seen["binary"] = answer == {"blob": blob, "list": [b"\x00\xff", "text"]}

    seen["joined"] = client.call("join", "club", timeout=WITHIN_S)
    # The test now asks the question, speaks to the room, sends bytes, and disconnects us.
    print(json.dumps({"ready": seen["id"]}), flush=True)
    for name in ("question", "club", "bytes", "disconnect"):
        wait(name)
    print(json.dumps(seen), flush=True)


main(sys.argv[1], sys.argv[2:])
