# A client of python-socketio, which prints what fleet.js prints. The library has a
# thread of its own for each message: their order is not the one in which they came.
# usage: python3 client.py BASE SESSION COOKIE USER
import json
import os
import sys
import threading

import socketio

base, session, cookie, user = sys.argv[1:]
client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=0.5, randomization_factor=0)


printing = threading.Lock()


def say(event, text=""):
    with printing:
        print(json.dumps({"event": event, "data": {"user": int(user), "text": text}}), flush=True)


client.on("connect", lambda: say("connect"))
client.on("disconnect", lambda: say("disconnect"))
client.on("n", lambda text: say("n", text))


def end_with_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
client.connect(f"{base}/?session={session}&connection=python-{user}", {"Cookie": cookie},
               transports=["websocket"], socketio_path="socket.io/appsuite", wait_timeout=30)
threading.Event().wait()
