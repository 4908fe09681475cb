package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"sallyport/internal/mail"
)

// Strangers leave a quarter of the connections to our own people, and who only connects
// to those doors an eighth to those who sign in.
func TestSharesOfConnections(t *testing.T) {
	for _, c := range []struct {
		kind             Kind
		whole            int
		total, forSigned int
	}{
		{KindMX, 8, 6, 0}, {KindMX, 7, 6, 0}, {KindMX, 3, 3, 0}, {KindMX, 1, 1, 0}, {KindUnknown, 8, 6, 0},
		{KindSubmission, 8, 8, 1}, {KindSubmissions, 16, 16, 2}, {KindSendmail, 7, 7, 0},
	} {
		l := DefaultLimits()
		l.Connections, l.Reserved = c.whole, 0
		if got := l.Of(c.kind); got.Connections != c.total || got.Reserved != c.forSigned {
			t.Errorf("%v of %d: %d, %d reserved; want %d, %d", c.kind, c.whole, got.Connections, got.Reserved, c.total, c.forSigned)
		}
	}
}

// Nobody signs in on port 25, and the kernel alone says who is at the sendmail door.
func TestWhatADoorIsTold(t *testing.T) {
	whole := Config{
		TLS: &tls.Config{}, Awaiting: true, Balancers: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Limits: DefaultLimits(),
		Mechanisms: func(Channel) []string { return nil }, UserID: func(net.Conn) (uint32, bool) { return 0, false },
	}
	for kind, want := range map[Kind]string{
		KindMX: "tls true, awaiting true, balancers 1, sign-in false, uid false", KindSubmission: "tls true, awaiting true, balancers 1, sign-in true, uid false",
		KindSubmissions: "tls true, awaiting true, balancers 1, sign-in true, uid false", KindSendmail: "tls false, awaiting false, balancers 0, sign-in false, uid true",
		KindUnknown: "tls true, awaiting true, balancers 1, sign-in false, uid false",
	} {
		c := whole.Of(kind)
		if got := fmt.Sprintf("tls %v, awaiting %v, balancers %d, sign-in %v, uid %v", c.TLS != nil, c.Awaiting, len(c.Balancers), c.Mechanisms != nil, c.UserID != nil); got != want || c.Kind != kind {
			t.Errorf("%v: %v, %s, want %s", kind, c.Kind, got, want)
		}
	}
}

// A configuration that one kind of door cannot have changes none of them.
func TestDoorsChangeTogether(t *testing.T) {
	first := testConfig(KindMX)
	d := NewDoors(&memory{})
	c, err := d.Build(first, KindMX)
	if err != nil {
		t.Fatal(err)
	}
	if d.Of(KindMX) != nil {
		t.Error("a change is in force before it is adopted")
	}
	c.Adopt()
	second := first
	second.Hostname, second.TLS = mail.Domain{}, nil
	var fault *KindError
	if c, err := d.Build(second, KindMX, KindSubmissions); c != nil || !errors.As(err, &fault) || fault.Kind != KindMX || !errors.Is(err, errHostname) {
		t.Errorf("%v, %v", c, err)
	}
	if got := d.Of(KindMX).Config().Hostname; got != first.Hostname {
		t.Errorf("the host is called %q", got)
	}
	second = first
	second.Notice = "another"
	c, err = d.Build(second, KindMX, KindSubmission)
	if err != nil {
		t.Fatal(err)
	}
	door, counted := d.Of(KindMX), d.Of(KindMX).current.Load().entrance.Counted
	c.Adopt()
	if d.Of(KindMX) != door || door.Config().Notice != "another" || door.current.Load().entrance.Counted != counted || d.Of(KindSubmission) == nil || d.Of(KindSendmail) != nil || d.Of(77) != nil {
		t.Error("the change is not in force")
	}
}
