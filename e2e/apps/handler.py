"""An event handler of a hub in serverless mode, as a user would write it with FastAPI; its events say what it shall do.

HANDLER_KEY is the hub's key, the first argument the port (0 takes any; it is printed), the second, if any, a file with
a certificate and its private key: then it speaks https.
"""

import asyncio
import hashlib
import hmac
import json
import os
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse

KEY = os.environ["HANDLER_KEY"].encode()
app = FastAPI()
# What came, in order; and what to do instead of answering as usual.
seen = []
mode = {"allow": "*", "status": None}
trapped = []
failures_left = {"flaky": 2}


def signed(headers):
    wanted = "sha256=" + hmac.new(KEY, headers["ce-connectionid"].encode(), hashlib.sha256).hexdigest()
    return wanted in headers["ce-signature"].lower().split(",")


def parse(packet):
    """42[/ns,][id][name, args...] -> namespace, id or None, name, args"""
    assert packet.startswith("42"), packet
    rest, namespace = packet[2:], "/"
    if rest.startswith("/"):
        namespace, rest = rest.split(",", 1)
    at = rest.index("[")
    name, *arguments = json.loads(rest[at:])
    return namespace, int(rest[:at]) if at else None, name, arguments


def ack(namespace, id, *arguments):
    prefix = "" if namespace == "/" else namespace + ","
    return PlainTextResponse(f"43{prefix}{id}{json.dumps(list(arguments))}")


@app.options("/events/{event}")
async def allow(request: Request):
    if mode["allow"] is None:
        return Response(status_code=200)
    return Response(status_code=200, headers={"WebHook-Allowed-Origin": mode["allow"]})


@app.post("/events/{event}")
async def handle(event: str, request: Request):
    body = (await request.body()).decode()
    headers = request.headers
    note = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    note.update(path=event, signed=signed(headers), origin=headers["webhook-request-origin"], body=body)
    note["content-type"] = headers["content-type"]
    seen.append(note)
    if mode["status"]:
        return Response(status_code=mode["status"])
    if note["type"] == "azure.webpubsub.sys.connect":
        return connect(json.loads(body))
    if note["type"].startswith("azure.webpubsub.sys."):
        return Response(status_code=200)
    return await user_event(event, body)


def connect(body):
    wish = body.get("auth", {}).get("wish")
    if wish == "refuse":
        return PlainTextResponse("not you", status_code=403)
    if wish == "refuse with data":
        return JSONResponse({"message": "pay first", "data": {"price": 3}}, status_code=402)
    if wish == "break":
        return Response(status_code=500)
    return Response(status_code=204)


async def user_event(event, body):
    namespace, id, name, arguments = parse(body)
    assert name == event, (name, event)
    if name == "echo":
        return ack(namespace, id, *arguments)
    if name == "twice":  # Two packets: one event for the client, and the acknowledgement.
        return PlainTextResponse(f'42["said",{json.dumps(arguments[0])}]\x1e43{id}["done"]')
    if name == "slow":
        await asyncio.sleep(arguments[0] / 1000)
        return ack(namespace, id, "slow")
    if name == "flaky":
        failures_left["flaky"] -= 1
        return Response(status_code=503) if failures_left["flaky"] >= 0 else ack(namespace, id, "at last")
    if name == "broken":
        return Response(status_code=500)
    if name == "forbidden":
        return Response(status_code=403)
    if name == "elsewhere":
        return RedirectResponse("/trap", status_code=307)
    if name == "huge":
        return PlainTextResponse("43" + str(id) + json.dumps(["x" * 2_000_000]))
    if name == "nonsense":
        return PlainTextResponse("no packet at all")
    if name == "goodbye":
        return PlainTextResponse("41")
    return Response(status_code=204)


@app.api_route("/trap", methods=["GET", "POST", "OPTIONS"])
async def trap(request: Request):
    trapped.append(request.method)
    return Response(status_code=200, headers={"WebHook-Allowed-Origin": "*"})


@app.get("/seen")
async def look():
    return {"seen": seen, "trapped": trapped}


@app.post("/mode")
async def change(request: Request):
    mode.update(await request.json())
    return {}


if __name__ == "__main__":
    # Of TCP by name: only then asyncio switches the delay of small writes off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    certificate = sys.argv[2] if len(sys.argv) > 2 else None
    config = uvicorn.Config(app, log_level="warning", access_log=False, ssl_certfile=certificate, ssl_keyfile=certificate)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
