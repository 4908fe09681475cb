package named

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/mail"
)

// liar offers extensions and knows none of them. It keeps what it was told.
type liar struct {
	mu   sync.Mutex
	told []string
}

func (l *liar) serve(nc net.Conn, offers string) {
	in := bufio.NewReader(nc)
	fmt.Fprint(nc, "220 mx\r\n")
	for message := false; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		l.mu.Lock()
		l.told = append(l.told, line)
		l.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case message && line != ".":
			continue
		case verb == "EHLO":
			fmt.Fprintf(nc, "250-mx\r\n%s250 HELP\r\n", offers)
			continue
		case strings.Contains(line, "> "):
			fmt.Fprint(nc, "555 5.5.4 no parameters\r\n")
			continue
		case (verb == "MAIL" || verb == "RCPT") && in.Buffered() > 0:
			io.CopyN(io.Discard, in, int64(in.Buffered()))
			fmt.Fprint(nc, "250 ok\r\n503 5.5.1 one by one\r\n503 5.5.1 one by one\r\n")
			continue
		case verb == "BDAT":
			fmt.Fprint(nc, "500 5.5.1 what?\r\n")
			continue
		case verb == "DATA":
			fmt.Fprint(nc, "354 go\r\n")
			message = true
			continue
		}
		message = false
		fmt.Fprint(nc, "250 ok\r\n")
	}
}

func (l *liar) said(what string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.told {
		if strings.HasPrefix(line, what) {
			n++
		}
	}
	return n
}

// A next hop that does not do what it offers gets each message in the same attempt, without that, and the next
// ones at once so.
func TestOffersThatAreNotKept(t *testing.T) {
	for name, offers := range map[string]string{
		"chunks": "250-CHUNKING\r\n", "commands together": "250-PIPELINING\r\n", "parameters": "250-SIZE 100000\r\n250-DSN\r\n",
		"all of it": "250-CHUNKING\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250-DSN\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var l liar
			calls := make(chan int, 100)
			target := reach(t, place(raw(t, func(n int, nc net.Conn) { calls <- n; l.serve(nc, offers) })), means(t))
			for range 3 {
				j := job(t, "a@x.test", "b@x.test")
				j.Recipients[0].Notify = mail.NotifyFailure
				expect(t, j, target.Deliver(t.Context(), j), "250 250")
			}
			if n := l.said("DATA"); n < 3 || n > 4 {
				t.Errorf("%d messages for 3: %q", n, l.told)
			}
			if n := l.said("BDAT"); n > 1 {
				t.Errorf("BDAT was tried %d times", n)
			}
			if len(calls) > 4 {
				t.Errorf("%d connections", len(calls))
			}
		})
	}
}

// What a next hop falls silent over is not sent time and again.
func TestLateAttemptsGoStepByStep(t *testing.T) {
	for attempt, want := range map[int]int{1: 1, 2: 1, 3: 0, 9: 0} {
		var l liar
		target := reach(t, place(raw(t, func(_ int, nc net.Conn) { l.serve(nc, "250-CHUNKING\r\n") })), means(t))
		j := job(t, "a@x.test")
		j.Attempt = attempt
		expect(t, j, target.Deliver(t.Context(), j), "250")
		if n := l.said("BDAT"); n != want {
			t.Errorf("attempt %d: %d times BDAT", attempt, n)
		}
	}
}
