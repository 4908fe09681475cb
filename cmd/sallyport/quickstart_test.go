package main

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"testing"
)

// Whose ports are taken is told by which flag others are chosen.
func TestQuickstartBesideAnother(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	base := taken.Addr().(*net.TCPAddr).Port - 25 // mx listens 25 above it
	if base > mostBase {
		t.Skip("the kernel gave a port from which the others do not count on")
	}
	var out bytes.Buffer
	code := run([]string{"quickstart", "--dir", t.TempDir(), "--listen-base", strconv.Itoa(base)}, console{out: &out, err: &out})
	if code != exitWrong || !strings.Contains(out.String(), "stop it, or choose another port, with --listen-base") {
		t.Errorf("%d: %s", code, &out)
	}
}
