package server_test

import (
	"strings"
	"testing"
)

// What came before IDLE is told in the same write as that the server idles: Thunderbird does not hear what
// comes between that line and its own waiting.
func TestIdleTellsAtOnce(t *testing.T) {
	w := newWorld(t)
	a, b := w.login(), w.login()
	a.ok("SELECT INBOX")
	buf := make([]byte, 4096)
	for range 20 {
		b.append("INBOX", "", "Subject: x\n\ny\n")
		a.send("i IDLE\r\n")
		n, err := a.conn.Read(buf)
		if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "+ idling\r\n* ") || !strings.Contains(got, " EXISTS\r\n") {
			t.Fatalf("the first that comes is %q, %v", got, err)
		}
		a.send("DONE\r\n")
		for line := ""; !strings.HasPrefix(line, "i OK"); {
			line = a.read()
		}
	}
}
