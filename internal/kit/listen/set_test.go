package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// anywhere is any port of an address that this process alone uses: on 127.0.0.1 a port that was
// closed may be what another program, which runs beside the tests, is given next.
var anywhere = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(100 + os.Getpid()>>16&63), byte(os.Getpid() >> 8), byte(os.Getpid())}), 0)

func at(service string, a netip.AddrPort) Place {
	return Place{Service: service, At: a, Name: service, Handed: service != "inner"}
}

func bind(ctx context.Context, p Place) (net.Listener, error) {
	if p.Path != "" {
		return net.Listen("unix", p.Path)
	}
	return TCP(ctx, p.At)
}

func newSet(t *testing.T, handed ...Socket) *Set {
	s := New(Options{Bind: bind, Sockets: handed})
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func adopt(t *testing.T, s *Set, places ...Place) {
	t.Helper()
	c, err := s.Build(t.Context(), places)
	must(t, err)
	c.Adopt()
}

func taken(t *testing.T) (net.Listener, netip.AddrPort) {
	ln, err := TCP(t.Context(), anywhere)
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln, netip.MustParseAddrPort(ln.Addr().String())
}

// Every place that cannot be bound is told, and then no new one stays bound and what was
// open stays as it was.
func TestAllOrNone(t *testing.T) {
	free, one := taken(t)
	must(t, free.Close())
	_, two := taken(t)
	s := newSet(t)
	adopt(t, s, at("kept", anywhere))
	before := s.Addrs("kept")
	c, err := s.Build(t.Context(), []Place{at("new", one), at("x", two), at("y", two)})
	var names []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var f *Fault
		if !errors.As(err, &f) || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("%v", err)
		}
		names = append(names, f.Place.Name)
	}
	if c != nil || !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("%v, %v", c, names)
	}
	again, err := TCP(t.Context(), one)
	if err != nil {
		t.Fatalf("the first stayed bound: %v", err)
	}
	must(t, again.Close())
	if now := s.Addrs("kept"); !slices.Equal(now, before) || len(now) != 1 {
		t.Errorf("%v became %v", before, now)
	}
	// Nor does anything of a change that comes to nothing for another reason.
	c, err = s.Build(t.Context(), []Place{at("kept", anywhere), at("new", one)})
	must(t, err)
	c.Abandon()
	again, err = TCP(t.Context(), one)
	must(t, err)
	must(t, again.Close())
	conn, err := net.Dial("tcp", before[0])
	must(t, err)
	must(t, conn.Close())
}

// Places that are the same twice are two listeners, the same place of another service is
// another one, and a UNIX socket is one as well.
func TestTheOrderIsThatOfThePlaces(t *testing.T) {
	s := newSet(t)
	path := Place{Service: "local", Path: filepath.Join(t.TempDir(), "s")}
	adopt(t, s, at("mx", anywhere), at("mx", anywhere))
	two := s.Of("mx")
	adopt(t, s, at("other", anywhere), path, at("mx", anywhere), at("mx", anywhere))
	if now := s.Of("mx"); len(two) != 2 || two[0] == two[1] || !slices.Equal(now, two) {
		t.Errorf("%v became %v", two, now)
	}
	if len(s.Of("other")) != 1 || !slices.Equal(s.Addrs("local"), []string{path.Path}) || len(s.Addrs("nothing")) != 0 {
		t.Errorf("%v, %v", s.Addrs("other"), s.Addrs("local"))
	}
	adopt(t, s, at("mx", anywhere))
	if now := s.Of("mx"); !slices.Equal(now, two[:1]) {
		t.Errorf("%v became %v", two, now)
	}
	if _, err := net.Dial("tcp", two[1].Addr().String()); err == nil {
		t.Error("what is not named any more is open")
	}
}

// Listeners that come are served, those that go end for newcomers alone, and one that
// ends by itself ends all.
func TestServedWhileTheyChange(t *testing.T) {
	s := newSet(t)
	adopt(t, s, at("a", anywhere), at("web", anywhere))
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		served <- s.Serve(ctx, func(service string) func(context.Context, net.Listener) error {
			if service == "web" {
				return nil
			}
			return greet(service)
		})
	}()
	first := hears(t, s.Addrs("a")[0], "a")
	gone := s.Addrs("a")[0]
	adopt(t, s, at("b", anywhere), at("web", anywhere))
	hears(t, s.Addrs("b")[0], "b")
	if _, err := net.Dial("tcp", gone); err == nil {
		t.Error("what is not named any more is open")
	}
	fmt.Fprintln(first, "still")
	if b, err := io.ReadAll(first); err != nil || string(b) != "still\n" {
		t.Errorf("who was connected heard %q, %v", b, err)
	}
	select {
	case err := <-served:
		t.Fatalf("it ended: %v", err)
	default:
	}
	must(t, s.Of("b")[0].Close())
	if err := <-served; err == nil || !strings.Contains(err.Error(), "b "+anywhere.Addr().String()+":") {
		t.Errorf("ended with %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	adopt(t, s, at("c", anywhere))
	if err := s.Serve(stopped, greet); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// greet serves like any server: it says its service, repeats a line, and closes when ctx ends.
func greet(service string) func(context.Context, net.Listener) error {
	return func(ctx context.Context, ln net.Listener) error {
		defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
		for {
			c, err := ln.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, service)
				line := make([]byte, 6)
				if _, err := io.ReadFull(c, line); err == nil {
					_, _ = c.Write(line)
				}
			}()
		}
	}
}

func hears(t *testing.T, addr, want string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	got := make([]byte, len(want)+1)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want+"\n" {
		t.Fatalf("heard %q, %v", got, err)
	}
	return c
}

// A socket is taken for the place that it is, and for no other.
func TestSocketsHandedOver(t *testing.T) {
	mx, mxAt := taken(t)
	other, otherAt := taken(t)
	handed := []Socket{{"mx", mx}, {"inner", other}}
	s := newSet(t, handed...)
	adopt(t, s, at("mx", mxAt), at("mx", anywhere))
	if now := s.Of("mx"); len(now) != 2 || now[0] != mx {
		t.Errorf("%v", now)
	}
	if _, err := s.Build(t.Context(), []Place{at("inner", otherAt)}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket was taken for a place that is not handed over: %v", err)
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(mxAt.Addr().As16()), mxAt.Port())
	local := Place{Service: "local", Path: "/run/s", Name: "local"}
	for name, c := range map[string]struct {
		places  []Place
		sockets []Socket
		want    []Mismatch
	}{
		"nothing handed over":     {[]Place{at("mx", mxAt)}, nil, nil},
		"as it should be":         {[]Place{at("mx", mxAt), local, at("inner", otherAt)}, handed[:1], nil},
		"the same, written IPv6":  {[]Place{at("mx", mapped)}, handed[:1], nil},
		"one that may be missing": {[]Place{at("mx", mxAt), {Service: "inner", At: otherAt, Name: "inner", Handed: true, Either: true}}, handed[:1], nil},
		"one that may be there":   {[]Place{at("mx", mxAt), {Service: "inner", At: otherAt, Name: "inner", Handed: true, Either: true}}, handed, nil},
		"one is missing": {[]Place{at("mx", mxAt), at("acme", otherAt)}, handed[:1],
			[]Mismatch{{"acme", "acme", "no socket was handed over for " + otherAt.String()}}},
		"one is nobody's": {[]Place{at("mx", mxAt), at("inner", otherAt)}, handed,
			[]Mismatch{{"inner", "", "a socket was handed over for " + otherAt.String() + ", which is not named here"}}},
		"one of another service": {[]Place{at("acme", mxAt)}, handed[:1], []Mismatch{
			{"acme", "acme", "no socket was handed over for " + mxAt.String()},
			{"mx", "", "a socket was handed over for " + mxAt.String() + ", which is not named here"}}},
	} {
		if got := Mismatches(c.places, c.sockets); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What root alone may bind is bound before it becomes somebody else, and used once: who
// comes back to the address binds it anew.
func TestBoundEarly(t *testing.T) {
	low := netip.MustParseAddrPort("127.0.0.9:625")
	early, err := Early(t.Context(), []Place{at("mx", low), at("mx", anywhere)})
	if errors.Is(err, syscall.EACCES) {
		t.Skip("only root may bind such a port")
	}
	must(t, err)
	if len(early) != 1 || early[0].Listener.Addr().String() != low.String() {
		t.Fatalf("%+v", early)
	}
	if none, err := Early(t.Context(), []Place{at("inner", netip.MustParseAddrPort("127.0.0.9:626")), at("mx", low)}); none != nil || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", none, err)
	}
	asked := 0
	s := New(Options{Early: early, Bind: func(ctx context.Context, p Place) (net.Listener, error) { asked++; return bind(ctx, p) }})
	for i, places := range [][]Place{{at("mx", low)}, {at("mx", anywhere)}, {at("mx", low)}} {
		c, err := s.Build(t.Context(), places)
		must(t, err)
		c.Adopt()
		if asked != i {
			t.Errorf("%d were bound after %d changes", asked, i+1)
		}
	}
	must(t, s.Close())
}
