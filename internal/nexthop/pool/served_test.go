package pool_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
	"sallyport/test/load"
)

// way is a pool before a real server.
type way struct {
	*pool.Pool
	t     *testing.T
	sink  *load.Sink
	opens int
	used  int
}

func open(t *testing.T, messages int) *way {
	t.Helper()
	w := &way{t: t}
	var err error
	if w.sink, err = load.NewSink(load.SinkOptions{Keep: true, Unknown: func(r string) bool { return strings.HasPrefix(r, "nobody") }}); err != nil {
		t.Fatal(err)
	}
	hello, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	w.Pool, err = pool.New(pool.Options{
		Name: "sink", Limits: pool.Limits{Connections: 2, Start: 1, Messages: messages, Idle: time.Minute, Rest: time.Minute}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Open: func(ctx context.Context, _ nexthop.Job) (*client.Client, pool.Failure) {
			w.opens++
			c, err := pool.Call{
				Connect: 10 * time.Second,
				Dial: func(ctx context.Context) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", w.sink.Addr())
				},
				SMTP: client.Options{
					Hello: hello, Host: "sink.test", TLS: client.TLSPolicy{Mode: mail.TLSNone},
					Timeouts: client.DefaultTimeouts(), Limits: client.DefaultLimits(),
				},
			}.Open(ctx)
			if err != nil {
				return nil, pool.Failure{Reply: pool.ReplyFor("sink", err), Remote: "sink"}
			}
			return c, pool.Failure{}
		},
		Used: func(context.Context, *client.Client, bool) bool { w.used++; return true },
		Room: func() int { return 1 },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		_ = w.sink.Close() // some tests have closed it
	})
	return w
}

func (w *way) address(name string) mail.Address {
	w.t.Helper()
	a, err := mail.ParseAddress(name+"@far.test", mail.ASCII)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *way) job(to ...string) nexthop.Job {
	w.t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	const text = "Subject: x\r\n\r\nHello.\r\n"
	j := nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
	for _, name := range to {
		j.Recipients = append(j.Recipients, nexthop.Recipient{Recipient: mail.Recipient{Address: w.address(name)}})
	}
	return j
}

// deliver delivers a message, and demands these codes of the recipients.
func (w *way) deliver(j nexthop.Job, codes ...int) {
	w.t.Helper()
	out := w.Deliver(w.t.Context(), j)
	if len(out) != len(codes) {
		w.t.Fatalf("%d outcomes, want %d", len(out), len(codes))
	}
	for i, o := range out {
		if o.Reply.Code != codes[i] {
			w.t.Errorf("recipient %d: %v, want %d", i, o.Reply, codes[i])
		}
	}
}

// Messages go over one connection that is kept between them, each recipient has the server's own
// answer, and after so many messages there is another connection.
func TestAConnectionIsKept(t *testing.T) {
	w := open(t, 3)
	for n, opens := range []int{1, 1, 1, 2} {
		w.deliver(w.job("ann", "nobody"), 250, 550)
		if w.opens != opens || w.used != n+1 {
			t.Errorf("after %d messages: %d connections, told of %d", n+1, w.opens, w.used)
		}
	}
	if u := w.Use(); u != (pool.Use{Kept: 1}) || w.sink.Messages() != 4 || w.sink.Connections() != 2 {
		t.Errorf("%+v, %d messages over %d connections", u, w.sink.Messages(), w.sink.Connections())
	}
	if n := w.Drop(); n != 1 || w.Use().Kept != 0 {
		t.Errorf("dropped %d, %+v", n, w.Use())
	}
	if w.deliver(w.job("ann"), 250); w.opens != 3 {
		t.Errorf("%d connections", w.opens)
	}
}

// A kept connection that the server has closed meanwhile costs no message and no try; a message
// that cannot be read is put off, and the connection serves the next one.
func TestAConnectionThatEnded(t *testing.T) {
	w := open(t, 100)
	w.deliver(w.job("ann"), 250)
	bad := w.job("ann")
	bad.Open = func() (io.ReadCloser, error) { return nil, errors.New("the disk") }
	if w.deliver(bad, 451); w.opens != 1 {
		t.Errorf("%d connections", w.opens)
	}
	at := w.sink.Addr()
	if err := w.sink.Close(); err != nil { // ends the connections too
		t.Fatal(err)
	}
	var err error
	if w.sink, err = load.NewSink(load.SinkOptions{Listen: at}); err != nil {
		t.Skip("the port is taken: ", err)
	}
	w.deliver(w.job("ann", "bob"), 250, 250)
	if w.sink.Messages() != 1 {
		t.Errorf("%d messages came", w.sink.Messages())
	}
}

// Whether a recipient exists is asked over the same connections; what cannot be reached says why.
func TestAsking(t *testing.T) {
	w := open(t, 100)
	for range 2 {
		replies, remote, err := w.Ask(t.Context(), []mail.Address{w.address("ann"), w.address("nobody")})
		if err != nil || len(replies) != 2 || !replies[0].OK() || replies[1].Code != 550 || !strings.Contains(remote, "sink.test") {
			t.Errorf("%v of %s, %v", replies, remote, err)
		}
	}
	if w.opens != 1 || w.sink.Messages() != 0 {
		t.Errorf("%d connections, %d messages", w.opens, w.sink.Messages())
	}
	if w.Drop() != 1 {
		t.Error("no connection was kept")
	}
	if err := w.sink.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.Ask(t.Context(), []mail.Address{w.address("ann")})
	var none *pool.Unreachable
	if !errors.As(err, &none) || none.Reply.Code != 451 || !strings.Contains(none.Error(), "sink: 451 4.4.1 no connection to sink: ") {
		t.Errorf("%v", err)
	}
	w.deliver(w.job("ann"), 451)
}
