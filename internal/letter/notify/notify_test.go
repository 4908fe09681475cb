package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
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

var now = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

// office is a Post over a real queue.
type office struct {
	Post
	t      *testing.T
	st     store.Store
	spool  *spool.Spool
	handed []spool.Claim
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	must(t, err)
	return d
}

// newOffice is the post of a server for local.test, whose alice is told at home and is the
// postmaster.
func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, st: mem.New()}
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	o.spool, _, err = spool.Open(t.Context(), o.st, spool.Options{Key: key, Policy: sched.Default(), Now: func() time.Time { return now }, Logger: log})
	must(t, err)
	alice, odd := addr(t, "alice@local.test"), addr(t, `"Bcc: x, y"@local.test`)
	cfg := directory.Config{
		Hostname: domain(t, "mx.local.test"), Detail: '+', Domains: []directory.Domain{{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir}},
		Contacts: []directory.Contact{{Account: alice, Address: addr(t, "alice@home.test")}, {Account: odd, Address: addr(t, `"a@b,c"@home.test`)}},
	}
	cfg.Postmaster = alice
	s, err := directory.NewSnapshot(cfg, []mail.Address{alice, odd})
	must(t, err)
	o.Post = Post{
		Hostname: cfg.Hostname, Directory: func() *directory.Snapshot { return s }, Queue: o.spool, Handoff: func(c spool.Claim) { o.handed = append(o.handed, c) },
		Now: func() time.Time { return now }, Rand: rand.Reader, Logger: log,
	}
	return o
}

// only is the one letter that was handed over, as it is kept.
func (o *office) only() (spool.Claim, string) {
	o.t.Helper()
	if len(o.handed) != 1 || o.spool.Stats().Entries != 1 {
		o.t.Fatalf("%d letters were handed over, %d are queued", len(o.handed), o.spool.Stats().Entries)
	}
	r, err := o.spool.OpenBody(o.t.Context(), o.handed[0].Entry.ID)
	must(o.t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	must(o.t, err)
	return o.handed[0], string(text)
}

// Every letter goes to the one whom it is for, with the null sender, wants no answer and no
// bounce, is nobody's mail, and says in its header no more than it was meant to.
func TestLetters(t *testing.T) {
	for name, l := range map[string]Letter{
		"the owner":                {To: addr(t, "alice@local.test")},
		"a mailbox with a detail":  {To: addr(t, "alice+x@local.test")},
		"an odd name":              {To: addr(t, `"Bcc: x, y"@local.test`)},
		"the contact":              {To: addr(t, "alice@home.test"), About: addr(t, "alice@local.test")},
		"a contact of an odd name": {To: addr(t, `"a@b,c"@home.test`), About: addr(t, `"Bcc: x, y"@local.test`)},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			l.Rule, l.Subject, l.Text = "expiry-warning", "A certificate ends", "Bcc: not a field\n\nSecond line, ü.\n"
			l.Marks = []store.Mutation{{Key: store.SpaceExpiry.Key([]byte("mark")), Value: []byte("1")}}
			must(t, o.Send(t.Context(), l))
			c, text := o.only()
			e := c.Entry
			if !e.Envelope.From.IsNull() || !e.Account.IsZero() || len(e.Envelope.To) != 1 || e.Envelope.To[0].Address != l.To || e.Envelope.To[0].Notify != mail.NotifyNever {
				t.Errorf("it leaves as %+v of %v", e.Envelope, e.Account)
			}
			if outside := !l.About.IsZero(); outside != c.Grant.Covers(e.ID, mail.NullPath(), l.To) || !c.Grant.Answers().IsZero() {
				t.Errorf("its grant covers it: %v", !outside)
			}
			if _, err := o.st.Get(t.Context(), l.Marks[0].Key); err != nil {
				t.Errorf("it was not marked: %v", err)
			}
			h, err := message.ParseHeader([]byte(text[:strings.Index(text, "\r\n\r\n")+4]))
			must(t, err)
			from := "mx.local.test"
			if !l.About.IsZero() {
				from = "local.test"
			}
			for field, want := range map[string]string{
				"From": "Mail server <postmaster@" + from + ">", "To": l.To.String(), "Subject": l.Subject, "Auto-Submitted": "auto-generated",
				"Message-ID": "<" + e.ID.String() + "@mx.local.test>", "Date": "Sun, 29 Nov 2026 09:00:00 +0000",
			} {
				if got := strings.TrimSpace(h.Value(field)); h.Count(field) != 1 || got != want {
					t.Errorf("%s: %d times, %q, want %q", field, h.Count(field), got, want)
				}
			}
			if h.Count("Bcc") != 0 || h.Count("Cc") != 0 || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
				t.Errorf("it has fields of its own, or bare line feeds:\n%s", text)
			}
			for _, line := range strings.Split(text[:strings.Index(text, "\r\n\r\n")], "\r\n") {
				if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) || len(line) > 998 { // RFC 5322 §2.1.1
					t.Errorf("a line of the header is %q", line)
				}
			}
			if !strings.HasSuffix(text, "\r\n\r\nBcc: not a field\r\n\r\nSecond line, ü.\r\n") {
				t.Errorf("%q", text)
			}
			told := 0
			must(t, o.st.Facts(t.Context(), 1, o.st.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
				f, err := fact.Decode(b)
				if err == nil && f.Rule == l.Rule && f.Recipients[0] == l.To.String() && f.Sender == "<>" {
					told++
				}
				return true, err
			}))
			if told != 1 {
				t.Errorf("the trace tells of it %d times", told)
			}
		})
	}
}

// Whoever is not the contact of the account gets nothing outside, and nobody's mailbox is no
// mailbox; then nothing is marked as told either.
func TestLettersThatNobodyTakes(t *testing.T) {
	alice := addr(t, "alice@local.test")
	for name, l := range map[string]Letter{
		"nobody":                       {},
		"no mailbox":                   {To: addr(t, "nobody@local.test")},
		"a stranger":                   {To: addr(t, "x@far.test")},
		"a stranger as a contact":      {To: addr(t, "x@far.test"), About: alice},
		"the contact, about nobody":    {To: addr(t, "alice@home.test")},
		"another account's contact":    {To: addr(t, "alice@home.test"), About: addr(t, `"Bcc: x, y"@local.test`)},
		"a mailbox as a contact":       {To: alice, About: alice},
		"the contact in other letters": {To: addr(t, "Alice@home.test"), About: alice},
	} {
		o := newOffice(t)
		l.Subject, l.Text, l.Marks = "x", "x\n", []store.Mutation{{Key: store.SpaceExpiry.Key([]byte("mark")), Value: []byte("1")}}
		if err := o.Send(t.Context(), l); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := o.st.Get(t.Context(), l.Marks[0].Key); !errors.Is(err, store.ErrNotFound) || len(o.handed) != 0 || o.spool.Stats().Entries != 0 || o.st.FactHead() != 0 {
			t.Errorf("%s: it was queued or marked: %v", name, err)
		}
	}
}

// What goes outside is signed by the account's domain; a signature that fails keeps no letter
// back, and what stays here needs none.
func TestLettersAreSigned(t *testing.T) {
	for name, c := range map[string]struct {
		l      Letter
		fails  error
		signed bool
	}{
		"outside":           {Letter{To: addr(t, "alice@home.test"), About: addr(t, "alice@local.test")}, nil, true},
		"outside, it fails": {Letter{To: addr(t, "alice@home.test"), About: addr(t, "alice@local.test")}, errors.New("no key"), false},
		"inside":            {Letter{To: addr(t, "alice@local.test")}, nil, false},
	} {
		o := newOffice(t)
		o.Sign = func(from mail.Domain, h message.Header, body []byte) ([]byte, error) {
			if from.ASCII() != "local.test" || h.Count("From") != 1 || string(body) != "x\r\n" {
				t.Errorf("%s: signed as %s: %q", name, from, body)
			}
			if c.fails != nil {
				return nil, c.fails
			}
			return []byte("DKIM-Signature: x\r\n"), nil
		}
		c.l.Subject, c.l.Text = "x", "x\n"
		must(t, o.Send(t.Context(), c.l))
		if _, text := o.only(); strings.HasPrefix(text, "DKIM-Signature: x\r\nFrom: ") != c.signed {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// Whatever stands in a subject, a device's name say, it is one bounded line of ASCII and no
// field beside it.
func TestSubjectsAreOneLine(t *testing.T) {
	for subject, want := range map[string]string{
		"x\r\nBcc: victim@far.test\r\n\r\nbody": "x??Bcc: victim@far.test????body",
		"x\nCc: victim@far.test":                "x?Cc: victim@far.test",
		"Bob\u2019s phone\x00":                  "Bob?s phone?",
		strings.Repeat("long ", 1000):           "",
	} {
		o := newOffice(t)
		must(t, o.Send(t.Context(), Letter{To: addr(t, "alice@local.test"), Subject: subject, Text: "x\n"}))
		c, text := o.only()
		h, err := message.ParseHeader([]byte(text[:strings.Index(text, "\r\n\r\n")+4]))
		must(t, err)
		got := strings.TrimSpace(h.Value("Subject"))
		if want != "" && got != want || len(got) > 998-len("Subject: ") || h.Count("Bcc")+h.Count("Cc") != 0 || h.Count("Subject") != 1 || len(c.Entry.Envelope.To) != 1 {
			t.Errorf("%.60q: %q", subject, got)
		}
	}
}

type full struct{ *spool.Spool }

func (full) NewBody(context.Context) (*spool.Body, error) { return nil, store.ErrLow }

// A disk that fails is told, and the administrator is whoever has the postmaster's mailbox.
func TestThePostAndItsTrouble(t *testing.T) {
	o := newOffice(t)
	if got := o.Postmaster(); got != addr(t, "postmaster@mx.local.test") && got != addr(t, "postmaster@local.test") {
		t.Errorf("the administrator is %v", got)
	}
	o.Queue = full{o.spool}
	if err := o.Send(t.Context(), Letter{To: addr(t, "alice@local.test"), Subject: "x"}); !errors.Is(err, store.ErrLow) || len(o.handed) != 0 {
		t.Errorf("%v", err)
	}
	o.Queue, o.Rand = o.spool, bytes.NewReader(nil)
	if err := o.Send(t.Context(), Letter{To: addr(t, "alice@local.test"), Subject: "x"}); err == nil {
		t.Error("without chance there is a letter")
	}
}

// Commands in a letter to who administers the server name its configuration; what goes outside tells no path.
func TestCommandsInLetters(t *testing.T) {
	for about, want := range map[string]string{"": "give: show -c here\r\n", "alice@local.test": "give: show\r\n"} {
		o := newOffice(t)
		o.Commands = func(text string) string { return strings.Replace(text, "show", "show -c here", 1) }
		l := Letter{To: addr(t, "alice@local.test"), Subject: "x", Text: "give: show\n"}
		if about != "" {
			l.To, l.About = addr(t, "alice@home.test"), addr(t, about)
		}
		must(t, o.Send(t.Context(), l))
		if _, text := o.only(); !strings.HasSuffix(text, "\r\n\r\n"+want) {
			t.Errorf("about %q:\n%s", about, text)
		}
	}
}
