package keys

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/operate"
)

// M14: a message that a program puts into a folder, whatever the folder is called and whoever
// stands in its To, Cc and Bcc, is sent to nobody.
func TestAFolderSendsNothing(t *testing.T) {
	s := newMailSite(t, "", "[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n"+limits)
	s.start(map[string]string{aliceBox: "person"})
	letter := "From: <" + aliceBox + ">\r\nTo: <victim@remote.test>\r\nCc: <two@remote.test>\r\nBcc: <three@remote.test>\r\nSubject: x\r\n\r\nx\r\n"
	r := s.reads(aliceBox)
	for _, folder := range []string{"Outbox", "Drafts", "Sent", "Courier.sent", "Templates", "INBOX"} {
		r.say("CREATE %s", folder)
		if got := r.say("APPEND %s (\\Seen $SubmitPending) {%d+}\r\n%s", folder, len(letter), letter); !strings.Contains(got, "a OK") {
			t.Errorf("%s: %s", folder, got)
		}
		if got := r.say("SELECT %s", folder); !strings.Contains(got, "* 1 EXISTS\r\n") {
			t.Errorf("%s: %s", folder, got)
		}
		r.say("STORE 1 -FLAGS.SILENT (\\Draft)")
		r.say("COPY 1 Outbox")
	}
	queued := func() (n int) {
		must(t, s.Operator().QueueList(t.Context(), operate.Self(), operate.Select{}, func(operate.Message) error { n++; return nil }))
		return n
	}
	if n := queued(); n != 0 {
		t.Errorf("%d messages leave", n)
	}
	// The same letter leaves by the door for it.
	c, err := s.signIn(aliceBox)
	must(t, err)
	must(t, c.Mail(aliceBox))
	must(t, c.Rcpt("victim@remote.test"))
	w, err := c.Data()
	must(t, err)
	_, err = fmt.Fprint(w, letter)
	must(t, err)
	must(t, w.Close())
	if n := queued(); n != 1 {
		t.Errorf("%d messages wait for the next hop", n)
	}
}
