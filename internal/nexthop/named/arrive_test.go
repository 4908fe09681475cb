package named

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/test/port"
)

// store is an independent server, of LMTP or SMTP, that knows the recipients whose
// names begin with "known", is full for "full", and keeps what it takes.
type store struct {
	mu    sync.Mutex
	conns int
	took  []string // "<from> <to> text" for each recipient
}

func (s *store) NewSession(*smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	return &storeSession{store: s}, nil
}

type storeSession struct {
	store *store
	from  string
	to    []string
}

func (s *storeSession) Reset()        { s.from, s.to = "", nil }
func (s *storeSession) Logout() error { return nil }

func (s *storeSession) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }

func (s *storeSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !strings.HasPrefix(strings.ToLower(to), "known") && !strings.HasPrefix(to, "full") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "who is that"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *storeSession) keep(to, text string) error {
	if code, ok := map[string]smtp.EnhancedCode{"full-552@": {5, 2, 2}, "full-bare@": smtp.NoEnhancedCode, "full-large@": {5, 3, 4}}[to[:strings.IndexByte(to, '@')+1]]; ok {
		return &smtp.SMTPError{Code: 552, EnhancedCode: code, Message: "Quota exceeded"}
	}
	if strings.HasPrefix(to, "full") {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "the mailbox is full"}
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.took = append(s.store.took, fmt.Sprintf("<%s> <%s> %s", s.from, to, text))
	return nil
}

func (s *storeSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	for _, to := range s.to {
		err = errors.Join(err, s.keep(to, string(text)))
	}
	return err
}

func (s *storeSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range s.to {
		status.SetStatus(to, s.keep(to, string(text)))
	}
	return nil
}

// serveStore starts the store and returns the place of a server of ours.
func serveStore(t *testing.T, lmtp bool, network string) (*store, Place) {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "lmtp")
	}
	ln, err := net.Listen(network, at)
	check(t, err)
	box := &store{}
	s := smtp.NewServer(box)
	s.Domain, s.LMTP = "inner.test", lmtp
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return box, Place{
		Ours: true, LMTP: lmtp, Network: network, Address: ln.Addr().String(), Host: "127.0.0.1", TLS: mail.TLSNone, Limits: DefaultServerLimits(),
	}
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	check(t, err)
	return a
}

// through is a message for mailboxes; what leads to them is an alias of ours.
func through(t *testing.T, mailboxes ...string) nexthop.Job {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const text = "Subject: x\r\n\r\nhello\r\n"
	j := nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.PathOf(address(t, "s@far.test"))}, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
	for i, m := range mailboxes {
		alias := address(t, fmt.Sprintf("alias%d@ours.test", i))
		j.Recipients = append(j.Recipients, nexthop.Recipient{Recipient: mail.Recipient{Address: alias}, Mailbox: address(t, m)})
	}
	return j
}

func codes(out []mail.Outcome) string {
	var words []string
	for _, o := range out {
		words = append(words, fmt.Sprintf("%s %d", o.Recipient, o.Reply.Code))
	}
	return strings.Join(words, ", ")
}

func TestDeliver(t *testing.T) {
	for _, c := range []struct {
		lmtp    bool
		network string
	}{{true, "tcp"}, {true, "unix"}, {false, "tcp"}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			box, p := serveStore(t, c.lmtp, c.network)
			d := reach(t, p, means(t))
			// Capitals arrive as they came, and who was asked for is told of.
			out := d.Deliver(t.Context(), through(t, "Known.A@inner.test", "nobody@inner.test", "known-b+x@inner.test"))
			if got := codes(out); got != "alias0@ours.test 250, alias1@ours.test 550, alias2@ours.test 250" {
				t.Error(got)
			}
			// Only LMTP has an answer for each.
			out = d.Deliver(t.Context(), through(t, "full@inner.test", "known-c@inner.test"))
			switch got := codes(out); {
			case c.lmtp && got != "alias0@ours.test 452, alias1@ours.test 250", !c.lmtp && out[0].Reply != out[1].Reply:
				t.Error(got)
			}
			box.mu.Lock()
			defer box.mu.Unlock()
			if len(box.took) < 3 || box.took[0] != "<s@far.test> <Known.A@inner.test> Subject: x\r\n\r\nhello\r\n" {
				t.Errorf("arrived: %q", box.took)
			}
			if c.lmtp && (len(box.took) != 3 || box.conns != 1) {
				t.Errorf("%d messages over %d connections: %q", len(box.took), box.conns, box.took)
			}
		})
	}
}

func TestAsk(t *testing.T) {
	for _, lmtp := range []bool{true, false} {
		box, p := serveStore(t, lmtp, "tcp")
		d := reach(t, p, means(t))
		for range 3 {
			for a, want := range map[string]int{"Known@inner.test": 250, "nobody@inner.test": 550} {
				r, remote, err := d.Ask(t.Context(), address(t, a))
				if err != nil || r.Code != want || !strings.HasPrefix(remote, "127.0.0.1 [127.0.0.1]:") {
					t.Errorf("%s: %v by %q, %v", a, r, remote, err)
				}
			}
		}
		if len(box.took) > 0 || box.conns != 1 {
			t.Errorf("%d connections, arrived: %q", box.conns, box.took)
		}
		if questions := d.questions.Use(); questions.Kept != 1 {
			t.Errorf("%+v", questions)
		}
	}
}

// Questions have connections of their own: deliveries that wait hold up none.
func TestNobodyAnswers(t *testing.T) {
	_, p := serveStore(t, false, "tcp")
	p.Address = port.Loopback(t)
	d := reach(t, p, means(t))
	_, _, err := d.Ask(t.Context(), address(t, "known@inner.test"))
	var unreachable *pool.Unreachable
	if !errors.As(err, &unreachable) || unreachable.Reply.Class() != mail.ClassTransient {
		t.Error(err)
	}
	if out := d.Deliver(t.Context(), through(t, "known@inner.test")); !out[0].Deferred() {
		t.Errorf("%v", out)
	}
}

// RFC 8689 §4.4: a message that requires TLS has arrived when it is with our own
// servers, however the administrator connects them.
func TestMailThatRequiresTLSHasArrived(t *testing.T) {
	for _, lmtp := range []bool{true, false} {
		_, p := serveStore(t, lmtp, "tcp")
		j := through(t, "known-c@inner.test")
		j.Envelope.TLS = mail.RequireTLS
		if out := reach(t, p, means(t)).Deliver(t.Context(), j); !out[0].Delivered() {
			t.Errorf("LMTP %v: %s", lmtp, out[0].Reply)
		}
	}
}

// A full mailbox passes, whatever the server behind calls it; what is too large does not.
func TestAFullMailboxPasses(t *testing.T) {
	for local, want := range map[string]string{
		"full-552":   "452 4.2.2 the mailbox is full; the server behind says: 552 5.2.2 Quota exceeded",
		"full-bare":  "452 4.2.2 the mailbox is full; the server behind says: 552 Quota exceeded",
		"full-large": "552 5.3.4 Quota exceeded",
		"full":       "452 4.2.2 the mailbox is full",
	} {
		_, p := serveStore(t, true, "tcp")
		out := reach(t, p, means(t)).Deliver(t.Context(), through(t, local+"@x.test"))
		if got := strings.Replace(out[0].Reply.String(), "<"+local+"@x.test> ", "", 1); got != want || out[0].Said == strings.Contains(want, "says") {
			t.Errorf("%s: %s, want %s", local, got, want)
		}
	}
}

// Whether the server takes addresses beyond ASCII is known when it has greeted.
func TestInternational(t *testing.T) {
	box, p := serveStore(t, true, "tcp")
	b := reach(t, p, means(t))
	for range 2 {
		if takes, known := b.International(t.Context(), address(t, "nobody@x.test")); takes || !known {
			t.Errorf("takes %v, known %v", takes, known)
		}
	}
	if box.conns != 1 {
		t.Errorf("%d connections for what is known", box.conns)
	}
	_, p = serveStore(t, true, "tcp")
	p.Address += "0" // nobody listens there
	if takes, known := reach(t, p, means(t)).International(t.Context(), address(t, "nobody@x.test")); takes || known {
		t.Error("known of a server that was never reached")
	}
}

// Two aliases of one mailbox behind us are one recipient there, and one outcome each.
func TestAnAddressIsGivenOnce(t *testing.T) {
	box, p := serveStore(t, true, "unix")
	d := reach(t, p, means(t))
	out := d.Deliver(t.Context(), through(t, "known-a@inner.test", "nobody@inner.test", "known-a@inner.test", "known-a+x@inner.test", "nobody@inner.test"))
	if got := codes(out); got != "alias0@ours.test 250, alias1@ours.test 550, alias2@ours.test 250, alias3@ours.test 250, alias4@ours.test 550" {
		t.Error(got)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.took) != 2 {
		t.Errorf("arrived: %q", box.took)
	}
}

func TestWhatTwoRecipientsAskToBeTold(t *testing.T) {
	const never, success, failure, delay = mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay
	for _, c := range [][3]mail.Notify{
		{0, 0, 0}, {never, never, never}, {never, 0, failure}, {0, success, success | failure}, {never, delay, delay}, {success, failure, success | failure},
	} {
		if got, back := together(c[0], c[1]), together(c[1], c[0]); got != c[2] || back != c[2] {
			t.Errorf("%v with %v: %v and %v, want %v", c[0], c[1], got, back, c[2])
		}
	}
}
