#!/usr/bin/env bash
# packages: mailparser 3.14.2 (npm), Node.js 20
# behaviour: List-Unsubscribe holds URIs in angle brackets (RFC 2369), and mailparser hands them over as "list.unsubscribe". A
#   link with an address in it, as "…?of=someone@example.org", is taken for a mailbox: alone it stands as "mail", https and all,
#   and beside a mailto URI it is gone. A comma in it does no harm.
# usual guess: what stands between "<" and ">" is one URI, whose scheme says what it is; an "@" or a comma in it is a part of it.
# what follows: sallyport hands the field on as it is, and signs it where it signs: RFC 8058 has it under the signature.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund mailparser@3.14.2 >/dev/null 2>&1
cat >try.js <<'JS'
const { simpleParser } = require('mailparser')
async function main () {
  for (const field of [
    '<https://lists.example.net/u?id=4711>',
    '<https://lists.example.net/u?id=4711>, <mailto:leave@lists.example.net>',
    '<https://lists.example.net/u?of=someone@example.org>',
    '<https://lists.example.net/u?of=someone@example.org>, <mailto:leave@lists.example.net>',
    '<https://lists.example.net/u?id=47,11>, <mailto:leave@lists.example.net>'
  ]) {
    const letter = await simpleParser(`From: someone@example.org\r\nList-Unsubscribe: ${field}\r\n\r\nhello\r\n`)
    const list = letter.headers.get('list')
    console.log(`${field}\n  ${JSON.stringify(list && list.unsubscribe)}`)
  }
}
main()
JS
timeout 60 node try.js | tee out
diff out - <<'WANT'
<https://lists.example.net/u?id=4711>
  {"url":"https://lists.example.net/u?id=4711"}
<https://lists.example.net/u?id=4711>, <mailto:leave@lists.example.net>
  {"url":"https://lists.example.net/u?id=4711","mail":"leave@lists.example.net"}
<https://lists.example.net/u?of=someone@example.org>
  {"mail":"https://lists.example.net/u?of=someone@example.org"}
<https://lists.example.net/u?of=someone@example.org>, <mailto:leave@lists.example.net>
  {"mail":"leave@lists.example.net"}
<https://lists.example.net/u?id=47,11>, <mailto:leave@lists.example.net>
  {"url":"https://lists.example.net/u?id=47,11","mail":"leave@lists.example.net"}
WANT
