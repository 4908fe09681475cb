package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/port"
)

// started runs a floor until the test ends.
func started(t *testing.T) (addr, log string) {
	t.Helper()
	addr, log = port.Loopback(t), filepath.Join(t.TempDir(), "log")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, addr, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, log
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not listen")
	return "", ""
}

// records returns the messages of a log.
func records(t *testing.T, log string) (all []string) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint32(b))
		all, b = append(all, string(b[prefix:prefix+n])), b[prefix+n:]
	}
	return all
}

// Each acknowledged message is in the log once and whole, whoever else sent at the same time.
func TestWhatIsAcknowledgedIsInTheLog(t *testing.T) {
	addr, log := started(t)
	for _, size := range []int{1000, 40_000} {
		r, err := load.Run(context.Background(), load.Options{
			Addr: func() string { return addr }, Connections: 10, Messages: 100, Size: size, Prefix: fmt.Sprint("m", size),
			From: "a@local.test", To: []string{"b@local.test"}, Pipelining: size == 1000, PerConn: 7,
		})
		if err != nil || r.Acknowledged != 100 {
			t.Fatalf("%+v, %v", r, err)
		}
		found := map[string]int{}
		for _, m := range records(t, log) {
			if _, after, ok := strings.Cut(m, load.IDField); ok && len(m) == size {
				id, _, _ := strings.Cut(after, "\r\n")
				found[id]++
			}
		}
		for _, id := range r.Acks {
			if found[id] != 1 {
				t.Errorf("%s is in the log %d times", id, found[id])
			}
		}
	}
}

// However the octets of a session come, the messages are the same, without the dots that
// were doubled, and what follows a message is the next command.
func TestMessagesInAnyPieces(t *testing.T) {
	const wire = "EHLO x\r\nMAIL FROM:<>\r\nDATA\r\n..a\r\n.b\r\n\r\n...\r\nc.\r\n.\r\nDATA\r\n.\r\nDATA\r\n.x\r\n.\r\nQUIT\r\n"
	want := []string{".a\r\nb\r\n\r\n..\r\nc.\r\n", "", "x\r\n"}
	for _, piece := range []int{1, 2, 3, 5, 7, len(wire)} {
		addr, log := started(t)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for b := []byte(wire); len(b) > 0; b = b[min(piece, len(b)):] {
			if _, err := c.Write(b[:min(piece, len(b))]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Microsecond) // most pieces come by themselves
		}
		var all bytes.Buffer
		if _, err := all.ReadFrom(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if !strings.HasSuffix(all.String(), "354 go\r\n250 ok\r\n221 bye\r\n") {
			t.Errorf("pieces of %d: the answers end with %q", piece, all.String())
		}
		if got := records(t, log); !slices.Equal(got, want) {
			t.Errorf("pieces of %d: %q, want %q", piece, got, want)
		}
	}
}

// A log that fails once promises nothing any more, though later writes would succeed.
func TestAFailedLogPromisesNothing(t *testing.T) {
	g, err := create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	message := []byte("0000hello")
	if err := g.keep(message, done); err != nil {
		t.Fatal(err)
	}
	whole := g.f
	broken, err := os.Open(whole.Name()) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	g.f = broken
	if err := g.keep(message, done); err == nil {
		t.Error("what could not be written counts as kept")
	}
	g.f = whole
	if err := g.keep(message, done); err == nil {
		t.Error("a log that failed goes on")
	}
	if err := g.close(); err != nil {
		t.Error(err)
	}
	broken.Close()
}
