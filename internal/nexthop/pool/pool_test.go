package pool

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
	"sallyport/internal/smtp/client"
)

// unreachable is a hop whose connections fail as open says.
func unreachable(t *testing.T, now *time.Time, open func() Failure) *Pool {
	t.Helper()
	h, err := New(Options{
		Name: "x.test", Limits: limits(), Now: func() time.Time { return *now }, Logger: slog.New(slog.DiscardHandler),
		Open: func(context.Context, nexthop.Job) (*client.Client, Failure) { return nil, open() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func job(t *testing.T) nexthop.Job {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, err := mail.ParseAddress("ann@x.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: 2, Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: a}}},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("\r\n")), nil },
	}
}

// A failure that can pass is repeated to others for as long as it took to find
// out; a verdict is given anew each time; what is no failure at all defers.
func TestFailuresToConnect(t *testing.T) {
	for title, row := range map[string]struct {
		reply mail.Reply
		want  string
		opens int // of three deliveries at one moment
	}{
		"may pass":    {mail.R(451, "4.4.1", "no"), "451 4.4.1 no", 1},
		"verdict":     {mail.R(556, "5.1.10", "null MX"), "556 5.1.10 null MX", 3},
		"no reply":    {mail.Reply{}, "451 4.4.0 there is no connection to x.test", 1},
		"a success":   {mail.R(250, "2.0.0", "fine"), "451 4.4.0 there is no connection to x.test", 1},
		"go on, then": {mail.R(354, "", "go"), "451 4.4.0 there is no connection to x.test", 1},
	} {
		now := time.Unix(1_800_000_000, 0)
		opens := 0
		h := unreachable(t, &now, func() Failure {
			opens++
			now = now.Add(time.Second)
			return Failure{Reply: row.reply, Remote: "mx.x.test"}
		})
		for range 3 {
			out := h.Deliver(t.Context(), job(t))
			if len(out) != 1 || out[0].Reply.String() != row.want || out[0].Remote != "mx.x.test" {
				t.Errorf("%s: %+v", title, out)
			}
		}
		if opens != row.opens {
			t.Errorf("%s: tried %d times", title, opens)
		}
		now = now.Add(limits().Rest)
		h.Deliver(t.Context(), job(t))
		if opens != row.opens+1 {
			t.Errorf("%s: not tried again after its rest", title)
		}
	}
}

// Whoever says that the next hop can be reached again has it tried at once, also where it is being
// tried in vain just now.
func TestARestIsEndedByWake(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	opens := 0
	var during func()
	h := unreachable(t, &now, func() Failure {
		opens++
		during()
		now = now.Add(time.Second)
		return Failure{Reply: mail.R(451, "4.4.1", "no"), Remote: "mx.x.test"}
	})
	for i, row := range []struct {
		before, during func()
		opens          int
	}{
		{func() {}, func() {}, 1},
		{func() {}, func() {}, 1},
		{h.Wake, func() {}, 2},
		{func() {}, func() {}, 2},
		{h.Wake, func() { now = now.Add(time.Second); h.Wake() }, 3},
		{func() {}, func() {}, 4},
		{func() {}, func() {}, 4},
	} {
		during = row.during
		row.before()
		h.Deliver(t.Context(), job(t))
		if opens != row.opens {
			t.Errorf("delivery %d: tried %d times, want %d", i, opens, row.opens)
		}
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	for title, spoil := range map[string]func(*Options){
		"no name": func(o *Options) { o.Name = "" }, "no connections": func(o *Options) { o.Open = nil }, "no clock": func(o *Options) { o.Now = nil },
		"no logger": func(o *Options) { o.Logger = nil }, "no limits": func(o *Options) { o.Limits = Limits{} },
	} {
		o := Options{
			Name: "x.test", Limits: limits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Open: func(context.Context, nexthop.Job) (*client.Client, Failure) { return nil, Failure{} },
		}
		spoil(&o)
		if h, err := New(o); h != nil || err == nil {
			t.Errorf("taken: %s", title)
		}
	}
}

// The words of a failed dial: who could not be reached and why, and always 4xx.
func TestWordsOfAFailedDial(t *testing.T) {
	for want, err := range map[string]error{
		`451 4.4.1 no connection to mx: "refused"`:             &DialError{&net.OpError{Op: "dial", Err: errors.New("refused")}},
		"451 4.4.3 the name in mx cannot be resolved: no such": &DialError{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such"}}},
		"451 4.4.2 EHLO: the connection was lost":              &client.ConnError{Stage: client.StageHello, Err: client.ErrLost},
		`451 4.4.0 greeting refused: "554 5.7.1 go away"`:      &client.ReplyError{Stage: client.StageGreeting, Reply: mail.R(554, "5.7.1", "go away")},
		"421 4.3.2 busy": &client.ReplyError{Stage: client.StageGreeting, Reply: mail.R(421, "4.3.2", "busy")},
	} {
		if got := ReplyFor("mx", err).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
