package node

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/reports/daily"
)

// Whoever publishes addresses for reports that do not exist has nobody contained by it: the
// server wrote the reports, also after a restart with some in the queue. They are counted and
// shown. The same refusals of what the account itself sends contain it.
func TestRefusedReportsAreNoEvidence(t *testing.T) {
	s := newSite(t, nil, "[hijack]\nmode = \"enforce\"")
	n := s.open()
	_, err := n.Operator().AccountAdd(t.Context(), root, operate.AccountAdd{Address: "news@local.test", Password: password, Role: "bulk"})
	must(t, err)
	news, err := mail.ParseAddress("news@local.test", mail.ASCII)
	must(t, err)
	report := func(n *Node, i int) {
		t.Helper()
		sender, err := n.reportSender(n.config().Hostname, news)
		must(t, err)
		to, err := mail.ParseAddress(fmt.Sprintf("dead-reports%d@remote.test", i), mail.ASCII)
		must(t, err)
		_, err = sender.Send(t.Context(), daily.Mail{To: []mail.Address{to}, Subject: "x", Type: "mixed", Rule: "test-report",
			Parts: []daily.Part{{Type: "text/plain; charset=us-ascii", Data: []byte("Hello\r\n")}}})
		must(t, err)
	}
	for i := range 4 {
		report(n, i) // they wait in the queue while nobody serves
	}
	must(t, n.Close())
	n = s.open()
	r := s.serve(n)
	for i := range 20 {
		report(n, 10+i)
	}
	r.idle()
	show := func() operate.Account {
		t.Helper()
		a, err := r.Operator().AccountShow(t.Context(), root, operate.AccountRef{Address: "news@local.test"})
		must(t, err)
		return a
	}
	if a := show(); a.Standing != "active" || len(a.Incidents) > 0 || a.Story.Reports != 24 {
		t.Errorf("after 24 refused reports the account is %s, %d are shown, incidents %+v", a.Standing, a.Story.Reports, a.Incidents)
	}
	c := s.signIn(r, true, "news@local.test")
	for i := 0; i < 20 && show().Standing == "active"; i++ {
		c.send("news@local.test", message(fmt.Sprint("m", i), "news@local.test", 300), fmt.Sprintf("dead-friend%d@remote.test", i))
		r.idle()
	}
	a := show()
	if a.Standing == "active" || len(a.Incidents) != 1 || !strings.Contains(strings.Join(a.Incidents[0].Evidence, " "), "refused") {
		t.Errorf("what the account sends is refused, and it is %s: %+v", a.Standing, a.Incidents)
	}
}
