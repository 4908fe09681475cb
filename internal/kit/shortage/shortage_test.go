package shortage

import (
	"errors"
	"fmt"
	"io"
	"net"
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
