package sender

import (
	"testing"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Only the one author whom a message names, in a domain that DMARC passed, is proved.
func TestWhoIsProved(t *testing.T) {
	pass := dmarc.Result{Verdict: dmarc.Pass, Author: domainOf(t, "other.test")}
	none, elsewhere := pass, pass
	none.Verdict, elsewhere.Author = dmarc.None, domainOf(t, "else.test")
	for _, row := range []struct {
		name, from string
		found      found
		want       string
	}{
		{"a pass", "A <a@other.test>", found{dmarc: pass}, "a@other.test"},
		{"no pass", "A <a@other.test>", found{dmarc: none}, ""},
		{"of another domain", "A <a@other.test>", found{dmarc: elsewhere}, ""},
		{"only shown", "A <a@other.test>", found{dmarc: pass, shown: true}, ""},
		{"two authors", "a@other.test, b@other.test", found{dmarc: pass}, ""},
		{"of ours", "A <a@ours.test>", found{dmarc: dmarc.Result{Verdict: dmarc.Pass, Author: domainOf(t, "ours.test")}}, ""},
		{"unreadable", "a@other.test <b@other.test", found{dmarc: pass}, ""},
		{"an address in the name is no author", `"b@bank.test" <a@other.test>`, found{dmarc: pass}, "a@other.test"},
	} {
		h, err := message.ParseHeader([]byte("From: " + row.from + "\r\nSubject: x\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		ours := func(d mail.Domain) bool { return d.ASCII() == "ours.test" }
		g := authentication{m: intake.Message{Header: h}, author: authorOf(h, ours)}
		got := ""
		if a := g.proved(row.found); !a.IsZero() {
			got = a.String()
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
