#!/usr/bin/env bash
# packages: golang.org/x/crypto v0.59.0 (Go module)
# behaviour: argon2.IDKey with one lane computes in goroutines that it starts itself, one for each
#   segment of memory. What the caller does with its own thread misses the work: of the processor
#   time of a hash next to nothing is that of the locked thread that asked for it, so that a nice
#   value, a processor affinity or a thread clock of the caller's says nothing of the hash.
# usual guess: a pure computation with one lane runs where it was called.
# what follows: sallyport, which keeps hashes of guesses from holding up honest mail, gives them a
#   place in Go's scheduler beside all others and a share of time, instead of a thread that is
#   less urgent.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOPATH=$dir/go
cat >go.mod <<'MOD'
module try

go 1.25.0

require golang.org/x/crypto v0.59.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/crypto/argon2"
)

// spent is the processor time of the whole process, or of this thread.
func spent(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func main() {
	const thread = 1 // RUSAGE_THREAD
	runtime.LockOSThread()
	all, own := spent(syscall.RUSAGE_SELF), spent(thread)
	for range 5 {
		argon2.IDKey([]byte("a password"), []byte("sixteen octets!!"), 2, 64<<10, 1, 32)
	}
	all, own = spent(syscall.RUSAGE_SELF)-all, spent(thread)-own
	fmt.Printf("five hashes: more than 100 ms of the process: %v\n", all > 100*time.Millisecond)
	fmt.Printf("less than a fifth of it on the thread that asked: %v\n", own < all/5)
}
GO
go mod tidy >/dev/null 2>&1
go run . | tee out
grep -qx 'five hashes: more than 100 ms of the process: true' out
grep -qx 'less than a fifth of it on the thread that asked: true' out
