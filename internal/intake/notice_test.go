package intake_test

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/smtp/server"
)

const notice = "no unauthorised use"

// The administrator's notice stands behind what a stranger is refused for want of a
// right, in one line, and nowhere else.
func TestNotice(t *testing.T) {
	for _, row := range []struct {
		door     server.Kind
		as, say  string
		code     int
		noticed  bool
		enhanced string
	}{
		{server.KindMX, "", "<x@far.test> <y@remote.test>", 550, true, "5.7.1"},
		{server.KindMX, "", "<alice@local.test>", 550, true, "5.7.1"},
		{server.KindSubmission, "", "<alice@local.test>", 530, true, "5.7.0"},
		{server.KindMX, "", "<x@far.test> <nobody@local.test>", 550, false, "5.1.1"},
		{server.KindSubmissions, "alice@local.test", "<bob@local.test>", 553, false, "5.7.1"},
	} {
		w := newWorld(t)
		w.in.Adjust(w.in.Bounds(), notice)
		c := w.open(row.door, row.as)
		from, to, more := strings.Cut(row.say, " ")
		r := c.from(from)
		if more {
			c.want(r, 250)
			r = c.to(to)
		}
		if r.Code != row.code || r.Enhanced.String() != row.enhanced || strings.HasSuffix(r.Text, "; "+notice) != row.noticed || strings.Contains(r.Text, "\n") {
			t.Errorf("%s: %v", row.say, r)
		}
		// What was answered is what is recorded.
		if all := w.facts(); len(all) != 1 || all[0].Reply != r {
			t.Errorf("%s: %+v", row.say, all)
		}
	}
}

// A fact about a connection that a balancer passed on names both.
func TestFactsNameTheBalancer(t *testing.T) {
	w := newWorld(t)
	s, _ := w.in.Connect(t.Context(), &server.Conn{
		ID: "c1", Kind: server.KindMX, Started: w.now, End: func() {},
		Remote: netip.MustParseAddrPort("203.0.113.9:4711"), Balancer: netip.MustParseAddrPort("10.0.0.1:99"),
	})
	c := &client{w: w, s: s}
	c.want(c.s.Hello(t.Context(), server.Hello{Name: "client.test"}), 250)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<y@remote.test>"), 550)
	f := w.oneFact("relay-denied")
	if via, _ := f.Find("balancer"); via != "10.0.0.1:99" || f.Peer.String() != "203.0.113.9" {
		t.Errorf("%+v", f)
	}
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 250)
	f = w.oneFact("mx-local")
	if via, _ := f.Find("balancer"); via != "10.0.0.1:99" || f.Peer.String() != "203.0.113.9" {
		t.Errorf("%+v", f)
	}
}
