"""Runs scripts inside a container, driven by JSON lines as e2e/attack/agent.py is: one exec for many scripts."""
import json, os, subprocess, sys, threading

OUT = threading.Lock()


def run(request):
    args = request["args"]
    try:
        ended = subprocess.run(
            ["sh", "-c", args["script"]],
            env={**os.environ, **args["env"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        result = {"status": ended.returncode, "output": ended.stdout.decode("utf-8", "replace")}
    except subprocess.TimeoutExpired:
        result = {"status": 124, "output": "not within 60 s"}
    with OUT:
        print(json.dumps({"id": request["id"], "result": result}), flush=True)


for text in sys.stdin:
    threading.Thread(target=run, args=(json.loads(text),), daemon=True).start()
os._exit(0)
