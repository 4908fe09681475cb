#!/usr/bin/env bash
# packages: gpg-wks-client 2.2.40-1.1+deb12u2 with libassuan0, libgpg-error0 and libgcrypt20, sq 0.27.0-2+b1 and what it depends on (Debian 12);
#   @openpgp/wkd-client 0.0.4 (npm), Node.js 20
# versions: GnuPG 2.2.40, Sequoia sq 0.27.0
# behaviour: a key lies in a Web Key Directory under a hash of the local-part in small letters. The draft maps the capitals of ASCII alone,
#   "non-ASCII characters are not changed". GnuPG, which makes the directories, does so. sq and wkd-client map all capitals: of
#   Łukasz@example.org and Ünal@example.org they ask for another name than GnuPG has put the key under, and there is none. Of
#   Joe.Doe@example.org, and of ünal@example.org, all three have the same.
# usual guess: two programs of the same draft, one of which quotes that sentence in its source, look for an address where it was put.
# what follows: sallyport finds an account whatever the capitals of its address; a key directory beside it does not. Whoever gives
#   out addresses beyond ASCII gives them in small letters: the keys of such accounts are found by each program.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund @openpgp/wkd-client@0.0.4 >/dev/null 2>&1
missing=$(apt-get install -s --no-install-recommends sq=0.27.0-2+b1 2>/dev/null | awk '$1 == "Inst" && $2 != "sq" { print $2 }')
# shellcheck disable=SC2086
apt-get download -q gpg-wks-client=2.2.40-1.1+deb12u2 libassuan0 libgpg-error0 libgcrypt20 sq=0.27.0-2+b1 $missing >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
cat >client.js <<'JS'
// The name under which the client looks: the last of the path.
globalThis.fetch = async url => {
  console.log(new URL(url).pathname.split('/').pop())
  process.exit()
}
const WKD = require('@openpgp/wkd-client')
new WKD().lookup({ email: process.argv[2] })
JS
GNUPGHOME=$dir/home
mkdir -m 700 "$GNUPGHOME"
LD_LIBRARY_PATH=$(find "$dir/root" -type d -name "$(uname -m)-linux-gnu" | paste -sd:)
export GNUPGHOME LD_LIBRARY_PATH LC_ALL=C.UTF-8
wks=root/usr/lib/gnupg/gpg-wks-client
{
	for address in Joe.Doe@example.org ünal@example.org Ünal@example.org Łukasz@example.org; do
		echo "$address"
		echo "  gpg-wks-client: $("$wks" --print-wkd-hash "$address" | cut -d' ' -f1)"
		echo "  sq:             $(root/usr/bin/sq wkd url "$address" | sed 's|.*/hu/||; s|?.*||')"
		echo "  wkd-client:     $(timeout 30 node client.js "$address")"
	done
} | tee out
diff out - <<'WANT'
Joe.Doe@example.org
  gpg-wks-client: iy9q119eutrkn8s1mk4r39qejnbu3n5q
  sq:             iy9q119eutrkn8s1mk4r39qejnbu3n5q
  wkd-client:     iy9q119eutrkn8s1mk4r39qejnbu3n5q
ünal@example.org
  gpg-wks-client: 17e1m4epa5jnbwgknamwfzfcxeqf5uf5
  sq:             17e1m4epa5jnbwgknamwfzfcxeqf5uf5
  wkd-client:     17e1m4epa5jnbwgknamwfzfcxeqf5uf5
Ünal@example.org
  gpg-wks-client: 58tfgg3tkjyowum178icfn1369nnypk9
  sq:             17e1m4epa5jnbwgknamwfzfcxeqf5uf5
  wkd-client:     17e1m4epa5jnbwgknamwfzfcxeqf5uf5
Łukasz@example.org
  gpg-wks-client: g5kbz4opwppd6fejru8wgdhd5k4jmaeo
  sq:             gj6bkgrcanhed6pq3y9d4y7mibkcrf3h
  wkd-client:     gj6bkgrcanhed6pq3y9d4y7mibkcrf3h
WANT
