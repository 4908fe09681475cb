# Signs and verifies with dkimpy: reads one JSON task a line, answers one a line.
import json, sys
import dkim

keys = json.loads(sys.stdin.readline())
secrets = {k: v.encode() for k, v in keys["secrets"].items()}
records = {k.encode() + b".": v.encode() for k, v in keys["records"].items()}


def dns(name, timeout=5):
    return records.get(name)


for line in sys.stdin:
    task = json.loads(line)
    message = task["message"].encode("latin-1")
    if task["do"] == "sign":
        header, body = task["canon"].split("/")
        out = dkim.sign(message, task["selector"].encode(), b"example.test", secrets[task["selector"]],
                        canonicalize=(header.encode(), body.encode()), signature_algorithm=task["algorithm"].encode()).decode("latin-1")
    else:
        out = []
        for i in range(task["signatures"]):
            try:
                out.append(bool(dkim.DKIM(message).verify(idx=i, dnsfunc=dns)))
            except dkim.DKIMException:
                out.append(False)
    print(json.dumps(out), flush=True)
