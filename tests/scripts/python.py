"""Builds and drops a few hundred thousand objects, on threads and in children."""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time

random.seed(7)


class Node:
    def __init__(self, key, children):
        self.key = key
        self.children = children
        self.text = str(key) * (key % 9)


def tree(depth, key=1):
    if depth == 0:
        return Node(key, [])
    return Node(key, [tree(depth - 1, key * 4 + i) for i in range(4)])


def total(node):
    return node.key % 1009 + len(node.text) + sum(total(child) for child in node.children)


def digest(seed, steps):
    """Work that allocates many sizes, small and large, and drops them out of order."""
    rng = random.Random(seed)
    held = {}
    h = hashlib.sha256()
    for step in range(steps):
        key = rng.randrange(500)
        if key in held:
            h.update(held.pop(key))
        else:
            size = rng.choice((1, 7, 24, 100, 900, 5_000, 70_000))
            held[key] = bytes([step % 251]) * size
    for key in sorted(held):
        h.update(held[key])
    return h.hexdigest()


print("tree", total(tree(8)))
print("tree again", total(tree(8, key=3)))

table = {i: ("v%d" % i, [i, i + 1.5]) for i in range(200_000)}
print("table", sum(len(v[0]) for v in table.values()), len(json.dumps(list(table.values()))))
del table

text = ""
for i in range(50_000):
    text += str(i)
print("text", hashlib.md5(text.encode()).hexdigest())

results = {}
threads = [
    threading.Thread(target=lambda seed=seed: results.__setitem__(seed, digest(seed, 20_000)))
    for seed in range(8)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for seed in sorted(results):
    print("thread", seed, results[seed])

# subprocess, while threads of ours allocate.
stop = threading.Event()


def churn():
    while not stop.is_set():
        [str(i) * 3 for i in range(1000)]
        time.sleep(0.001)


churners = [threading.Thread(target=churn) for _ in range(3)]
for churner in churners:
    churner.start()
for i in range(20):
    out = subprocess.run(
        [sys.executable, "-S", "-c", "print(sum(len(str(i)) for i in range(%d)))" % (i * 1000)],
        check=True,
        capture_output=True,
        text=True,
        # Anything here makes subprocess use fork in place of vfork.
        preexec_fn=(lambda: None) if i % 2 else None,
    )
    print("subprocess", i, out.stdout.strip())

# os.fork, with the same threads running: parent and child go on and do not see each other.
shared = [digest(100, 1000), bytearray(b"parent" * 100)]
for i in range(10):
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        shared[1][:] = b"child" * 100
        answer = digest(200 + i, 1000)
        os.write(write, answer.encode())
        os._exit(0 if shared[1] == b"child" * 100 else 1)
    os.close(write)
    shared.append(digest(300 + i, 1000))
    answer = b""
    while chunk := os.read(read, 4096):
        answer += chunk
    os.close(read)
    print("fork", i, os.waitpid(child, 0)[1], answer.decode(), shared[-1])
print("unchanged", shared[1] == b"parent" * 100)
stop.set()
for churner in churners:
    churner.join()
