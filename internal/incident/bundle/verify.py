"""Checks that every fact in proofs.jsonl is in the log that checkpoint.txt is of.

Run it in the folder of the bundle, with Python 3 and nothing else. The signature of
checkpoint.txt is checked with openssl, as README.txt says. RFC 6962, section 2.1.1, and
RFC 9162, section 2.1.3.2, have the method.
"""
import base64
import hashlib
import json
import sys


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf, size, hash_, path):
    """The root that a path leads to; None: it is too long or too short for its leaf."""
    at, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            hash_ = node(sibling, hash_)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hash_ = node(hash_, sibling)
        at, last = at >> 1, last >> 1
    return None if last else hash_


def main():
    with open("checkpoint.txt", encoding="utf-8") as f:
        origin, size, root = f.read().split("\n")[:3]
    size, root = int(size), base64.b64decode(root)
    proven, bodies = {}, 0
    with open("proofs.jsonl", encoding="utf-8") as f:
        for line in f:
            p = json.loads(line)
            hash_ = base64.b64decode(p["hash"])
            if "fact" in p:
                body = base64.b64decode(p["fact"])
                if hashlib.sha256(b"\x00" + body).digest() != hash_:
                    sys.exit("WRONG: fact %d does not have its hash" % (p["leaf"] + 1))
                bodies += 1
            path = [base64.b64decode(h) for h in p["path"] or []]
            if not 0 <= p["leaf"] < size or root_of(p["leaf"], size, hash_, path) != root:
                sys.exit("WRONG: fact %d is not in the log" % (p["leaf"] + 1))
            proven[p["leaf"] + 1] = p.get("fact") and json.loads(body)
    for line in open("timeline.jsonl", encoding="utf-8"):
        e = json.loads(line)
        if e["seq"] not in proven:
            sys.exit("WRONG: fact %d of the timeline has no proof" % e["seq"])
        if proven[e["seq"]] and not e.get("part") and proven[e["seq"]] != e["fact"]:
            sys.exit("WRONG: fact %d of the timeline is not what was recorded" % e["seq"])
    print("%d facts are in the log %s of %d facts; %d were read whole" % (len(proven), origin, size, bodies))


if __name__ == "__main__":
    main()
