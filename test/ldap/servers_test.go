package ldap

import (
	"errors"
	"sync"
	"testing"
	"time"

	"sallyport/internal/ldap"
	"sallyport/test/slapd"
)

// Of several servers of a directory one that fails is left, whatever it was asked, with every connection to it: one question fails,
// and the others are answered.
func TestSeveralServers(t *testing.T) {
	t.Parallel()
	people := slapd.Person("alice", "mail: alice@local.test") + slapd.Person("bob", "mail: bob@local.test")
	short, whole := slapd.Start(t, slapd.Options{Entries: people, Limits: "sizelimit 1"}), slapd.Start(t, slapd.Options{Entries: people})
	o := options(t, short)
	o.Servers = nil
	for _, s := range []*slapd.Server{short, whole} {
		o.Servers = append(o.Servers, ldap.Server{Host: "127.0.0.1", Port: uint16(s.Port), Security: ldap.SecurityNone})
	}
	d := open(t, o)
	var f *ldap.Failure
	if _, err := d.List(t.Context()); !errors.As(err, &f) || f.Code != 4 {
		t.Errorf("a server that gives one entry: %v", err)
	}
	if l, err := d.List(t.Context()); err != nil || len(l.People) != 2 {
		t.Errorf("the other one: %+v, %v", l, err)
	}
	find := func() error { _, err := d.Find(t.Context(), address("alice@local.test")); return err }
	password := func() error { _, err := d.CheckPassword(t.Context(), dnOf("alice"), right); return err }
	var at sync.WaitGroup
	for range 4 { // so that several connections are kept
		for _, ask := range []func() error{find, password} {
			at.Go(func() {
				if err := ask(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	at.Wait()
	whole.Freeze()
	began := time.Now()
	if err := find(); err == nil {
		t.Error("a frozen server answers")
	}
	for range 4 {
		if err := errors.Join(find(), password()); err != nil {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	}
	whole.Thaw()
	short.Stop()
	_ = errors.Join(find(), password()) // on connections that were cut a moment ago
	if err := errors.Join(find(), password()); err != nil {
		t.Errorf("the other one is back: %v", err)
	}
}
