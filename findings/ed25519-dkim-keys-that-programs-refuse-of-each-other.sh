#!/usr/bin/env bash
# packages: rspamd 3.4-1 and what it depends on, python3-dkim 1.1.4-1, python3-dnspython 2.3.0-1+deb12u1,
#   python3-nacl 1.5.0-2 (Debian 12); openssl, which is there
# versions: Rspamd 3.4, dkimpy 1.1.4, OpenSSL 3.0
# behaviour: a DKIM key of the type Ed25519 is a file of another form with each program that makes it:
#   of rspamadm the base64 of 64 octets (seed and public key), of dkimpy the base64 of 32 octets (the
#   seed), of OpenSSL a PEM file of PKCS #8. rspamadm signs with its own and dkimpy's, dkimpy with its own alone,
#   and what reads the third reads neither of the two.
# usual guess: a key moves from one signer to the next as RSA keys do, whose PEM files all of them read.
# what follows: 'sallyport dkim import' takes all three.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
missing=$(apt-get install -s --no-install-recommends rspamd=3.4-1 2>/dev/null | awk '$1 == "Inst" && $2 != "rspamd" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q rspamd=3.4-1 $missing python3-dkim=1.1.4-1 python3-dnspython=2.3.0-1+deb12u1 python3-nacl=1.5.0-2 python3-cffi-backend >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
so=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:):$dir/root/usr/lib/rspamd
rspamadm() { LD_LIBRARY_PATH=$so timeout 60 "$dir/root/usr/bin/rspamadm" --var=LUALIBDIR="$dir/root/usr/share/rspamd/lualib" --var=SHAREDIR="$dir/root/usr/share/rspamd" "$@"; }
export PYTHONPATH=$dir/root/usr/lib/python3/dist-packages

rspamadm dkim_keygen -t ed25519 -s s -d example.org -k rspamadm.key >/dev/null
/usr/bin/python3 -m dkim.dknewkey --ktype ed25519 dkimpy 2>/dev/null
openssl genpkey -algorithm ed25519 -out openssl.key
printf 'From: someone@example.org\r\nSubject: x\r\n\r\nhello\r\n' >message
cat >sign.py <<'PY'
import sys
import dkim

try:
    dkim.sign(open("message", "rb").read(), b"s", b"example.org", open(sys.argv[1], "rb").read(), signature_algorithm=b"ed25519-sha256", include_headers=[b"from"])
    print("reads")
except Exception:
    print("refuses")
PY
says() { if "$@" >said 2>&1; then echo reads; else echo refuses; fi; }
{
	for key in rspamadm dkimpy openssl; do
		echo "$key writes octets: $(grep -v -- --- $key.key | base64 -d | wc -c)"
		echo "  of it rspamadm $(says rspamadm mime sign -d example.org -s s -k $key.key -o signature message), dkimpy $(/usr/bin/python3 sign.py $key.key), openssl $(says openssl pkey -in $key.key -noout)"
	done
} | tee out
diff out - <<'WANT'
rspamadm writes octets: 64
  of it rspamadm reads, dkimpy refuses, openssl refuses
dkimpy writes octets: 32
  of it rspamadm reads, dkimpy reads, openssl refuses
openssl writes octets: 48
  of it rspamadm refuses, dkimpy refuses, openssl reads
WANT
