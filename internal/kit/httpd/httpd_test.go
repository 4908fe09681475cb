package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// options are those of a server that says hello, with bounds that a test can wait for.
func options() Options {
	l := DefaultLimits()
	l.Finish = 5 * time.Second
	return Options{Limits: l, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), Logger: slog.New(slog.DiscardHandler)}
}

// serve serves until stop is called, which returns what Serve did.
func serve(t *testing.T, o Options, at ...net.Listener) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, o, at...) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { must(t, stop()) })
	return stop
}

func dial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

func ask(c net.Conn) (*http.Response, error) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

func TestServesEveryListenerUntilTheEnd(t *testing.T) {
	one, other := listener(t), listener(t)
	stop := serve(t, options(), one, other)
	for _, ln := range []net.Listener{one, other} {
		r, err := ask(dial(t, ln))
		must(t, err)
		if b, err := io.ReadAll(io.LimitReader(r.Body, 5)); string(b) != "hello" || err != nil || r.Close {
			t.Errorf("%q, %v, %v", b, err, r.Close)
		}
	}
	must(t, stop())
	for _, ln := range []net.Listener{one, other} {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("stayed open: %v", err)
		}
	}
}

// Whoever says nothing, or says it too slowly, is cut by the bound of that step.
func TestTheSlowAreCut(t *testing.T) {
	const short, long = 100 * time.Millisecond, time.Hour
	for name, c := range map[string]struct {
		set  func(*Limits)
		says string
	}{
		"header": {func(l *Limits) { l.Header = short }, "GET / HTTP/1.1\r\nHo"},
		"body":   {func(l *Limits) { l.Read = short }, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"},
		"idle":   {func(l *Limits) { l.Idle = short }, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Limits.Header, o.Limits.Read, o.Limits.Idle = long, long, long
			c.set(&o.Limits)
			o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			ln := listener(t)
			serve(t, o, ln)
			conn := dial(t, ln)
			_, err := io.WriteString(conn, c.says)
			must(t, err)
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("it was not cut: %v", err)
			}
		})
	}
}

// Whoever does not take his answer is cut.
func TestTheDeafAreCut(t *testing.T) {
	o, failed := options(), make(chan error, 1)
	o.Limits.Write = 100 * time.Millisecond
	o.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for part := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(part)
		}
		failed <- err
	})
	ln := listener(t)
	serve(t, o, ln)
	_, err := io.WriteString(dial(t, ln), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	select {
	case <-failed:
	case <-time.After(20 * time.Second):
		t.Error("he holds his connection")
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	ln := listener(t)
	serve(t, options(), ln)
	c := dial(t, ln)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n")
	must(t, err)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(r.Status)
	}
}

// One connection too many waits until another ends.
func TestTooManyWait(t *testing.T) {
	o := options()
	o.Limits.Connections = 1
	ln := listener(t)
	serve(t, o, ln)
	first, second := dial(t, ln), dial(t, ln)
	_, err := ask(first)
	must(t, err)
	must(t, second.SetDeadline(time.Now().Add(200*time.Millisecond)))
	if _, err := ask(second); err == nil {
		t.Error("two are served at once")
	}
	must(t, first.Close())
	must(t, second.SetDeadline(time.Now().Add(20*time.Second)))
	if _, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil {
		t.Error(err)
	}
}

// A request under way finishes with a context that is not done, and one that takes too
// long is cut.
func TestStop(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			o, begun, goOn := options(), make(chan struct{}), make(chan struct{})
			if cut {
				o.Limits.Finish = 50 * time.Millisecond
			}
			o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(begun)
				<-goOn
				if err := r.Context().Err(); err == nil {
					_, _ = io.WriteString(w, "done")
				}
			})
			ln := listener(t)
			stop := serve(t, o, ln)
			c := dial(t, ln)
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			must(t, err)
			<-begun
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			if cut {
				must(t, <-stopped)
				close(goOn)
				if r, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
					t.Errorf("it was not cut: %v", r.Status)
				}
				return
			}
			if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
				time.Sleep(100 * time.Millisecond) // the stop may not have come yet
			}
			close(goOn)
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			must(t, err)
			if b, err := io.ReadAll(r.Body); string(b) != "done" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			must(t, <-stopped)
		})
	}
}

// One listener that fails ends all, and is named.
func TestFailingListener(t *testing.T) {
	good, bad := listener(t), listener(t)
	must(t, bad.Close())
	err := Serve(t.Context(), options(), good, bad)
	if err == nil || !strings.Contains(err.Error(), bad.Addr().String()) {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", good.Addr().String()); err == nil {
		t.Error("the other goes on")
	}
}

func TestUnderTLS(t *testing.T) {
	own := httptest.NewTLSServer(nil)
	own.Close()
	o := options()
	o.TLS, o.Once = &tls.Config{Certificates: own.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}, true
	ln := listener(t)
	serve(t, o, ln)
	secure := func(protocols ...string) (*http.Response, error) {
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		must(t, err)
		defer c.Close()
		return ask(c)
	}
	r, err := secure("http/1.1")
	must(t, err)
	if r.StatusCode != http.StatusOK || !r.Close {
		t.Errorf("%s, closes: %v", r.Status, r.Close)
	}
	if r, err := secure("h2"); err == nil {
		t.Errorf("another protocol is spoken: %s", r.Status)
	}
	if r, err := ask(dial(t, ln)); err == nil && r.StatusCode == http.StatusOK {
		t.Error("it answers in the clear")
	}
}

// A server without a bound does not start, and holds no address.
func TestBoundsAreRequired(t *testing.T) {
	for i, without := range []func(*Options){
		func(o *Options) { o.Limits.Header = 0 }, func(o *Options) { o.Limits.Read = 0 }, func(o *Options) { o.Limits.Write = 0 }, func(o *Options) { o.Limits.Idle = 0 },
		func(o *Options) { o.Limits.Finish = 0 }, func(o *Options) { o.Limits.HeaderOctets = 0 }, func(o *Options) { o.Limits.Connections = 0 },
		func(o *Options) { o.Handler = nil }, func(o *Options) { o.Logger = nil },
		func(o *Options) { o.Streams = true }, func(o *Options) { o.Seats = true },
	} {
		o, ln := options(), listener(t)
		without(&o)
		if err := Serve(t.Context(), o, ln); !errors.Is(err, errOptions) {
			t.Errorf("%d: %v", i, err)
		}
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d: it stayed bound: %v", i, err)
		}
	}
	if err := Serve(t.Context(), options()); !errors.Is(err, errOptions) {
		t.Error(err)
	}
}
