package daily

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// post is a Sender on a real queue.
type post struct {
	t      *testing.T
	store  store.Store
	spool  *spool.Spool
	active bool
	handed []spool.Claim
	signed func(mail.Domain, message.Header, []byte) ([]byte, error)
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{t: t, store: mem.New(), active: true}
	t.Cleanup(func() { _ = p.store.Close() })
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(t, err)
	p.spool, _, err = spool.Open(t.Context(), p.store, spool.Options{Key: key, Policy: sched.Default(), Limits: spool.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return p
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	must(t, err)
	return a
}

func (p *post) sender(account string) *Sender {
	p.t.Helper()
	dir, err := directory.NewSnapshot(directory.Config{
		Hostname: dom(p.t, "mx.local.test"), Detail: '+', Domains: []directory.Domain{{Name: dom(p.t, "local.test"), Deliver: directory.DeliverMaildir}},
	}, []mail.Address{address(p.t, "alice@local.test"), address(p.t, "bob@local.test")})
	must(p.t, err)
	o := Options{
		Hostname: dom(p.t, "mx.local.test"), Directory: func() *directory.Snapshot { return dir }, Queue: p.spool, Sign: p.signed,
		Active:  func(a mail.Address) bool { return p.active && a == address(p.t, "alice@local.test") },
		Handoff: func(c spool.Claim) { p.handed = append(p.handed, c) }, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}
	if account != "" {
		o.Account = address(p.t, account)
	}
	s, err := New(o)
	must(p.t, err)
	return s
}

// text returns what the queue holds of the message that was handed over last.
func (p *post) text() []byte {
	p.t.Helper()
	c := p.handed[len(p.handed)-1]
	r, err := p.spool.OpenBody(p.t.Context(), c.Entry.ID)
	must(p.t, err)
	b, err := io.ReadAll(r)
	must(p.t, errors.Join(err, r.Close()))
	return b
}

var plain = Part{Type: "text/plain; charset=us-ascii", Data: []byte("Hello\r\n")}

// A report is mail of its account or nothing: it goes where the gate lets it, and what
// a caller puts together cannot become other fields or another message.
func TestReportsAreBoundToTheirAccount(t *testing.T) {
	p := newPost(t)
	good := Mail{To: []mail.Address{address(t, "bob@local.test"), address(t, "far@remote.test"), address(t, "nobody@local.test")}, Subject: "x", Type: "mixed", Rule: "test-report", Parts: []Part{plain}}
	for name, row := range map[string]struct {
		account string
		change  func(*Mail)
		want    error
	}{
		"good":               {"alice@local.test", func(*Mail) {}, nil},
		"no account":         {"", func(*Mail) {}, ErrNoAccount},
		"account not there":  {"carol@local.test", func(*Mail) {}, ErrNoAccount},
		"foreign account":    {"x@remote.test", func(*Mail) {}, ErrNoAccount},
		"nobody to go to":    {"alice@local.test", func(m *Mail) { m.To = m.To[2:] }, ErrRefused},
		"no recipients":      {"alice@local.test", func(m *Mail) { m.To = nil }, ErrRefused},
		"injected field":     {"alice@local.test", func(m *Mail) { m.Subject = "x\r\nFrom: eve@evil.test" }, ErrMail},
		"injected body":      {"alice@local.test", func(m *Mail) { m.Subject = "x\r\n\r\nbody" }, ErrMail},
		"an empty field":     {"alice@local.test", func(m *Mail) { m.Subject = " \r\n " }, ErrMail},
		"a long line":        {"alice@local.test", func(m *Mail) { m.Subject = strings.Repeat("x", maxFieldOctets+1) }, ErrMail},
		"bare line feed":     {"alice@local.test", func(m *Mail) { m.Fields = []Field{{Name: "X", Value: "a\nb"}} }, ErrMail},
		"field name":         {"alice@local.test", func(m *Mail) { m.Fields = []Field{{Name: "X: y\r\nZ", Value: "a"}} }, ErrMail},
		"file name":          {"alice@local.test", func(m *Mail) { m.Parts = []Part{{Type: "a/b", Name: "x\"; y", Data: nil, Base64: true}} }, ErrMail},
		"binary without it":  {"alice@local.test", func(m *Mail) { m.Parts = []Part{{Type: "a/b", Data: []byte{0}}} }, ErrMail},
		"lines without CRLF": {"alice@local.test", func(m *Mail) { m.Parts = []Part{{Type: "a/b", Data: []byte("a\nb")}} }, ErrMail},
		"no parts":           {"alice@local.test", func(m *Mail) { m.Parts = nil }, ErrMail},
		"too many parts":     {"alice@local.test", func(m *Mail) { m.Parts = make([]Part, maxParts+1) }, ErrMail},
	} {
		m := good
		row.change(&m)
		before, handed := p.spool.Stats().Entries, len(p.handed)
		_, err := p.sender(row.account).Send(t.Context(), m)
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
		if row.want != nil && (p.spool.Stats().Entries > before || len(p.handed) > handed) {
			t.Errorf("%s: something is queued", name)
		}
	}
	if len(p.handed) != 1 {
		t.Fatalf("%d reports are handed over", len(p.handed))
	}
	e := p.handed[0].Entry
	if e.Envelope.From != mail.PathOf(address(t, "alice@local.test")) || len(e.Envelope.To) != 2 || len(e.Recipients) != 2 || e.Recipients[0].Kind != spool.KindLocal || e.Recipients[1].Kind != spool.KindOutbound {
		t.Errorf("it goes to %+v", e)
	}
	for _, r := range e.Envelope.To {
		if r.Notify != mail.NotifyNever {
			t.Errorf("%s is to be notified of: %v", r.Address, r.Notify)
		}
	}
	p.active = false
	if _, err := p.sender("alice@local.test").Send(t.Context(), good); !errors.Is(err, ErrNoAccount) {
		t.Errorf("a frozen account reports: %v", err)
	}
}

// What is sent reads as mail with its parts, in the act that changes what Also says and
// records it; a signature stands first.
func TestAReportIsMail(t *testing.T) {
	p := newPost(t)
	data := bytes.Repeat([]byte{0, 1, 254, 255}, 300)
	var over []byte
	p.signed = func(d mail.Domain, h message.Header, body []byte) ([]byte, error) {
		if d != dom(t, "local.test") || len(h.Fields("Subject")) != 1 {
			t.Errorf("signs for %s: %v", d, h)
		}
		over = body
		return []byte("DKIM-Signature: x\r\n"), nil
	}
	key := []byte("t/x")
	id, err := p.sender("alice@local.test").Send(t.Context(), Mail{
		To: []mail.Address{address(t, "far@remote.test")}, Subject: "Report Domain: a\r\n Submitter: b", Fields: []Field{{"X-One", "1"}},
		Type: `report; report-type="tlsrpt"`, Rule: "test-report", TLS: mail.TLSOptional, Parts: []Part{plain, {Type: "application/gzip", Name: "a!b.gz", Data: data, Base64: true}},
		Also: []store.Mutation{{Key: key, Value: []byte("told")}},
	})
	must(t, err)
	if v, err := p.store.Get(t.Context(), key); err != nil || string(v) != "told" {
		t.Errorf("what should change with it is %q, %v", v, err)
	}
	if e := p.handed[0].Entry; e.ID != id || e.Envelope.TLS != mail.TLSOptional {
		t.Errorf("%+v", e)
	}
	text := p.text()
	if !bytes.HasPrefix(text, []byte("DKIM-Signature: x\r\nFrom: <alice@local.test>\r\n")) || !bytes.HasSuffix(text, over) {
		t.Errorf("it reads %.200q", text)
	}
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	must(t, err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	if kind != "multipart/report" || params["report-type"] != "tlsrpt" || m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("X-One") != "1" || m.Header.Get("Message-Id") != "<"+id.String()+"@mx.local.test>" ||
		m.Header.Get("Subject") != "Report Domain: a Submitter: b" || m.Header.Get("To") != "<far@remote.test>" {
		t.Errorf("%s, %v", kind, m.Header)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	first, err := parts.NextPart()
	must(t, err)
	if b, err := io.ReadAll(first); err != nil || string(b) != "Hello\r\n" {
		t.Errorf("the first part is %q, %v", b, err)
	}
	second, err := parts.NextPart()
	must(t, err)
	if b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, second)); err != nil || !bytes.Equal(b, data) || second.FileName() != "a!b.gz" {
		t.Errorf("the second part is %q, %v", b, err)
	}
	for line := range strings.SplitSeq(string(text), "\r\n") {
		if len(line) > 78 {
			t.Errorf("%d octets in a line", len(line))
		}
	}
	var told []fact.Fact
	must(t, p.store.Facts(t.Context(), 1, p.store.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		told = append(told, f)
		return true, err
	}))
	if len(told) != 1 || told[0].Rule != "test-report" || told[0].Account != "alice@local.test" || told[0].Queue != id || told[0].Door != gate.DoorReport.String() {
		t.Errorf("recorded %+v", told)
	}
	p.signed = func(mail.Domain, message.Header, []byte) ([]byte, error) { return nil, errLater }
	if _, err := p.sender("alice@local.test").Send(t.Context(), Mail{To: []mail.Address{address(t, "far@remote.test")}, Subject: "x", Type: "mixed", Parts: []Part{plain}}); !errors.Is(err, errLater) || len(p.handed) != 1 {
		t.Errorf("what cannot be signed: %v", err)
	}
}

func TestASenderNeedsItsOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a sender without anything")
	}
}
