#!/usr/bin/env bash
# packages: github.com/klauspost/compress v1.20.4 (Go module)
# behaviour: flate.StatelessWriter keeps nothing between its writes, which is what a server wants
#   for COMPRESS=DEFLATE (RFC 4978) with many connections at rest. One Write of a short line
#   arrives at what is underneath as five: the last ones are the empty block that ends it. Over
#   TLS each of them is a record of its own, and the client is woken for each, by the last ones
#   without an octet to read.
# usual guess: one Write is one Write.
# what follows: sallyport gathers what one answer comes to before it goes to TLS, so that a client
#   that idles is woken once for each answer, and by octets that hold a line.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOPATH=$dir/go
cat >go.mod <<'MOD'
module try

go 1.24

require github.com/klauspost/compress v1.20.4
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

type counted struct {
	bytes.Buffer
	sizes []int
}

func (c *counted) Write(p []byte) (int, error) {
	c.sizes = append(c.sizes, len(p))
	return c.Buffer.Write(p)
}

func main() {
	var c counted
	w := flate.NewStatelessWriter(&c)
	n, err := w.Write([]byte("* 4 EXISTS\r\n"))
	fmt.Println("given in one Write:", n, err)
	fmt.Println("arrives in writes: ", len(c.sizes))
	text := make([]byte, n)
	_, err = io.ReadFull(flate.NewReader(&c.Buffer), text)
	fmt.Printf("reads back as:      %q %v\n", text, err)
}
GO
go run . | tee out
grep -qx 'given in one Write: 12 <nil>' out
grep -qx 'arrives in writes:  5' out
grep -qxF 'reads back as:      "* 4 EXISTS\r\n" <nil>' out
