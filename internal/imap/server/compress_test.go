package server_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
)

// A session that is compressed goes on as it was; what is no compressed octet ends it.
func TestCompress(t *testing.T) {
	w := newWorld(t)
	if lines := w.dial().do("COMPRESS DEFLATE"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("before sign-in: %q", lines)
	}
	c := w.login()
	if lines := c.do("COMPRESS GZIP"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("another form: %q", lines)
	}
	c.ok("COMPRESS DEFLATE")
	deflate, err := flate.NewWriter(c.conn, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	in := flate.NewReader(c.conn)
	say := func(text, want string) {
		t.Helper()
		if _, err := deflate.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := deflate.Flush(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		buf := make([]byte, 4096)
		for !strings.Contains(string(got), want) {
			if err := c.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := in.Read(buf)
			if got = append(got, buf[:n]...); err != nil {
				t.Fatalf("%q instead of %q: %v", got, want, err)
			}
		}
	}
	say("c APPEND INBOX {27+}\r\nSubject: x\r\n\r\n"+strings.Repeat("y", 13)+"\r\n", "c OK")
	say("d SELECT INBOX\r\n", "d OK")
	say("e FETCH 1 BODY[]\r\n", strings.Repeat("y", 13))
	say("f COMPRESS DEFLATE\r\n", "f NO [COMPRESSIONACTIVE]")
	say("g IDLE\r\n", "+ idling")
	say("DONE\r\n", "g OK")
	if _, err := c.conn.Write([]byte("\xff\xff\xff\xffh NOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(in); strings.Contains(string(b), "h OK") {
		t.Errorf("%q, %v", b, err)
	}
}

// What follows COMPRESS before its answer is in neither form, and ends the connection.
func TestCompressWithMoreBehindIt(t *testing.T) {
	c := newWorld(t).login()
	c.send("a COMPRESS DEFLATE\r\nb NOOP\r\n")
	if line := c.read(); !strings.HasPrefix(line, "a BAD") {
		t.Errorf("%q", line)
	}
	if line, err := c.next(); err == nil {
		t.Errorf("it goes on: %q", line)
	}
}
