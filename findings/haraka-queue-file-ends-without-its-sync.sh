#!/usr/bin/env bash
# packages: Haraka 3.1.1 (npm), Node.js 20
# behaviour: Haraka writes a message of its queue through a stream of its own, which syncs the file in
#   close(). A stream that is ended as Haraka ends it, by end(), is closed by Node without that
#   method: the file is whole and was never synced when the stream says that it is finished and closed. Called by hand,
#   close() raises a TypeError, since a stream of Node has "closed" as a getter now.
# usual guess: a class that is named FsyncWriteStream, and used for every file of a queue, syncs each of
#   them before the message is acknowledged.
# what follows: sallyport's benchmarks do not set a rate of Haraka's beside one of a server that
#   syncs without saying so: who syncs before his 250 is traced, and stands in the table.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
[[ $(node --version) == v20.* ]] || { echo "this needs Node.js 20" >&2; exit 1; }
npm install --ignore-scripts --no-audit --no-fund --omit=dev --omit=optional Haraka@3.1.1 >/dev/null 2>&1
cat >try.js <<'JS'
const fs = require('node:fs')
let syncs = 0
const fsync = fs.fsync
fs.fsync = (...all) => { syncs++; return fsync(...all) }
const Stream = require('Haraka/outbound/fsync_writestream')

const ended = new Stream('ended', { flags: 'wx' })
ended.on('close', () => {
  console.log(`ended: ${fs.statSync('ended').size} octets, ${syncs} syncs`)
  const closed = new Stream('closed', { flags: 'wx' })
  closed.on('open', () => {
    try {
      closed.close()
      console.log('closed by hand')
    } catch (err) {
      console.log(`closed by hand: ${err.name}`)
    }
  })
})
ended.write('Subject: hello\r\n\r\n')
ended.end('text\r\n')
JS
node try.js | tee out
grep -qx 'ended: 24 octets, 0 syncs' out
grep -qx 'closed by hand: TypeError' out
