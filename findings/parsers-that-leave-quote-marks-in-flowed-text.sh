#!/usr/bin/env bash
# packages: postal-mime 4.0.0, emailjs-mime-parser 2.0.7, mailparser 3.14.2 (npm), Node.js 20
# behaviour: in format=flowed a quoted paragraph has the quote mark before each of its lines, and who joins the lines takes the marks
#   away before (RFC 3676 section 4.5); a line that is quoted never flows into one that is not. postal-mime and
#   emailjs-mime-parser join whatever follows a blank at the end: "> a long question > that goes on here", and the answer below
#   ends up behind the quote mark, as if the other had written it. mailparser joins as the RFC has it.
# usual guess: who offers to unfold flowed text has tried it with an answer, since answers are what most flowed mail is; and the newer
#   of two parsers of one author does what the older does.
# what follows: sallyport hands messages on as they are. An answer that is on file as one long quotation was read by such a library;
#   source and BODY[] have it right.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund postal-mime@4.0.0 emailjs-mime-parser@2.0.7 mailparser@3.14.2 >/dev/null 2>&1
printf '%s\r\n' 'From: ann@example.org' 'Subject: x' 'MIME-Version: 1.0' 'Content-Type: text/plain; charset=us-ascii; format=flowed' '' \
	'> a long question ' '> that goes on here ' 'my answer, which is ' 'long as well' >letter
cat >mailparser.js <<'JS'
require('mailparser').simpleParser(require('fs').readFileSync('letter')).then(m => console.log(m.text.trimEnd()))
JS
cat >postal-mime.mjs <<'JS'
import fs from 'node:fs'
import PostalMime from 'postal-mime'
console.log((await PostalMime.parse(fs.readFileSync('letter'))).text.trimEnd())
JS
cat >emailjs.js <<'JS'
console.log(Buffer.from(require('emailjs-mime-parser').default(require('fs').readFileSync('letter')).content).toString().trimEnd())
JS
{
	echo mailparser
	timeout 30 node mailparser.js
	echo postal-mime
	timeout 30 node postal-mime.mjs
	echo emailjs-mime-parser
	timeout 30 node emailjs.js
} | tee out
diff out - <<'WANT'
mailparser
> a long question that goes on here 
my answer, which is long as well
postal-mime
> a long question > that goes on here my answer, which is long as well
emailjs-mime-parser
> a long question > that goes on here my answer, which is long as well
WANT
