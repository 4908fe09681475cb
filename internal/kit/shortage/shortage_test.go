package shortage

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

func TestOf(t *testing.T) {
	wrapped := func(e error) error {
		return fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", e)})
	}
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if !Of(e) || !Of(wrapped(e)) {
			t.Errorf("%v is no shortage", e)
		}
	}
	if !Of(&net.DNSError{Err: "dial udp 127.0.0.1:53: socket: " + syscall.EMFILE.Error(), Name: "x.test"}) {
		t.Error("a resolver without files is no shortage")
	}
	for _, e := range []error{nil, io.EOF, errors.New("too many open files"), wrapped(syscall.ECONNREFUSED), wrapped(syscall.EADDRNOTAVAIL),
		wrapped(syscall.ETIMEDOUT), wrapped(syscall.EPIPE), &net.DNSError{Err: "no such host", IsNotFound: true}} {
		if Of(e) {
			t.Errorf("%v is a shortage", e)
		}
	}
}

// TestOfFamily: a host without IPv6 has no way there, no socket for it, or no address of its own.
func TestOfFamily(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for e, want := range map[syscall.Errno][2]bool{
		syscall.ENETUNREACH: {true, true}, syscall.EAFNOSUPPORT: {true, true}, syscall.EADDRNOTAVAIL: {false, true},
		syscall.ECONNREFUSED: {}, syscall.EHOSTUNREACH: {}, syscall.ETIMEDOUT: {}, syscall.EMFILE: {},
	} {
		err := fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)})
		if got := [2]bool{OfFamily(err, v4), OfFamily(err, v6)}; got != want {
			t.Errorf("%v: %v, want %v", e, got, want)
		}
	}
	if OfFamily(nil, v6) {
		t.Error("no error says something")
	}
}
