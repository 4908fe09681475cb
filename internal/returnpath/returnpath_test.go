package returnpath

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func addrs(t testing.TB, list ...string) (out []mail.Address) {
	for _, s := range list {
		out = append(out, addr(t, s))
	}
	return out
}

// longName is an account whose address takes no signature.
const longName = "an-account-with-a-name-that-is-longer-than-48-octets@local.test"

// home is a directory with a domain of mailboxes, one behind us that speaks SMTP and one
// that speaks LMTP.
func home(t testing.TB) *directory.Snapshot {
	t.Helper()
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: addr(t, "x@mx.local.test").Domain(), Detail: '+', Postmaster: addr(t, "alice@local.test"),
		Domains: []directory.Domain{
			{Name: addr(t, "x@local.test").Domain(), Deliver: directory.DeliverMaildir},
			{Name: addr(t, "x@inner.test").Domain(), Deliver: directory.DeliverSMTP, Server: directory.Server{Host: "192.0.2.9", Port: 25, TLS: mail.TLSRequired}, Recipients: directory.RecipientsCallout},
			{Name: addr(t, "x@lmtp.test").Domain(), Deliver: directory.DeliverLMTP, Server: directory.Server{LMTP: true, Host: "192.0.2.9", Port: 24, TLS: mail.TLSRequired}, Recipients: directory.RecipientsCallout},
		},
		Aliases: []directory.Alias{
			{Address: addr(t, "sales@local.test"), Targets: addrs(t, "alice@local.test"), Posting: directory.PostingAnyone},
			{Address: addr(t, "all@local.test"), Targets: addrs(t, "alice@local.test", "bob@local.test"), Posting: directory.PostingAnyone},
			{Address: addr(t, "staff@local.test"), Targets: addrs(t, "alice@local.test", "bob@local.test"), Posting: directory.PostingMembers},
			{Address: addr(t, "prvs=0123abcdef=named@local.test"), Targets: addrs(t, "bob@local.test"), Posting: directory.PostingAnyone},
			{Address: addr(t, "SRS0=named@local.test"), Targets: addrs(t, "bob@local.test"), Posting: directory.PostingAnyone},
		},
	}, addrs(t, "alice@local.test", "bob@local.test", longName))
	must(t, err)
	return s
}

// world is a room with real keys, a note on disk and a clock.
type world struct {
	*Paths
	t   *testing.T
	now time.Time
	dir *directory.Snapshot
	log bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon, dir: home(t)}
	var k Keys
	var err error
	k.Signed, err = prvs.NewKey(bytes.Repeat([]byte{1}, prvs.KeyOctets))
	must(t, err)
	k.Forward, err = srs.NewKey(bytes.Repeat([]byte{2}, srs.KeyOctets))
	must(t, err)
	w.Paths = New(Options{
		Keys: k, Now: func() time.Time { return w.now }, Note: Note(filepath.Join(t.TempDir(), "keys", "since")), Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	w.Learn(addrs(t, "alice@local.test", "bob@local.test"))
	return w
}

func (w *world) rules(m Mode) Rules {
	return Rules{Mode: m, Life: 14 * day, Detail: '+', ForwardAge: 7 * day, Exempt: map[string]bool{addr(w.t, "sales@local.test").Key(): true}}
}

func (w *world) adopt(m Mode) {
	w.t.Helper()
	s, err := w.Build(w.rules(m))
	must(w.t, err)
	s.Adopt()
}

func (w *world) read(a string, bounce bool) Reading { return w.Read(w.dir, addr(w.t, a), bounce) }

func (w *world) sign(a string) (mail.Address, bool) { return w.Sign(w.dir, addr(w.t, a), w.now) }

// says demands what a reading comes to.
func (w *world) says(a string, bounce bool, to string, d gate.Destination) Reading {
	w.t.Helper()
	r := w.read(a, bounce)
	got := ""
	if !r.Address.IsZero() {
		got = r.Address.String()
	}
	if got != to || r.Class.Destination != d || r.Decides() != (d != gate.DestinationUnknown) {
		w.t.Errorf("%s, bounce %v, is read as %q, destination %v; want %q, %v", a, bounce, got, r.Class.Destination, to, d)
	}
	return r
}

// Whose bounces are ours is signed for and asked; a server behind us that speaks SMTP may
// send by itself, the host's own domain and strangers' are nobody's to sign.
func TestWhoseReturnPathsAreSigned(t *testing.T) {
	w := newWorld(t)
	w.adopt(ModeRequire)
	w.now = noon.Add(prvs.Grace)
	for a, want := range map[string]bool{"alice@local.test": true, "nobody@local.test": true, "x@lmtp.test": true, "x@inner.test": false, "x@remote.test": false, "x@mx.local.test": false,
		"SRS0=x=y=sealed=z@local.test": false, longName: false, "prvs=0123abcdef=alice@local.test": false} {
		signed, ok := w.sign(a)
		if ok != want {
			t.Errorf("%s is signed as %s", a, signed)
		}
		if ok {
			w.says(signed.String(), true, a, gate.DestinationUnknown)
			w.says(signed.String(), false, a, gate.DestinationUnknown)
		}
	}
	for d, want := range map[string]bool{"local.test": true, "lmtp.test": true, "inner.test": false, "remote.test": false, "mx.local.test": false} {
		if Ours(w.dir, addr(t, "x@"+d).Domain()) != want {
			t.Errorf("bounces to %s are ours: %v", d, !want)
		}
	}
}

// A bounce to an unsigned address is refused once signing has lasted for Grace, and only
// where a mailbox would take it.
func TestWhoMustHaveASignature(t *testing.T) {
	w := newWorld(t)
	w.adopt(ModeRequire)
	for a, want := range map[string]bool{
		"alice@local.test": true, "alice+shop@local.test": true, "ALICE@local.test": true, "all@local.test": true, "staff@local.test": true, "x@lmtp.test": true,
		"sales@local.test": false, "sales+x@local.test": false, "Sales@local.test": false, longName: false, "nobody@local.test": false,
		"postmaster@local.test": false, "abuse@local.test": false, "x@inner.test": false, "x@remote.test": false,
	} {
		for at, over := range map[time.Duration]bool{0: false, prvs.Grace - time.Second: false, prvs.Grace: true, 100 * prvs.Grace: true} {
			w.now = noon.Add(at)
			d := gate.DestinationUnknown
			if want && over {
				d = gate.DestinationUnmarked
			}
			if r := w.says(a, true, "", d); (d == gate.DestinationUnmarked) != strings.HasPrefix(r.Note, "not signed, which is required since 2026-11-15T12:00:00Z") {
				t.Errorf("%s: %q", a, r.Note)
			}
			w.says(a, false, "", gate.DestinationUnknown)
		}
	}
	w.now = noon.Add(100 * day)
	w.adopt(ModeTag)
	w.says("alice@local.test", true, "", gate.DestinationUnknown)
}

func TestWhoAnswersForMail(t *testing.T) {
	want := map[gate.Destination]bool{gate.DestinationMailbox: true, gate.DestinationAccountsOnly: true, gate.DestinationMembersOnly: true, gate.DestinationNonMember: true}
	for d := range gate.Destination(255) {
		if got := answersForMail(directory.Class{Destination: d}); got != want[d] {
			t.Errorf("destination %d: %v", d, got)
		}
	}
}

func TestRequires(t *testing.T) {
	full := Rules{Mode: ModeRequire, Since: noon, Detail: '+', Exempt: map[string]bool{"sales@local.test": true}}
	after := noon.Add(prvs.Grace)
	for name, row := range map[string]struct {
		change func(*Rules)
		at     time.Time
		who    string
		want   bool
	}{
		"it is over":          {at: after, who: "a@local.test", want: true},
		"not yet":             {at: after.Add(-1), who: "a@local.test"},
		"off":                 {change: func(r *Rules) { r.Mode = ModeOff }, at: after, who: "a@local.test"},
		"tag":                 {change: func(r *Rules) { r.Mode = ModeTag }, at: after, who: "a@local.test"},
		"an unknown mode":     {change: func(r *Rules) { r.Mode = 9 }, at: after, who: "a@local.test"},
		"no beginning":        {change: func(r *Rules) { r.Since = time.Time{} }, at: after, who: "a@local.test"},
		"exempt":              {at: after, who: "sales@local.test"},
		"exempt with detail":  {at: after, who: "sales+a+b@local.test"},
		"detail is no name":   {at: after, who: "+sales@local.test", want: true},
		"no details here":     {change: func(r *Rules) { r.Detail = 0 }, at: after, who: "sales+a@local.test", want: true},
		"another domain":      {at: after, who: "sales@other.test", want: true},
		"a forward's path":    {at: after, who: "SRS0=a=b=c=d@local.test"},
		"it takes no signing": {at: after, who: longName},
	} {
		r := full
		if row.change != nil {
			row.change(&r)
		}
		if got := r.Requires(addr(t, row.who), row.at); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What was signed leads to who was signed; what is forged or has ended is refused as long
// as anything is signed. Mail that is no bounce may come to one that has ended.
func TestSignedReturnPathsAreRead(t *testing.T) {
	w := newWorld(t)
	w.adopt(ModeTag)
	signed, _ := w.sign("Alice+shop@local.test")
	forged := strings.Replace(signed.String(), "=Alice", "=bob", 1)
	// The server behind SMTP, a stranger and a wrong length are none of ours.
	others := []string{"prvs=0123abcdef=x@inner.test", "prvs=0123abcdef=x@remote.test", "prvs=0123abcde=x@local.test", "prvs=0123abcdef=named@local.test"}
	for _, mode := range []Mode{ModeTag, ModeRequire, ModeOff} {
		w.now = noon
		w.adopt(mode)
		for _, bounce := range []bool{true, false} {
			w.now = noon
			if r := w.says(strings.ToUpper(signed.String()), bounce, "ALICE+SHOP@local.test", gate.DestinationUnknown); !strings.Contains(r.Note, "signed until 2026-11-15") {
				t.Error(r.Note)
			}
			refused := gate.DestinationMarkForged
			if mode == ModeOff {
				refused = gate.DestinationUnknown
			}
			w.says(forged, bounce, "", refused)
			for _, a := range others {
				w.says(a, bounce, "", gate.DestinationUnknown)
			}
			w.now = noon.Add(16 * day)
			if bounce && mode != ModeOff {
				if r := w.says(signed.String(), bounce, "", refused); r.Note != "the signature of Alice+shop@local.test ended on 2026-11-15" {
					t.Error(r.Note)
				}
			} else if r := w.says(signed.String(), bounce, "Alice+shop@local.test", gate.DestinationUnknown); !strings.HasSuffix(r.Note, "which is over") {
				t.Error(r.Note)
			}
		}
	}
	if _, ok := w.sign("alice@local.test"); ok {
		t.Error("it is signed although that is off")
	}
}

// The return path of a forward leads to the mailbox of its account while that exists and
// the path is young; nothing else has its form.
func TestForwardReturnPathsAreRead(t *testing.T) {
	w := newWorld(t)
	w.adopt(ModeRequire)
	path := func(who string, ago time.Duration) string {
		a, err := w.Forward(addr(t, who), w.now.Add(-ago))
		must(t, err)
		return a.String()
	}
	good := path("alice@local.test", 0)
	for _, row := range []struct {
		a    string
		d    gate.Destination
		rule string
	}{
		{good, gate.DestinationForwardReturn, RuleForward},
		{strings.ToLower(good), gate.DestinationForwardReturn, RuleForward},
		{path("alice@local.test", 7*day), gate.DestinationForwardReturn, RuleForward},
		{path("alice@local.test", 8*day), gate.DestinationForwardForged, RuleForwardStale},
		{path("carol@local.test", 0), gate.DestinationForwardForged, RuleForwardNoOwner},
		{strings.Replace(good, "SRS0=", "SRS0=a", 1), gate.DestinationForwardForged, RuleForwardForged},
		{"SRS1=remote.test==x=y=z@local.test", gate.DestinationForwardForged, RuleForwardForged},
		{"SRS0=x@inner.test", gate.DestinationForwardForged, RuleForwardForged},
		{"SRS0=named@local.test", gate.DestinationUnknown, ""},
		{strings.Replace(good, "local.test", "remote.test", 1), gate.DestinationUnknown, ""},
		{strings.Replace(good, "local.test", "mx.local.test", 1), gate.DestinationUnknown, ""},
	} {
		for _, bounce := range []bool{true, false} {
			r := w.says(row.a, bounce, "", row.d)
			if r.Class.Rule != row.rule {
				t.Errorf("%s is read by %q, want %q", row.a, r.Class.Rule, row.rule)
			}
			if row.rule == RuleForward && (len(r.Class.Mailboxes) != 1 || r.Class.Mailboxes[0].Account != addr(t, "alice@local.test")) {
				t.Errorf("%s leads to %+v", row.a, r.Class.Mailboxes)
			}
		}
		if got := w.ForForward(w.dir, addr(t, row.a)); got != (row.rule == RuleForward) {
			t.Errorf("%s is for a forward: %v", row.a, got)
		}
	}
	// Called otherwise before; whoever has that name by now is himself again.
	w.Follow(map[mail.Address]mail.Address{addr(t, "carol@local.test"): addr(t, "alice@local.test")})
	if r := w.says(path("carol@local.test", 0), true, "", gate.DestinationForwardReturn); r.Class.Mailboxes[0].Account != addr(t, "alice@local.test") {
		t.Errorf("%+v", r.Class)
	}
	// Known once, and gone from the directory since.
	w.Learn(addrs(t, "carol@local.test"))
	if r := w.says(path("carol@local.test", 0), true, "", gate.DestinationForwardForged); r.Class.Rule != RuleForwardNoOwner {
		t.Errorf("%q", r.Class.Rule)
	}
	rules := w.rules(ModeRequire)
	rules.ForwardAge = day
	s, err := w.Build(rules)
	must(t, err)
	two := path("alice@local.test", 2*day)
	w.says(two, true, "", gate.DestinationForwardReturn)
	mark := func() srs.Mark {
		w.now = noon
		text := w.Mark(srs.MarkKept, addr(t, "alice@local.test"), "<id@x>")
		w.now = noon.Add(2 * day)
		return w.ReadMark(text, addr(t, "alice@local.test"), "<id@x>")
	}
	if m := mark(); m != srs.MarkKept {
		t.Errorf("a mark of two days says %v", m)
	}
	w.now = noon
	s.Adopt()
	w.says(two, true, "", gate.DestinationForwardForged)
	if m := mark(); m != srs.MarkNone {
		t.Errorf("a mark that is too old says %v", m)
	}
}

// A directory that does not stand defers what comes back to a forward, and refuses
// nobody for want of a signature.
func TestWhileTheDirectoryDoesNotStand(t *testing.T) {
	w := newWorld(t)
	w.adopt(ModeRequire)
	w.now = noon.Add(20 * day)
	path, err := w.Forward(addr(t, "alice@local.test"), w.now)
	must(t, err)
	w.dir, err = directory.Unavailable(directory.Config{
		Hostname: addr(t, "x@mx.local.test").Domain(), Domains: []directory.Domain{{Name: addr(t, "x@local.test").Domain(), Deliver: directory.DeliverMaildir}},
	})
	must(t, err)
	w.says(path.String(), true, "", gate.DestinationUnavailable)
	w.says("alice@local.test", true, "", gate.DestinationUnknown)
}

// Since when senders are signed outlasts restarts, is noted before anything is signed,
// and begins anew after they were not.
func TestSinceWhenItIsSigned(t *testing.T) {
	w := newWorld(t)
	w.now = noon.Add(999 * time.Millisecond)
	noted := func() time.Time {
		at, err := w.o.Note.Read()
		must(t, err)
		return at
	}
	s, err := w.Build(w.rules(ModeRequire))
	must(t, err)
	if !noted().Equal(noon) || w.Rules().Mode != ModeOff {
		t.Errorf("before it is in force: noted %s, %+v", noted(), w.Rules())
	}
	s.Abandon()
	if !noted().IsZero() {
		t.Errorf("nothing came of it, and the note says %s", noted())
	}
	w.adopt(ModeTag)
	w.now = noon.Add(20 * day)
	w.adopt(ModeRequire)
	if at := w.Rules().Since; !at.Equal(noon) || !w.Rules().RefusesFrom().Equal(noon.Add(prvs.Grace)) {
		t.Errorf("it counts from %s", at)
	}
	kept, err := w.Build(w.rules(ModeTag))
	must(t, err)
	kept.Abandon() // what was noted before stays
	off, err := w.Build(w.rules(ModeOff))
	must(t, err)
	if !noted().Equal(noon) {
		t.Error("the end is noted before it is in force")
	}
	off.Adopt()
	if !noted().IsZero() || w.Rules().Mode != ModeOff {
		t.Errorf("off leaves %s", noted())
	}
	w.adopt(ModeRequire)
	if at := w.Rules().Since; !at.Equal(w.now) {
		t.Errorf("it counts from %s, before it was off", at)
	}
}

// A note that cannot be written or read keeps the rules from coming in force.
func TestTheNoteFails(t *testing.T) {
	w := newWorld(t)
	note := string(w.o.Note)
	must(t, os.WriteFile(filepath.Dir(note), nil, 0o600)) // where its folder should be
	if _, err := w.Build(w.rules(ModeTag)); err == nil {
		t.Error("it is built without a note")
	}
	must(t, os.Remove(filepath.Dir(note)))
	must(t, os.Mkdir(filepath.Dir(note), 0o700))
	must(t, os.WriteFile(note, []byte("yesterday\n"), 0o600))
	if _, err := w.Build(w.rules(ModeTag)); err == nil || !strings.Contains(err.Error(), "does not say since when") {
		t.Errorf("unread: %v", err)
	}
	must(t, os.Remove(note))
	must(t, os.MkdirAll(filepath.Join(note, "full"), 0o700))
	if _, err := w.Build(w.rules(ModeTag)); err == nil {
		t.Error("a folder is read as a note")
	}
	w.adopt(ModeOff)
	if !strings.Contains(w.log.String(), "could not be noted") {
		t.Errorf("the log says %q", w.log.String())
	}
}

func TestWithoutKeys(t *testing.T) {
	w := newWorld(t)
	signed, _ := func() (mail.Address, bool) { w.adopt(ModeTag); return w.sign("alice@local.test") }()
	bare := New(Options{Now: func() time.Time { return noon }, Note: w.o.Note})
	s, err := bare.Build(w.rules(ModeTag))
	must(t, err)
	s.Adopt()
	if a, ok := bare.Sign(w.dir, addr(t, "alice@local.test"), noon); ok {
		t.Errorf("signed as %s", a)
	}
	if _, err := bare.Forward(addr(t, "alice@local.test"), noon); err == nil {
		t.Error("a return path without a key")
	}
	if r := bare.Read(w.dir, signed, true); r.Class.Destination != gate.DestinationMarkForged {
		t.Errorf("%+v", r)
	}
}
