package server_test

import (
	"regexp"
	"strings"
	"testing"
)

// A message has one EMAILID in all folders that it was copied and moved to, by which it is found. RFC 8474 §5.1
func TestEmailIDStaysWithCopies(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.append("INBOX", "", "Subject: other\n\nx\n")
	c.append("INBOX", "", "Subject: it\n\nx\n")
	c.ok("SELECT INBOX")
	id := func() string {
		t.Helper()
		found := regexp.MustCompile(`EMAILID \((M[0-9]+-[0-9]+)\)`).FindStringSubmatch(c.ok("FETCH * EMAILID")[0])
		if found == nil {
			t.Fatal("no EMAILID is told")
		}
		return found[1]
	}
	was := id()
	c.ok("COPY 2 Archive")
	c.ok("MOVE 2 Trash")
	for _, name := range []string{"Archive", "Trash"} {
		if c.ok("SELECT " + name); id() != was {
			t.Errorf("in %s it is called %s, and was %s", name, id(), was)
		}
		if found := c.ok("SEARCH EMAILID " + was)[0]; found != "* SEARCH 1" {
			t.Errorf("in %s: %s", name, found)
		}
	}
	c.ok("SELECT INBOX")
	if found := c.ok("SEARCH EMAILID " + was)[0]; strings.TrimSpace(found) != "* SEARCH" || id() == was {
		t.Errorf("another message is called so: %s", found)
	}
}
