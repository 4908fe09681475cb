package milter_test

import (
	"io"
	"net"
	"testing"
	"time"

	"sallyport/internal/filter/milter"
)

// A ping tells a filter that negotiates from one that is not there, does not answer, or is
// none.
func TestPing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			text := <-answers
			if _, err := io.ReadFull(c, make([]byte, 17)); err == nil && text != "" { // what is offered: length, command, three words
				_, _ = io.WriteString(c, text)
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	l := milter.DefaultLimits()
	l.Time = 300 * time.Millisecond
	c := milter.New(milter.Options{Network: "tcp", Address: ln.Addr().String(), Limits: l})
	for text, good := range map[string]bool{"\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00": true, "220 mx.example ESMTP\r\n": false, "": false} {
		answers <- text
		if err := c.Ping(t.Context()); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	_ = ln.Close()
	if c.Ping(t.Context()) == nil {
		t.Error("nobody answers")
	}
}
