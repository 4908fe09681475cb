package node

import (
	"slices"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/reports/daily"
)

// A report to a domain of ours goes to the server behind us that knows the recipient: it
// is asked, and given the address as the domain owner wrote it.
func TestAReportReachesTheServerBehind(t *testing.T) {
	s := newSite(t, nil, "[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9\"\nrecipients = \"callout\"\ntls = \"none\"")
	n := s.open()
	s.populate(n)
	_, err := n.Operator().AccountAdd(t.Context(), root, operate.AccountAdd{Address: "box@behind.test", Password: password, Role: "person"})
	must(t, err)
	r := s.serve(n)
	to, err := mail.ParseAddress("Box+dmarc@behind.test", mail.ASCII)
	must(t, err)
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	sender, err := n.reportSender(n.config().Hostname, alice)
	must(t, err)
	_, err = sender.Send(t.Context(), daily.Mail{To: []mail.Address{to}, Subject: "x", Type: "mixed", Rule: "test-report",
		Parts: []daily.Part{{Type: "text/plain; charset=us-ascii", Data: []byte("Hello\r\n")}}})
	must(t, err)
	r.idle()
	kept := s.sink.Kept()
	if len(kept) != 1 || !slices.Equal(kept[0].To, []string{"Box+dmarc@behind.test"}) {
		t.Errorf("arrived %+v", kept)
	}
}
