package intake_test

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/intake"
	"sallyport/internal/smtp/server"
)

// offering answers for every client, and remembers whom it was asked about.
type offering struct {
	intake.Accounts
	asked []accounts.Peer
}

func (o *offering) Offered(p accounts.Peer, plus bool) []string {
	o.asked = append(o.asked, p)
	if plus {
		return []string{"SCRAM-SHA-256-PLUS"}
	}
	return []string{"PLAIN"}
}

func (o *offering) Lapsed(p accounts.Peer) string {
	o.asked = append(o.asked, p)
	return "it ended"
}

// Whoever connects is offered what his own certificate allows, to send with; that a certificate
// ended is told to who asks for EXTERNAL alone.
func TestWhatAConnectionIsOffered(t *testing.T) {
	o := &offering{}
	in := intake.New(intake.Options{Accounts: o, Limits: intake.DefaultLimits()})
	c := server.Channel{Remote: netip.MustParseAddrPort("[::ffff:192.0.2.7]:4711"), TLS: &tls.ConnectionState{}}
	if got := in.Mechanisms(c); !slices.Equal(got, []string{"PLAIN"}) {
		t.Errorf("offered %v", got)
	}
	c.Plus = true
	if got := in.Mechanisms(c); !slices.Equal(got, []string{"SCRAM-SHA-256-PLUS"}) {
		t.Errorf("offered %v where it can be bound", got)
	}
	if got := in.Unoffered(c, "PLAIN"); got != "" || len(o.asked) != 2 {
		t.Errorf("of PLAIN it is said %q", got)
	}
	if got := in.Unoffered(c, "EXTERNAL"); got != "it ended" {
		t.Errorf("of EXTERNAL it is said %q", got)
	}
	for _, p := range o.asked {
		if p.Remote != netip.MustParseAddr("192.0.2.7") || p.TLS != c.TLS || p.For != accounts.ScopeSend {
			t.Errorf("asked about %+v", p)
		}
	}
}
