package node_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/site"
)

// months writes the trace of an account that wrote to eight friends daily, and now and then to
// somebody new, as a server wrote it that watched nobody.
func months(t *testing.T, n *node.Node, account string) {
	t.Helper()
	for day := range 40 {
		for i := range 8 {
			at := time.Now().Add(-time.Duration(40-day) * 24 * time.Hour).Add(-time.Duration(i) * time.Hour)
			to := fmt.Sprintf("friend%d@remote.test", i)
			if day%3 == 0 && i == 7 {
				to = fmt.Sprintf("new%d@remote.test", day)
			}
			id, err := mail.NewID(at, rand.Reader)
			site.Must(t, err)
			site.Must(t, n.Record(t.Context(), fact.Accepted{
				At: at, Rule: "submission-relay", Session: fact.Session{Door: "submissions", Account: account, Peer: netip.MustParseAddr("127.0.0.1")},
				Message: fact.Message{Queue: id, Account: account, Sender: "<" + account + ">"}, Recipients: []string{to}, Reply: mail.R(250, "2.0.0", "queued"),
			}.Fact()))
		}
	}
}

// A data folder of the first release, in which nobody watched the accounts, is opened by a
// server that does: whom its accounts wrote to is known, an established account is not
// contained on the first day, and a thief is by what he is for any other.
func TestAnOldFolderBeginsWithItsHistory(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, nil, "[hijack]\nmode = \"off\"")
	unpack(t, "testdata/format0/data.tar.zst", s.Dir)
	n := s.Open()
	const dora = "dora@local.test"
	_, err := n.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: dora, Password: site.Password, Role: "person"})
	site.Must(t, err)
	months(t, n, dora)
	site.Must(t, n.Close())

	s.Configure(strings.Replace(site.Text, "[auth]", "[hijack]\nmode = \"enforce\"\n\n[auth]", 1) + "\n[authentication]\ncheck = \"off\"\n")
	r := s.Start()
	c := s.SignIn(r, true, dora)
	for i := range 8 {
		if got := c.Send(dora, site.Message(fmt.Sprint("friend", i), dora, 300), fmt.Sprintf("friend%d@remote.test", i)); !strings.HasPrefix(got, "250") {
			t.Fatalf("message %d of an established account gets %q", i, got)
		}
	}
	if got := c.Send(dora, site.Message("someone", dora, 300), "someone@remote.test"); !strings.HasPrefix(got, "250") {
		t.Fatalf("one to somebody new gets %q", got)
	}
	learnt, err := r.Operator().Learn(t.Context(), operate.Self(), operate.Learn{
		Account: "alice@local.test", Correspondents: []operate.Correspondent{{Address: "carl@remote.test"}},
		DryRun: true,
	})
	if err != nil || learnt.Taught != 0 || learnt.Known != 1 {
		t.Errorf("whom the first release wrote to is not known: %+v, %v", learnt, err)
	}
	taken, last := 0, ""
	for ; taken < 50; taken++ {
		if last = c.Send(dora, site.Message(fmt.Sprint("v", taken), dora, 300), fmt.Sprintf("victim%d@remote.test", taken)); !strings.HasPrefix(last, "250") {
			break
		}
	}
	if taken > 3 || !strings.HasPrefix(last, "550 5.7.13") {
		t.Errorf("the thief has %d messages taken, and then %q", taken, last)
	}
	r = s.Restart(r)
	a, err := r.Operator().AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: dora})
	if site.Must(t, err); a.Standing != "frozen" || len(a.Incidents) != 1 {
		t.Errorf("after a restart the account is %s: %+v", a.Standing, a.Incidents)
	}
}
