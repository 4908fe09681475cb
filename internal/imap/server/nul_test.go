package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// NUL stands in a literal8 alone, both ways: a message with it that comes as a literal is refused, whether it was asked for or not, and nothing of its
// APPEND is added; one that came as a literal8, or that another program left, is told with NUL by BINARY alone. RFC 9051 §4.3, RFC 3516 §4.4
func TestNULStandsInALiteral8Alone(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for command, answer := range map[string]string{
		"APPEND INBOX {19+}\r\nSubject: x\r\n\r\na\x00b\r\n":                                      "t NO [CANNOT] ",
		"APPEND INBOX {6+}\r\na: b\r\n {19+}\r\nSubject: x\r\n\r\na\x00b\r\n":                     "t NO [CANNOT] ",
		"APPEND INBOX (\\Seen) {100018+}\r\nSubject: x\r\n\r\n\x00" + strings.Repeat("x", 100003): "t NO [CANNOT] ",
	} {
		if lines := c.do(command); len(lines) != 1 || !strings.HasPrefix(lines[0], answer) {
			t.Errorf("%.40q: %q", command, lines)
		}
	}
	c.send("w APPEND INBOX {19}\r\n")
	if asked := c.read(); !strings.HasPrefix(asked, "+ ") {
		t.Fatal(asked)
	}
	c.send("Subject: x\r\n\r\na\x00b\r\n\r\n")
	if answer := c.read(); !strings.HasPrefix(answer, "w NO [CANNOT] ") {
		t.Errorf("%q", answer)
	}
	if c.ok("STATUS INBOX (MESSAGES)")[0] != "* STATUS INBOX (MESSAGES 0)" {
		t.Error("something was added")
	}
	c.ok("APPEND INBOX ~{19+}\r\nSubject: x\r\n\r\na\x00b\r\n")
	if err := os.WriteFile(filepath.Join(w.dir, "cur", "1700000000.other.host:2,"), []byte("Subject: x\x00\n\na\x00b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok("SELECT INBOX")
	for _, item := range []string{"BODY.PEEK[]", "RFC822", "RFC822.TEXT", "BODY.PEEK[1]", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "BODY.PEEK[TEXT]<1.3>", "ENVELOPE", "PREVIEW"} {
		told := c.ok("FETCH 1:2 " + item)
		if len(told) < 3 || strings.Contains(strings.Join(told, ""), "\x00") {
			t.Errorf("%s: %q", item, told)
		}
	}
	if told := c.ok("FETCH 1 BODY.PEEK[1]")[0]; told != "* 1 FETCH (BODY[1] {5}\r\na\x80b\r\n)" {
		t.Errorf("%q", told)
	}
	for _, item := range []string{"BINARY.PEEK[1]", "BINARY.PEEK[]"} {
		if told := strings.Join(c.ok("FETCH 1:2 "+item), ""); strings.Count(told, "~{") != 2 || strings.Count(told, "a\x00b") != 2 {
			t.Errorf("%s: %q", item, told)
		}
	}
}
