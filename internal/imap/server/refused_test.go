package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// A command that is refused while more of it is on its way is answered, once, by what was wrong with it: nothing in the
// literals that follow is taken for a command, and the session goes on. RFC 7888 §4, RFC 3502
func TestWhatFollowsARefusedLiteralIsNoCommand(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	literal := func(text string) string { return fmt.Sprintf("{%d+}\r\n%s", len(text), text) }
	commands := literal("x1 CREATE smuggled\r\nx2 LOGOUT\r\n") + " " + literal("x3 DELETE Archive\r\n")
	long := strings.Repeat("x", 300_000)
	for command, answer := range map[string]string{
		"APPEND INBOX " + literal("a: b\r\n\r\n\x00") + " " + commands:         "t NO [CANNOT]",
		"APPEND INBOX " + literal("") + " " + commands:                         "t NO ",
		"APPEND nowhere " + literal("a: b\r\n") + " " + commands:               "t NO [TRYCREATE]",
		"APPEND INBOX (\\Odd) " + literal("a: b\r\n") + " " + commands:         "t BAD",
		"APPEND INBOX " + literal("a: b\r\n") + " (\\Odd) " + commands:         "t BAD",
		"APPEND INBOX " + literal("a: b\r\n") + " " + literal("\x00") + " {9}": "t NO [CANNOT]",
		"CREATE " + literal(long) + " " + commands:                             "t BAD [TOOBIG]",
	} {
		if lines := c.do(command); len(lines) != 1 || !strings.HasPrefix(lines[0], answer) {
			t.Fatalf("%.50q: %q", command, lines)
		}
	}
	if listed := strings.Join(c.ok(`LIST "" *`), "\n"); strings.Contains(listed, "smuggled") || !strings.Contains(listed, "Archive") {
		t.Errorf("a literal was taken for a command:\n%s", listed)
	}
	if status := c.ok("STATUS INBOX (MESSAGES)")[0]; status != "* STATUS INBOX (MESSAGES 0)" {
		t.Error(status)
	}
	// Who has not signed in may not go on for long.
	stranger := w.dial()
	stranger.send("a APPEND INBOX " + literal("a") + " " + literal("b NOOP\r\n") + "\r\n")
	if answer := stranger.read(); !strings.HasPrefix(answer, "* BYE ") {
		t.Error(answer)
	}
}
