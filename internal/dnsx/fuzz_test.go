package dnsx

import (
	"errors"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Whatever arrives: no panic, no data beside an error, no data beyond the bounds,
// no name that could not be asked for, and a statement about the name only from a
// response code that makes one.
func FuzzReadAnswer(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("x.test.", dns.TypeMX)
	q.Id = 7
	for _, play := range []script{
		func(_ string, q *dns.Msg) [][]byte { return one(reply(q, honest)) }, aliases(3), aliases(40), overstated, tooOld, lame(honest, 0),
		func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "--", "x.test. 300 NS ns.evil.test.")) },
		func(_ string, q *dns.Msg) [][]byte {
			return one(reply(q, `x.test. 300 MX 0 evil\000.test.`, "x.test. 1 MX 0 ."))
		},
		func(_ string, q *dns.Msg) [][]byte {
			return one(withCode(reply(q, "--", "x.test. 300 SOA ns.x.test. admin.x.test. 1 2 3 4 60"), dns.RcodeNameError))
		},
	} {
		f.Add(play("tcp", q)[0])
	}
	l := DefaultLimits()
	asked := question{Name{"x.test"}, dns.TypeMX}
	f.Fuzz(func(t *testing.T, wire []byte) {
		if !answers(wire, 7, asked) {
			return
		}
		a := readAnswer(wire, asked, l)
		if (a.err == nil) != (len(a.mx) > 0) || len(a.addrs) > 0 || len(a.mx) > l.Records {
			t.Fatalf("%+v", a)
		}
		rcode := int(wire[3] & 0xf)
		if errors.Is(a.err, ErrNoName) && rcode != dns.RcodeNameError || (a.err == nil || errors.Is(a.err, ErrNoData)) && rcode != dns.RcodeSuccess {
			t.Fatalf("code %d became %+v", rcode, a)
		}
		if a.ttl < 0 || a.ttl > (1<<31)*time.Second {
			t.Fatalf("TTL %v", a.ttl)
		}
		for _, m := range a.mx {
			if back, err := ParseName(m.Host.String()); !m.Host.IsZero() && (err != nil || back != m.Host) || m.Null && !m.Host.IsZero() {
				t.Fatalf("%+v", m)
			}
		}
	})
}
