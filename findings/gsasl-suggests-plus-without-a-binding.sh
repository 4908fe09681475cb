#!/usr/bin/env bash
# packages: libgsasl18 2.2.0-1+deb12u2 with libgssglue1, libidn12, libntlm0 (Debian 12)
# versions: GNU SASL 2.2.0
# behaviour: asked which mechanism of a server's list a client should take, the library names
#   SCRAM-SHA-256-PLUS although the program gave it no channel binding and no callback that could.
#   The exchange then ends before its first message, and no other mechanism is named. EXTERNAL is
#   suggested to nobody, and neither is ANONYMOUS.
# usual guess: -PLUS is suggested only where a binding is at hand, so that a server may offer it to
#   all (RFC 5802 section 6 has a client without a binding use the mechanism without it).
# what follows: sallyport offers SCRAM-SHA-256-PLUS only where auth.mechanisms names it, and
#   docs/clients.md says that mutt and NeoMutt, which are built on this library, then give up.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -q libgsasl18=2.2.0-1+deb12u2 libgssglue1 libidn12 libntlm0 >/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
cat >try.py <<'PY'
import ctypes

lib = ctypes.CDLL("libgsasl.so.18")
for f in ("gsasl_check_version", "gsasl_client_suggest_mechanism", "gsasl_strerror_name"):
    getattr(lib, f).restype = ctypes.c_char_p
print("GNU SASL", lib.gsasl_check_version(None).decode())
ctx = ctypes.c_void_p()
assert lib.gsasl_init(ctypes.byref(ctx)) == 0
for offered in (b"SCRAM-SHA-256 PLAIN", b"SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN", b"EXTERNAL PLAIN", b"ANONYMOUS LOGIN"):
    print(offered.decode(), "->", lib.gsasl_client_suggest_mechanism(ctx, offered).decode())

AUTHID, PASSWORD = 1, 3
for mechanism in (b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS"):
    session, out, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    assert lib.gsasl_client_start(ctx, mechanism, ctypes.byref(session)) == 0
    lib.gsasl_property_set(session, AUTHID, b"someone")
    lib.gsasl_property_set(session, PASSWORD, b"a password")
    rc = lib.gsasl_step(session, None, ctypes.c_size_t(0), ctypes.byref(out), ctypes.byref(size))
    print(mechanism.decode(), "first message:", lib.gsasl_strerror_name(rc).decode())
PY
LD_LIBRARY_PATH=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:) python3 try.py | tee out
diff - out <<'WANT'
GNU SASL 2.2.0
SCRAM-SHA-256 PLAIN -> SCRAM-SHA-256
SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN -> SCRAM-SHA-256-PLUS
EXTERNAL PLAIN -> PLAIN
ANONYMOUS LOGIN -> LOGIN
SCRAM-SHA-256 first message: GSASL_NEEDS_MORE
SCRAM-SHA-256-PLUS first message: GSASL_NO_CB_TLS_EXPORTER
WANT
