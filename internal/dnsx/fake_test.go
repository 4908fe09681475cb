package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The fake and the client answer alike.
func TestFakeIsHonest(t *testing.T) {
	mx, err := Exchanger(10, "mx.x.test")
	check(t, err)
	null, err := Exchanger(0, ".")
	check(t, err)
	fake := &Fake{
		Exchangers: map[string][]MX{"x.test": {mx}, "null.test": {null}},
		Hosts:      map[string][]netip.Addr{"mx.x.test": {netip.MustParseAddr("192.0.2.1")}},
		Failures:   map[string]error{"MX broken.test": ErrServer, "ADDR broken.test": ErrServer},
	}
	real := client(t, quick(), serve(t, func(network string, q *dns.Msg) [][]byte {
		if q.Question[0].Name == "broken.test." {
			return one(withCode(reply(q), dns.RcodeServerFailure))
		}
		return zone(map[string][]string{
			"MX x.test.": {honest}, "A x.test.": nil, "AAAA x.test.": nil,
			"MX null.test.": {"null.test. 60 MX 0 ."}, "A null.test.": nil, "AAAA null.test.": nil,
			"MX mx.x.test.": nil, "A mx.x.test.": {"mx.x.test. 60 A 192.0.2.1"}, "AAAA mx.x.test.": nil,
		})(network, q)
	}))
	for _, s := range []string{"x.test", "null.test", "mx.x.test", "broken.test", "missing.test"} {
		var said [2]string
		for i, r := range []Resolver{fake, real} {
			mx, err := r.MX(t.Context(), name(t, s))
			addrs, err2 := r.Addresses(t.Context(), name(t, s))
			said[i] = fmt.Sprint(mx.Data, addrs.Data, cause(err), cause(err2))
		}
		if said[0] != said[1] {
			t.Errorf("%s: the fake says %s, the client %s", s, said[0], said[1])
		}
	}
	if fake.Asked("MX x.test") != 1 || fake.Asked("MX other.test") != 0 {
		t.Error("the fake miscounts")
	}
}

func cause(err error) error {
	for _, known := range []error{ErrNoName, ErrNoData, ErrServer} {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

func TestFakeDelaysAndChanges(t *testing.T) {
	fake := &Fake{Signed: true, Unsigned: map[string]bool{"b.test": true}, Hosts: map[string][]netip.Addr{}}
	ip := netip.MustParseAddr("192.0.2.1")
	fake.Before = func(question string) { fake.Hosts[question[len("ADDR "):]] = []netip.Addr{ip} }
	for host, want := range map[string]bool{"a.test": true, "b.test": false} {
		a, err := fake.Addresses(t.Context(), name(t, host))
		check(t, err)
		if a.Secure != want || a.Data[0] != ip {
			t.Errorf("%+v", a)
		}
	}
	fake.Change(func() { fake.Delay = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := fake.Addresses(ctx, name(t, "a.test")); !errors.Is(err, context.DeadlineExceeded) || Permanent(err) {
		t.Error(err)
	}
	if _, err := fake.Addresses(t.Context(), Name{}); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
	if _, err := Exchanger(0, "a b"); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
}
