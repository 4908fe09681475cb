package notice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/incident"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type world struct {
	*Notices
	t     *testing.T
	st    store.Store
	spool *spool.Spool
	now   time.Time

	snapshot *directory.Snapshot
	dir      func(...directory.Contact) // makes the directory anew
	fails    string                     // whose notices the disk does not take
}

// NewBody and Put are the spool's, on a disk that may fail.
func (w *world) NewBody(ctx context.Context) (*spool.Body, error) { return w.spool.NewBody(ctx) }

func (w *world) Put(ctx context.Context, m spool.Message, body *spool.Body, facts [][]byte) (spool.Claim, error) {
	if w.fails != "" && strings.HasPrefix(m.Envelope.To[0].Address.String(), w.fails) {
		_ = body.Abort()
		return spool.Claim{}, store.ErrUnavailable
	}
	return w.spool.Put(ctx, m, body, facts)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, st: mem.New(), now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	t.Cleanup(func() { w.st.Close() })
	key, err := gate.NewKey([]byte(strings.Repeat("k", 32)))
	must(t, err)
	quiet := slog.New(slog.DiscardHandler)
	w.spool, _, err = spool.Open(t.Context(), w.st, spool.Options{Key: key, Policy: sched.Default(), Now: w.time, Logger: quiet})
	must(t, err)
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	local, err := mail.ParseDomain("local.test")
	must(t, err)
	boss := w.addr("boss@local.test")
	people := []mail.Address{boss, w.addr("alice@local.test")}
	for n := range 50 {
		people = append(people, w.addr(fmt.Sprintf("p%d@local.test", n)))
	}
	w.dir = func(contacts ...directory.Contact) {
		w.snapshot, err = directory.NewSnapshot(directory.Config{
			Hostname: host, Postmaster: boss, Domains: []directory.Domain{{Name: local, Deliver: directory.DeliverMaildir}}, MaxExpansion: 10, MaxDepth: 3, Contacts: contacts,
		}, people)
		must(t, err)
	}
	w.dir()
	w.Notices = New(Options{
		Log: incident.NewLog(w.st), Store: w.st, Directory: func() *directory.Snapshot { return w.snapshot }, Limits: DefaultLimits(), Now: w.time, Logger: quiet,
		Post: &notify.Post{Hostname: host, Directory: func() *directory.Snapshot { return w.snapshot }, Queue: w, Handoff: func(spool.Claim) {}, Now: w.time, Rand: rand.Reader, Logger: quiet},
	})
	return w
}

func (w *world) time() time.Time { w.now = w.now.Add(10 * time.Millisecond); return w.now }

func (w *world) addr(s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.ASCII)
	must(w.t, err)
	return a
}

// raise raises an incident of its own account.
func (w *world) raise(account string) {
	w.t.Helper()
	var made incident.Incident
	w.apply(w.o.Log.Raising(incident.Incident{Account: w.addr(account), At: w.now, Since: w.now, Rule: "hijack", By: "the hijack detector", Reason: "4 of 4"}, &made))
}

func (w *world) apply(plan store.Planner) {
	w.t.Helper()
	tx, _, err := store.Tx{}.With(w.t.Context(), plan)
	must(w.t, err)
	_, err = w.st.Apply(w.t.Context(), tx, store.Durable)
	must(w.t, err)
}

// queued are the notices in the queue: recipient and text of each.
func (w *world) queued() (out []string) {
	w.t.Helper()
	must(w.t, w.spool.List(w.t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) {
		b, err := w.spool.OpenBody(context.Background(), e.ID)
		if err != nil {
			return false, err
		}
		text, err := io.ReadAll(b)
		if !e.Account.IsZero() || !e.Envelope.From.IsNull() || e.Held != "" {
			w.t.Errorf("a notice of %s from %s, held %q", e.Account, e.Envelope.From, e.Held)
		}
		out = append(out, e.Envelope.To[0].Address.String()+"\n"+string(text))
		return true, err
	}))
	return out
}

// Owner and administrator are told once that it began, and once that it is over, whatever
// dies in between.
func TestEachIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.raise("alice@local.test")
	for range 3 {
		must(t, w.look(t.Context()))
	}
	all := w.queued()
	if len(all) != 2 || !strings.HasPrefix(all[0], "alice@local.test\n") || !strings.Contains(all[0], "by telephone") || !strings.HasPrefix(all[1], "postmaster@") ||
		!strings.Contains(all[1], "sallyport incident show 1") || !strings.Contains(all[1], "Subject: Incident 1: alice@local.test is contained\r\n") {
		t.Fatalf("%q", all)
	}
	again := New(w.o)
	must(t, again.look(t.Context()))
	var closed incident.Incident
	w.apply(w.o.Log.Closing(w.addr("alice@local.test"), incident.StateReleased, w.now, "uid 0", "hers", &closed))
	must(t, again.look(t.Context()))
	must(t, again.look(t.Context()))
	if all = w.queued(); len(all) != 4 || !strings.Contains(all[3], "is over") {
		t.Errorf("%q", all)
	}
}

// A thief of many accounts fills no mailbox.
func TestManyAreOneDigest(t *testing.T) {
	w := newWorld(t)
	for n := range 50 {
		w.raise(fmt.Sprintf("p%d@local.test", n))
	}
	must(t, w.look(t.Context()))
	must(t, w.look(t.Context()))
	all, owners := w.admin()
	if len(all) != 20 || !strings.Contains(all[19], "Subject: 31 incidents") || !strings.Contains(all[19], "p49@local.test") {
		t.Errorf("%d notices, the last %q", len(all), all[len(all)-1])
	}
	if owners != 50 {
		t.Errorf("%d of 50 owners were told", owners)
	}
	w.raise("alice@local.test")
	must(t, w.look(t.Context()))
	must(t, New(w.o).owner(t.Context(), w.latest()))
	if all, owners = w.admin(); len(all) != 20 || owners != 51 {
		t.Errorf("%d notices within the hour, %d owners", len(all), owners)
	}
	w.now = w.now.Add(61 * time.Minute)
	must(t, w.look(t.Context()))
	if all, owners = w.admin(); len(all) != 21 || owners != 51 {
		t.Errorf("%d notices after the hour, %d owners", len(all), owners)
	}
}

// admin are the notices to the administrator, and how many others there are.
func (w *world) admin() (all []string, others int) {
	for _, q := range w.queued() {
		if strings.HasPrefix(q, "postmaster@") {
			all = append(all, q)
		} else {
			others++
		}
	}
	return all, others
}

func (w *world) latest() (last incident.Incident) {
	w.t.Helper()
	must(w.t, w.o.Log.List(w.t.Context(), func(i incident.Incident) (bool, error) { last = i; return false, nil }))
	return last
}

// That an account was removed ends its incident, by nobody who could be named.
func TestTheEndWithTheAccountReadsWell(t *testing.T) {
	w := newWorld(t)
	w.raise("gone@local.test")
	must(t, w.look(t.Context()))
	var closed incident.Incident
	w.apply(w.o.Log.Closing(w.addr("gone@local.test"), incident.StateReleased, w.now, "", "the account was removed", &closed))
	must(t, w.look(t.Context()))
	if all, owners := w.admin(); len(all) != 2 || owners != 0 || !strings.Contains(all[1], "Incident 1 of gone@local.test is released.\r\nthe account was removed\r\n") {
		t.Errorf("%q, and %d others", all, owners)
	}
}

// Whom a person froze is told why, in his mailbox and outside, and that it is over; or
// nothing of both.
func TestAFreezeByHandIsToldToo(t *testing.T) {
	for _, c := range []struct {
		reason string
		quiet  bool
		want   []string // what the owner reads of the begin
		not    string
	}{
		{"seen in a leak", false, []string{"An administrator of the mail server stopped your account alice@local.test", "Why: seen in a leak"}, "Somebody else"},
		{incident.NoReason, false, []string{"stopped your account"}, "Why"},
		{"the police asked", true, nil, ""},
	} {
		w := newWorld(t)
		alice := w.addr("alice@local.test")
		w.dir(directory.Contact{Account: alice, Address: w.addr("alice@private.test")})
		var i incident.Incident
		w.apply(w.o.Log.Raising(incident.Incident{Account: alice, At: w.now, Since: w.now, Rule: incident.RuleOperator, By: "uid 0", Reason: c.reason, Quiet: c.quiet}, &i))
		must(t, w.look(t.Context()))
		all := w.queued()
		if n := map[bool]int{false: 3, true: 1}[c.quiet]; len(all) != n {
			t.Fatalf("%s: %d notices: %q", c.reason, len(all), all)
		}
		for _, q := range all[:len(all)-1] {
			for _, want := range c.want {
				if !strings.Contains(q, want) || strings.Contains(q, c.not) {
					t.Errorf("%s: %q, which should have %q", c.reason, q, want)
				}
			}
		}
		w.apply(w.o.Log.Closing(alice, incident.StateReleased, w.now, "uid 0", "hers", &i))
		must(t, w.look(t.Context()))
		if n := len(w.queued()); n != 2*len(all) {
			t.Errorf("%s: %d notices in the end", c.reason, n)
		}
	}
}

// Whoever was told is not told again because somebody else could not be, also by a server
// that died in between.
func TestWhatOneWasToldIsNotToldAgain(t *testing.T) {
	for _, fails := range []string{"alice@local", "alice@private", "postmaster@"} {
		w := newWorld(t)
		w.dir(directory.Contact{Account: w.addr("alice@local.test"), Address: w.addr("alice@private.test")})
		w.raise("alice@local.test")
		w.fails = fails
		for range 3 {
			if err := New(w.o).look(t.Context()); err == nil {
				t.Fatal("the disk fails, and nobody says so")
			}
		}
		w.fails = ""
		for range 3 {
			must(t, New(w.o).look(t.Context()))
		}
		to := map[string]int{}
		for _, q := range w.queued() {
			who, _, _ := strings.Cut(q, "@")
			_, host, _ := strings.Cut(q, "@")
			host, _, _ = strings.Cut(host, "\n")
			to[who+"@"+host]++
		}
		if len(to) != 3 || to["alice@local.test"] != 1 || to["alice@private.test"] != 1 || to["postmaster@mx.local.test"] != 1 {
			t.Errorf("%s failed first: %v", fails, to)
		}
		if n := w.marks(); n != 1 {
			t.Errorf("%d marks are left of what everybody was told", n)
		}
	}
}

func (w *world) marks() (n int) {
	w.t.Helper()
	must(w.t, w.st.Scan(w.t.Context(), store.Prefix([]byte(prefixTold)), func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	}))
	return n
}

// The owner is told outside, in the name of the account's domain, whatever the account may:
// the message may leave, nobody answers for it, and no hold of the account's queue keeps it.
func TestTheOwnerIsToldOutside(t *testing.T) {
	w := newWorld(t)
	alice, out := w.addr("alice@local.test"), w.addr("alice@private.test")
	w.dir(directory.Contact{Account: alice, Address: out})
	w.apply(w.spool.Holding(alice, "contained"))
	var leaves []spool.Claim
	w.o.Post.Handoff = func(c spool.Claim) {
		if c.Entry.Recipients[0].Kind == spool.KindOutbound {
			leaves = append(leaves, c)
		}
	}
	w.o.Post.Sign = func(d mail.Domain, _ message.Header, _ []byte) ([]byte, error) {
		return []byte("DKIM-Signature: of " + d.ASCII() + "\r\n"), nil
	}
	w.raise("alice@local.test")
	must(t, New(w.o).look(t.Context()))
	if len(leaves) != 1 || !leaves[0].Account().IsZero() || leaves[0].Grant.Account() != alice || !leaves[0].Grant.Covers(leaves[0].Entry.ID, mail.NullPath(), out) {
		t.Fatalf("%+v", leaves)
	}
	for _, q := range w.queued() {
		if strings.HasPrefix(q, "alice@private.test\n") != strings.Contains(q, "DKIM-Signature: of local.test\r\nFrom: Mail server <postmaster@local.test>\r\nTo: alice@private.test\r\n") {
			t.Errorf("%q", q)
		}
	}
}

// Who administers the server and is contained himself can ask nobody: his place outside has what the postmaster is told, whose
// mailbox may be closed to him. Of everybody else's account no place outside has commands.
func TestWhoAdministersIsToldOutsideWhatToDo(t *testing.T) {
	for account, administers := range map[string]bool{"boss@local.test": true, "alice@local.test": false} {
		w := newWorld(t)
		a := w.addr(account)
		w.dir(directory.Contact{Account: a, Address: w.addr("outside@private.test")})
		w.raise(account)
		must(t, w.look(t.Context()))
		var closed incident.Incident
		w.apply(w.o.Log.Closing(a, incident.StatePurged, w.now, "uid 0", "done", &closed))
		must(t, w.look(t.Context()))
		outside := ""
		for _, q := range w.queued() {
			if strings.HasPrefix(q, "outside@private.test\n") {
				outside += q
			}
		}
		for _, command := range []string{"sallyport incident show 1", "sallyport account passwd " + account, "sallyport incident purge 1", "is purged, by uid 0"} {
			if strings.Contains(outside, command) != administers {
				t.Errorf("%s: %q is told outside: %v\n%s", account, command, !administers, outside)
			}
		}
		if strings.Contains(outside, "ask whoever administers") == administers || !strings.Contains(outside, account) {
			t.Errorf("%s: the place outside is told\n%s", account, outside)
		}
	}
}

// An address that is replaced is told so, once, and hears nothing more.
func TestAContactIsToldThatItWasReplaced(t *testing.T) {
	w := newWorld(t)
	alice, at := w.addr("alice@local.test"), w.now
	changed := func(now string, former ...directory.FormerContact) {
		c := directory.Contact{Account: alice, Former: former}
		if now != "" {
			c.Address = w.addr(now)
		}
		w.dir(c)
		for range 2 {
			must(t, w.replaced(t.Context()))
			must(t, New(w.o).replaced(t.Context()))
		}
	}
	first := directory.FormerContact{Address: w.addr("first@private.test"), Until: at}
	changed("first@private.test")
	changed("second@private.test", first)
	again := directory.FormerContact{Address: w.addr("second@private.test"), Until: at.Add(time.Hour)}
	changed("first@private.test", first, again)
	changed("", first, again, directory.FormerContact{Address: first.Address, Until: at.Add(2 * time.Hour)})
	all := w.queued()
	if len(all) != 3 || !strings.HasPrefix(all[0], "first@") || !strings.HasPrefix(all[1], "second@") || !strings.HasPrefix(all[2], "first@") || !strings.Contains(all[2], "no address outside") ||
		strings.Contains(all[0], "second@") {
		t.Errorf("%q", all)
	}
}

// Where no mailbox is the postmaster's nobody was told, and that is seen; when one is, all of
// it is told, and the owner meanwhile, once.
func TestWhatNobodyTakesStaysUntold(t *testing.T) {
	w := newWorld(t)
	home := w.snapshot
	// A domain of so many octets leaves no room for the postmaster's name. RFC 5321 §4.5.3.1.3
	long, err := mail.ParseDomain(strings.Repeat("x2345678901234567890123456789012345678901234567890.", 4) + "x234567890123456789012345678901234567890123.test")
	must(t, err)
	away, err := directory.NewSnapshot(directory.Config{
		Hostname: long, MaxExpansion: 10, MaxDepth: 3, Domains: []directory.Domain{{Name: long, Deliver: directory.DeliverMaildir}},
	}, nil)
	must(t, err)
	w.snapshot = away
	w.raise("alice@local.test")
	w.raise("p1@local.test")
	for range 3 {
		if err := w.look(t.Context()); !errors.Is(err, notify.ErrNobody) || w.orNobody(err) != nil {
			t.Fatal(err)
		}
	}
	if all := w.queued(); len(all) != 0 {
		t.Errorf("%q", all)
	}
	s, err := w.State(t.Context())
	if err != nil || s == nil || s.Untold != 2 || !s.Nobody || s.Since.IsZero() {
		t.Fatalf("%+v, %v", s, err)
	}
	var closed incident.Incident
	w.apply(w.o.Log.Closing(w.addr("p1@local.test"), incident.StateReleased, w.now, "uid 0", "hers", &closed))
	again := New(w.o)
	w.snapshot = home
	if s, err = again.State(t.Context()); err != nil || s.Untold != 2 || s.Nobody {
		t.Errorf("%+v, %v", s, err)
	}
	for range 3 {
		must(t, again.look(t.Context()))
	}
	all, owners := w.admin()
	if len(all) != 2 || owners != 2 || !strings.Contains(all[0], "alice@local.test is contained") || !strings.Contains(all[1], "Incident 2 is over") {
		t.Errorf("%d owners, %q", owners, all)
	}
	if s, err = again.State(t.Context()); s != nil || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// Whoever alone reads what the postmaster is told, and is told nowhere outside, is named: of the theft of that account nobody may hear.
func TestWhoIsToldInsideAlone(t *testing.T) {
	w := newWorld(t)
	boss := w.addr("boss@local.test")
	if got := w.Inside(); got != boss.String() {
		t.Errorf("without an address outside it is %q", got)
	}
	w.dir(directory.Contact{Account: w.addr("alice@local.test"), Address: w.addr("alice@home.test")})
	if got := w.Inside(); got != boss.String() {
		t.Errorf("with somebody else's address outside it is %q", got)
	}
	w.dir(directory.Contact{Account: boss, Former: []directory.FormerContact{{Address: w.addr("old@home.test"), Until: w.now}}})
	if got := w.Inside(); got != boss.String() {
		t.Errorf("with an address outside that was taken back it is %q", got)
	}
	w.dir(directory.Contact{Account: boss, Address: w.addr("boss@home.test")})
	if got := w.Inside(); got != "" {
		t.Errorf("with an address outside it is %q", got)
	}
	snapshot, err := directory.NewSnapshot(directory.Config{
		Hostname: w.snapshot.Hostname(), Postmaster: w.addr("admins@local.test"), Domains: w.snapshot.Domains(), MaxExpansion: 10, MaxDepth: 3,
		Aliases: []directory.Alias{{Address: w.addr("admins@local.test"), Posting: directory.PostingAnyone, Targets: []mail.Address{boss, w.addr("alice@local.test")}}},
	}, []mail.Address{boss, w.addr("alice@local.test")})
	must(t, err)
	if w.snapshot = snapshot; w.Inside() != "" {
		t.Errorf("where two are told it is %q", w.Inside())
	}
}
