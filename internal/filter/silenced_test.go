package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/filter"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

// Rspamd judges what a stranger writes so that it has much to read or much to say: more addresses than
// an answer had room for, more recipients than a question had.
func TestRspamdIsNotSilenced(t *testing.T) {
	client := aRspamd(t)
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	i := filter.NewRspamd(client, host, filter.Scope{MaxSize: 20 << 20, Down: filter.DownAccept}, filter.SpamJunk, quiet())
	label := strings.Repeat("x", 60)
	var links strings.Builder
	for n := range 8000 {
		fmt.Fprintf(&links, "http://h%d.%s.%s.%s.com/\r\n", n, label, label, label)
	}
	if f := judge(t, i, "X-Bad: links\r\n"+strings.Replace(gtube("X"), "STANDARD", "OTHER", 1)+links.String()); f.Action != intake.Refuse || f.Rule != "rspamd-reject" {
		t.Errorf("8000 addresses: %v %q, %v", f.Action, f.Rule, f.Notes)
	}
	many := func(m *intake.Message) {
		m.Envelope.To = nil
		for n := range 1000 {
			to := must[mail.Address](t)(mail.ParseAddress(fmt.Sprintf("bob+%d%s@local.test", n, label+label), mail.ASCII))
			m.Envelope.To = append(m.Envelope.To, mail.Recipient{Address: to})
		}
	}
	f := judge(t, i, gtube("X"), many)
	if f.Action != intake.Refuse || f.Rule != "rspamd-reject" || !strings.Contains(noted(f.Notes), "of 1000 recipients") {
		t.Errorf("1000 recipients: %v %q, %v", f.Action, f.Rule, f.Notes)
	}
}
