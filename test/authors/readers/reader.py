"""Reads header fields, one message after the other, with what Python has."""
import email, email.policy, json, sys
from email.header import decode_header, make_header
from email.utils import getaddresses, parseaddr


def legacy(raw, name):
    return email.message_from_bytes(raw).get_all(name) or []


def default(policy):
    def read(raw, name):
        m = email.message_from_bytes(raw, policy=policy)
        return [a.addr_spec for h in (m.get_all(name) or []) for a in h.addresses]
    return read


def decoded(values):
    return [str(make_header(decode_header(v))) for v in values]


READERS = {
    "python compat32 getaddresses": lambda raw, n: [a for _, a in getaddresses([str(v) for v in legacy(raw, n)])],
    "python compat32 parseaddr": lambda raw, n: [parseaddr(str(v))[1] for v in legacy(raw, n)],
    "python decoded, then getaddresses": lambda raw, n: [a for _, a in getaddresses(decoded(legacy(raw, n)))],
    "python decoded, then parseaddr": lambda raw, n: [parseaddr(v)[1] for v in decoded(legacy(raw, n))],
    "python policy.default": default(email.policy.default),
    "python policy.SMTP": default(email.policy.SMTP),
    "python policy.SMTPUTF8": default(email.policy.SMTPUTF8),
}

for line in sys.stdin:
    job = json.loads(line)
    raw, out = bytes.fromhex(job["raw"]), {}
    for reader, read in READERS.items():
        try:
            out[reader] = [a for a in read(raw, job["name"]) if a]
        except Exception:  # it refuses the header, or breaks at it: it names nobody
            out[reader] = None
    print(json.dumps(out))
