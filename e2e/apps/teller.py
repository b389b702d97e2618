"""Says numbers to the app that is deployed, and listens to its broadcasts, with python-socketio's client.

usage: teller.py URL CLIENT_NUMBER TRANSPORT...

Prints {"connected": true} once, and, when its standard input ends, what it saw as one line of JSON: `said`, pairs of a
number and its outcome, and `heard`, lists of numbers by "LIFE SERVER".
"""

import json
import sys
import threading

import socketio

SAY_EVERY_S = 0.1
ANSWER_WITHIN_S = 5


def main(url, number, transports):
    client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1, request_timeout=ANSWER_WITHIN_S)
    said, heard, life = [], {}, 0
    lock = threading.Lock()
    over = threading.Event()

    @client.event
    def connect():
        nonlocal life
        with lock:
            life += 1

    @client.on("news")
    def news(server, count):
        with lock:
            heard.setdefault(f"{life} {server}", []).append(count)

    client.connect(url, transports=transports, auth={"client": number}, wait_timeout=4 * ANSWER_WITHIN_S)
    print(json.dumps({"connected": True}), flush=True)

    def say():
        while not over.wait(SAY_EVERY_S):
            if not client.connected:
                continue
            entry = [len(said), "failed"]
            said.append(entry)
            try:
                client.call("say", entry[0], timeout=ANSWER_WITHIN_S)
                entry[1] = "acked"
            except Exception:  # It was not connected any more, or nothing came in time.
                pass

    speaker = threading.Thread(target=say)
    speaker.start()
    sys.stdin.read()
    over.set()
    speaker.join(ANSWER_WITHIN_S + 1)
    with lock:
        print(json.dumps({"said": said, "heard": heard, "life": life}), flush=True)
    client.disconnect()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
