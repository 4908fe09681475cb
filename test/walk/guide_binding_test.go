package walk

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sallyport/test/guide"
)

// letter is one that somebody hands in with a name that may be another's.
type letter struct {
	who, envelope, from, more, to, subject string
}

// hands sends one in, and returns the answer, or why it was refused.
func (f *follower) hands(l letter) error {
	f.t.Helper()
	c := dial(f.t, "127.0.0.1:587")
	defer c.Close()
	must(f.t, signIn(c, l.who))
	if err := c.Mail(l.envelope); err != nil {
		return err
	}
	if err := c.Rcpt(l.to); err != nil {
		return err
	}
	_, err := c.data(fmt.Sprintf("From: %s\r\n%sTo: <%s>\r\nSubject: %s\r\n\r\nhello\r\n", l.from, l.more, l.to, l.subject))
	return err
}

func (f *follower) taken(l letter) {
	f.t.Helper()
	if err := f.hands(l); err != nil {
		f.t.Errorf("%+v: %v", l, err)
	}
}

func (f *follower) refused(reply string, l letter) {
	f.t.Helper()
	if err := f.hands(l); err == nil || !regexp.MustCompile(reply).MatchString(err.Error()) {
		f.t.Errorf("%+v: %v, want %s", l, err, reply)
	}
}

// The guide to sender binding, from the report to what is enforced.
func TestGuideSenderBinding(t *testing.T) {
	f := follow(t, guide.Open(t, "sender-binding.md"), nightsZone,
		least+"[domain.\"example.net\"]\ndeliver = \"maildir\"\n", "alice@example.org", "bob@example.org",
		"shop@example.org")
	f.doc.EveryCommand(nil)
	out := listen(t, "127.0.0.1:2600")
	for _, line := range []string{"alias add team@example.org alice@example.org bob@example.org", "alias add info@example.org alice@example.org bob@example.org", "alias add all@example.net alice@example.org bob@example.org", "dkim rotate example.org", "dkim activate example.org", "dkim rotate example.net", "dkim activate example.net"} {
		f.must("sallyport " + line)
	}
	f.serve("sallyport serve", "127.0.0.1:25")
	f.refused("^553 .5.7.1", letter{"alice@example.org", "team@example.org", "<team@example.org>", "", "bob@example.org", "before"})
	f.edit(f.doc.Block("toml", 0))
	f.must(f.doc.Command("sallyport reload"))

	f.taken(letter{"alice@example.org", "team@example.org", "The Team <team@example.org>", "", "bob@example.org", "as a team"})
	f.wants("what bob has", f.received("bob@example.org", "as a team"), `(?m)^Return-Path: <alice@example.org>$`, `(?m)^`+f.doc.Says("Sender: <account>")[:9]+`alice@example.org>$`)
	f.doc.Says("It bears no DKIM signature but one of the account's own domain: where From names another of your domains, it leaves unsigned.")
	for from, signed := range map[string]string{"team@example.org": "d=example.org;", "all@example.net": ""} {
		f.taken(letter{"alice@example.org", from, "<" + from + ">", "", "carl@remote.test", from})
		eventually(t, "it left", func() bool { return out.message(from) != "" })
		if text := out.message(from); strings.Count(text, "DKIM-Signature:") != 2*min(1, len(signed)) || strings.Count(text, "d=") != strings.Count(text, "d=example.org;") {
			t.Errorf("the signatures:\n%s", text)
		}
	}
	f.taken(letter{"alice@example.org", "info@example.org", "<info@example.org>", "", "bob@example.org", "info"})
	f.taken(letter{"shop@example.org", "noreply@example.org", "<noreply@example.org>", "", "bob@example.org", "order"})
	f.doc.Says("names that are not yours, as a gmail.com address in From")
	f.refused("^550 .5.7.1", letter{"alice@example.org", "alice@example.org", "<alice@gmail.com>", "", "bob@example.org", "foreign"})
	f.refused("^55[03] .5.7.1", letter{"alice@example.org", "alice@example.org", "<alice@example.org> <bob@example.org>", "", "bob@example.org", "two readings"})
	f.must("sallyport account freeze bob@example.org --reason test")
	c := dial(t, "127.0.0.1:587")
	if err := signIn(c, "bob@example.org"); err == nil {
		t.Error("a frozen account signs in")
	}
	f.must("sallyport account thaw bob@example.org")
	for i := range 5 { // more than 200 names of one account
		var many []string
		for j := range 50 {
			many = append(many, fmt.Sprintf("<printer%d@example.org>", 50*i+j))
		}
		f.taken(letter{"bob@example.org", "bob@example.org", strings.Join(many, ", "), "", "bob@example.org", "many"})
	}
	f.doc.Says("`check`, `status`, `doctor` and the log say that it is on.")
	f.gives(0, "sallyport check", "sender binding only reports")
	f.gives(0, "sallyport status", "ONLY REPORTS")
	f.gives(1, "sallyport doctor", "sender binding only reports")
	f.wants("the log", f.log.String(), "sender binding only reports")
	f.looks()
	f.enforces()
}

// looks is what the guide says of the findings, and what of them is granted.
func (f *follower) looks() {
	f.t.Helper()
	found := f.gives(0, f.doc.Block("", 0), "team@example.org")
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| .* \| .* \|$`).FindAllStringSubmatch(f.doc.Text(), -1) {
		if state := row[1]; state != "state" && !regexp.MustCompile(`(?m) `+state+`$`).MatchString(found) {
			f.t.Errorf("nothing is %s:\n%s", state, found)
		}
	}
	f.gives(0, f.doc.Command("sallyport alias add noreply@example.org shop@example.org"))
	grants := strings.Split(strings.TrimSpace(f.doc.Block("", 1)), "\n")
	if len(grants) != 3 {
		f.t.Fatalf("there are %d ways to grant", len(grants))
	}
	f.gives(0, grants[0], "alice@example.org may send as team@example.org", "info@example.org")
	f.gives(0, grants[1], "would be done: alice@example.org may send as all@example.net")
	f.gives(0, grants[2], "alice@example.org may send as all@example.net", "not granted: .*gmail.com")
	f.gives(0, f.doc.Command("sallyport delegate ls"), `alice@example.org +info@example.org`, `alice@example.org +team@example.org`)
	f.gives(0, f.doc.Command("sallyport delegate rm alice@example.org info@example.org"))
}

// enforces is the end of the guide.
func (f *follower) enforces() {
	f.t.Helper()
	f.doc.Says("remove the key or write `\"enforce\"`, and reload")
	f.must("sed -i s/report/enforce/ /etc/sallyport/sallyport.toml && sallyport reload")
	f.taken(letter{"alice@example.org", "team@example.org", "<team@example.org>", "", "bob@example.org", "granted"})
	f.taken(letter{"shop@example.org", "noreply@example.org", "<noreply@example.org>", "", "bob@example.org", "own alias"})
	f.doc.Says("`553 5.7.1` at MAIL FROM, or `550 5.7.1` at the end of the message, which names the address")
	f.refused("^553 .5.7.1 ", letter{"alice@example.org", "info@example.org", "<info@example.org>", "", "bob@example.org", "taken away"})
	f.refused("^550 .5.7.1 .*info@example.org", letter{"alice@example.org", "alice@example.org", "<info@example.org>", "", "bob@example.org", "taken away"})
	f.gives(0, f.doc.Command("sallyport binding forget --all"), `\d+ findings forgotten`)
	f.taken(letter{"alice@example.org", "team@example.org", "<team@example.org>", "", "bob@example.org", "the rights stay"})
	f.doc.Says("Should something have been missed, `delegate add` grants it at once.")
	f.must("sallyport delegate add alice@example.org info@example.org")
	f.taken(letter{"alice@example.org", "info@example.org", "<info@example.org>", "", "bob@example.org", "missed"})
	f.doc.Says("The reply says what helps: a forward of the account, or an attachment.")
	f.refused("^550 .5.7.1 .*(forward|attach)", letter{
		"alice@example.org", "alice@example.org", "<carl@remote.test>",
		"Resent-From: <alice@example.org>\r\nResent-Date: Sun, 29 Nov 2026 10:00:00 +0000\r\n",
		"bob@example.org", "redirected",
	})
}
