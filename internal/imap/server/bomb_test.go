package server_test

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// most returns the most octets of objects that there were while a command is answered, beyond those
// before it.
func most(t *testing.T, command func()) int64 {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	heap := func() int64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	debug.FreeOSMemory()
	before, top, done := heap(), int64(0), make(chan struct{})
	go func() { defer close(done); command() }()
	for {
		select {
		case <-done:
			return top - before
		case <-time.After(time.Millisecond):
			top = max(top, heap())
		}
	}
}

// pour gives a command, reads all that it is answered with, and returns how much that is and how it ends.
func (c *client) pour(command string) (octets int, last string) {
	c.send("t9999 " + command + "\r\n")
	var tail []byte
	for buf := make([]byte, 16<<10); !strings.Contains(string(tail), "\r\nt9999 "); {
		n, err := c.in.Read(buf)
		if octets += n; err != nil {
			return octets, err.Error()
		}
		tail = append(tail, buf[:n]...)
		tail = append([]byte(nil), tail[max(0, len(tail)-100):]...)
	}
	return octets, string(tail)
}

// Somebody who asks for the same header in hundreds of pieces, or looks for thousands of words at
// once, has the server hold one piece, and the text once.
func TestNoCommandIsHeldInMemoryMoreThanOnce(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "X-Field-%d: %s\n", i, strings.Repeat("x", 900))
	}
	c.append("INBOX", "", b.String()+"\n"+strings.Repeat("words of no meaning\n", 4000)+"the end\n")
	c.ok("SELECT INBOX")

	var items []string
	for i := range 450 {
		items = append(items, fmt.Sprintf("BODY.PEEK[HEADER.FIELDS.NOT (Y%d)]", i))
	}
	var all int
	var last string
	got := most(t, func() { all, last = c.pour("FETCH 1 (UID " + strings.Join(items, " ") + " FLAGS)") })
	if all < 450*180_000 || !strings.Contains(last, " FLAGS (\\Recent))\r\nt9999 OK") {
		t.Errorf("%d octets came, which end with %q", all, last)
	}
	if got > 32<<20 {
		t.Errorf("%d MiB were held for %d MiB of pieces", got>>20, all>>20)
	}

	keys := strings.Repeat("BODY end ", 1900)
	got = most(t, func() {
		if lines := c.ok("SEARCH " + strings.TrimSpace(keys)); lines[0] != "* SEARCH 1" {
			t.Errorf("found: %q", lines)
		}
	})
	if got > 32<<20 {
		t.Errorf("%d MiB were held to look for words", got>>20)
	}
}

// What a client says stands in no log, and no command of his writes into it.
func TestNoCommandWritesTheLog(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.append("INBOX", "", "Subject: x\n\nx\n")
	c.ok("SELECT INBOX")
	before := len(w.log.String())
	word := strings.Repeat("keyword", 20_000)
	for _, command := range []string{
		"STORE 1 +FLAGS (" + word + ")", "APPEND INBOX (" + word + ") {1+}\r\nx",
		"CREATE \"" + strings.Repeat("a/", 30) + "\"", "STATUS " + word + " (MESSAGES)",
		"SELECT \"x\u0001y\"",
		"COPY 1 " + word, "FETCH 1 BODY[" + strings.Repeat("1.", 40) + "1]", "SEARCH KEYWORD " + word,
	} {
		lines := c.do(command)
		if last := lines[len(lines)-1]; strings.Contains(last, "SERVERBUG") || strings.Contains(last, "keywordkeyword") {
			t.Errorf("%.40q: %.200s", command, last)
		}
	}
	if log := w.log.String()[before:]; log != "" {
		t.Errorf("the log has %d octets: %.300s", len(log), log)
	}
}
