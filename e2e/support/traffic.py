"""Requests to a URL, each on a new connection, until the file STOP is there; prints how many, and what went wrong."""
import json, os, sys, threading, time, urllib.request

url, stop = sys.argv[1:3]
sent, failures = [0], []
end = time.monotonic() + 240


def ask():
    while not os.path.exists(stop) and time.monotonic() < end:
        began = time.time()
        sent[0] += 1
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
        except Exception as error:
            at = time.strftime('%H:%M:%S', time.gmtime(began))
            failures.append(f'{at} after {time.time() - began:.2f} s: {error!r}')
        time.sleep(0.05)


threads = [threading.Thread(target=ask) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({'requests': sent[0], 'failures': failures}))
