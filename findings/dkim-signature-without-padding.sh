#!/usr/bin/env bash
# packages: python3-dkim 1.1.4-1, python3-dnspython 2.3.0-1+deb12u1 (Debian 12)
# versions: dkimpy 1.1.4, dnspython 2.3.0
# behaviour: RFC 6376 §2.10 makes the "=" at the end of a base64string optional. dkimpy
#   refuses a DKIM-Signature whose b= or bh= has none ("value is not valid base64"), though
#   every octet that was signed is there and the same signature with the padding passes.
# usual guess: padding never matters to a verifier, so a signer may leave it out.
# what follows: sallyport writes the padding in what it signs, and reads both forms.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q python3-dkim=1.1.4-1 python3-dnspython=2.3.0-1+deb12u1 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
openssl genrsa -traditional -out key.pem 2048 2>/dev/null
openssl rsa -in key.pem -pubout -outform DER -out pub.der 2>/dev/null
cat >try.py <<'PY'
import base64, re
import dkim

key = open("key.pem", "rb").read()
record = b"v=DKIM1; p=" + base64.b64encode(open("pub.der", "rb").read())
message = b"From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"
signed = dkim.sign(message, b"s", b"example.org", key).decode() + message.decode()


def verdict(text):
    d = dkim.DKIM(text.encode())
    try:
        return "pass" if d.verify(dnsfunc=lambda name, timeout=5: record) else "fail"
    except dkim.DKIMException as e:
        return "%s: %s" % (type(e).__name__, e)


def bare(tag):
    # the value of the tag runs to a semicolon or to the end of the field
    head, rest = signed.split("\r\nFrom: ", 1)
    new = re.sub(r"(\b%s=[^;]*?)=+(?=\s*(;|$))" % tag, r"\1", head)
    assert new != head, "there was no padding"
    return new + "\r\nFrom: " + rest


print("dkimpy", __import__("importlib.metadata", fromlist=["version"]).version("dkimpy"))
print("with padding:     ", verdict(signed))
print("bh= without:      ", "differs from what was signed" if verdict(bare("bh")) == "fail" else verdict(bare("bh")))
print("b= without:       ", verdict(bare("b")))
PY
PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" python3 try.py | tee out
grep -qx 'dkimpy 1.1.4' out
grep -qx 'with padding:      pass' out
grep -q '^b= without: .*not valid base64' out
