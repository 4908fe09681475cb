package incident

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	must(t, err)
	return a
}

func open(t *testing.T) (*Log, store.Store) {
	t.Helper()
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	return NewLog(st), st
}

// noon is when all that is known by heart happened.
func noon() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

// whole is an incident with something in every field.
func whole(t *testing.T) Incident {
	t.Helper()
	id, err := mail.NewID(noon(), strings.NewReader(strings.Repeat("7", 64)))
	must(t, err)
	return Incident{
		Account: addr(t, "alice@local.test"), At: noon(), Since: noon().Add(-time.Hour), Rule: "hijack", By: "the hijack detector", Reason: "too many strangers", Quiet: true, Odds: 12000,
		Evidence: []string{"a new network"}, Credential: "the password", CredentialOf: noon().Add(-48 * time.Hour), Used: []string{"pw1"}, Revoked: []string{"the password (pw1)"},
		Seen:  []Origin{{Peer: netip.MustParseAddr("192.0.2.7"), Network: netip.MustParsePrefix("192.0.2.0/24"), Door: "submissions", Program: "bot", TLS: "TLS 1.3", Conn: "c1", At: noon()}},
		Cause: Cause{Queue: id, Sender: "alice@local.test", MessageID: "<x@local.test>", Recipients: []string{"v@remote.test"}, Size: 7},
	}
}

// What is stored is known by heart: what an older server wrote is read for good.
func TestKnownRecords(t *testing.T) {
	l, st := open(t)
	i := whole(t)
	must(t, l.commit(t.Context(), l.Raising(i, &i)))
	var paused, closed Incident
	must(t, l.commit(t.Context(), l.Raising(Incident{Shared: Shared{KindText, "a@b 1"}, Accounts: []mail.Address{i.Account}, At: noon(), Since: noon(), Rule: "shared"}, &paused)))
	bob := Incident{Account: addr(t, "bob@local.test"), At: noon(), Since: noon(), Rule: RuleOperator, By: "uid 0", Reason: NoReason}
	must(t, l.commit(t.Context(), l.Raising(bob, &bob)))
	must(t, l.commit(t.Context(), l.Closing(bob.Account, StatePurged, noon().Add(time.Hour), "uid 0", "known", &closed)))
	must(t, l.Keep(t.Context(), 1, []Kept{{Queue: i.Cause.Queue, Received: noon(), Sender: "alice@local.test", Recipients: []string{"v@remote.test"}, Size: 7, SHA256: "00", Header: "Subject: x\r\n"}}))
	var got strings.Builder
	must(t, st.Scan(t.Context(), store.Prefix([]byte(prefix)), func(k, v []byte) (bool, error) {
		fmt.Fprintf(&got, "%s\n  %s\n", printable(k), v)
		return true, nil
	}))
	known, err := os.ReadFile("testdata/known.txt")
	must(t, err)
	if got.String() != string(known) {
		t.Errorf("stored are\n%s\nwant\n%s", got.String(), known)
	}
}

// printable writes a key; octets that are no text stand in hexadecimal.
func printable(k []byte) string {
	at := slices.IndexFunc(k, func(c byte) bool { return c < ' ' || c > '~' })
	if at < 0 {
		return string(k)
	}
	return string(k[:at]) + hex.EncodeToString(k[at:])
}

// The record that the first servers wrote, without what came later, and others.
func TestOldRecords(t *testing.T) {
	first := `{"v":1,"number":1,"account":"alice@local.test","state":"open","at":"2026-11-28T12:00:00Z","since":"2026-11-28T11:00:00Z","rule":"operator","by":"uid 0","reason":"seen in a leak"}`
	i, err := decode([]byte(first))
	if err != nil || i.Account != addr(t, "alice@local.test") || i.State != StateOpen || i.Quiet || !i.Shared.IsZero() {
		t.Errorf("%+v, %v", i, err)
	}
	for name, bad := range map[string]string{
		"a later version":  strings.Replace(first, `"v":1`, `"v":2`, 1),
		"an unknown field": strings.Replace(first, `"by"`, `"whom"`, 1),
		"an unknown state": strings.Replace(first, `"open"`, `"ajar"`, 1),
		"two records":      first + first,
		"no record":        "",
	} {
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// TestTheLogAsAModel raises and ends incidents at random beside a model of what must be
// there.
func TestTheLogAsAModel(t *testing.T) {
	for seed := range uint64(20) {
		l, st := open(t)
		chance := rand.New(rand.NewPCG(seed, 1))
		abouts := []Incident{{Shared: Shared{KindNetwork, "192.0.2.0/24"}}, {Shared: Shared{KindText, "192.0.2.0/24"}}}
		for _, a := range []string{"a@local.test", "b@local.test", "shared@local.test"} {
			abouts = append(abouts, Incident{Account: addr(t, a)})
		}
		var all []Incident     // by number
		at := map[string]int{} // the open one of what it is about
		for step := range 60 {
			about := abouts[chance.IntN(len(abouts))]
			key, now := about.Of(), noon().Add(time.Duration(step)*time.Minute)
			was, is := at[key]
			var got Incident
			if chance.IntN(3) > 0 {
				about.At, about.Since, about.Rule, about.Reason, about.By = now, now.Add(-time.Duration(chance.IntN(90))*time.Minute), "hijack", fmt.Sprint(step), "x"
				must(t, l.commit(t.Context(), l.Raising(about, &got)))
				if !is {
					about.Number, about.State = uint64(len(all)+1), StateOpen
					all, at[key] = append(all, about.bounded()), len(all)
				} else {
					all[was] = all[was].with(about)
				}
			} else {
				must(t, l.commit(t.Context(), l.closing(about, StateReleased, now, "me", "why", &got)))
				if is {
					all[was].State, all[was].Closed, all[was].ClosedBy, all[was].ClosedFor = StateReleased, now, "me", "why"
					delete(at, key)
				} else if got.Number != 0 {
					t.Fatalf("seed %d: what is not there ended: %+v", seed, got)
				}
			}
			wantLog(t, NewLog(st), all, abouts, at)
		}
	}
}

func wantLog(t *testing.T, l *Log, all, abouts []Incident, at map[string]int) {
	t.Helper()
	var listed []Incident
	must(t, l.List(t.Context(), func(i Incident) (bool, error) { listed = append(listed, i); return true, nil }))
	slices.Reverse(listed)
	if fmt.Sprintf("%+v", listed) != fmt.Sprintf("%+v", all) {
		t.Fatalf("the log has\n%+v\nwant\n%+v", listed, all)
	}
	paused := 0
	for _, about := range abouts {
		n, is := at[about.Of()]
		if about.Account.IsZero() {
			if is {
				paused++
			}
			continue
		}
		i, has, err := l.Open(t.Context(), about.Account)
		if err != nil || has != is || is && i.Number != uint64(n+1) {
			t.Fatalf("open of %s is %d, %v, %v; want %d, %v", about.Of(), i.Number, has, err, n+1, is)
		}
	}
	must(t, l.Paused(t.Context(), func(i Incident) error {
		if paused--; i.Shared.IsZero() {
			t.Errorf("%+v is paused", i)
		}
		return nil
	}))
	if n, err := l.Count(t.Context()); err != nil || n != len(at) || paused != 0 {
		t.Fatalf("%d are open, %v; want %d; %d too few are paused", n, err, len(at), paused)
	}
	if _, err := l.Get(t.Context(), uint64(len(all)+1)); !errors.Is(err, ErrNoSuch) {
		t.Fatalf("an incident too many: %v", err)
	}
}

// Many who find the same at once have one incident, and lose nothing of what they found.
func TestManyAtOnceAreOneIncident(t *testing.T) {
	l, _ := open(t)
	var all sync.WaitGroup
	for n := range 16 {
		i := Incident{Account: addr(t, "alice@local.test"), At: noon(), Since: noon(), Rule: "hijack", By: "x", Reason: "one", Evidence: []string{fmt.Sprint("evidence ", n)}}
		all.Go(func() {
			var into Incident
			if err := l.commit(t.Context(), l.Raising(i, &into)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := l.CountPurged(t.Context(), 1, 2); err != nil && !errors.Is(err, ErrNoSuch) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	i, is, err := l.Open(t.Context(), addr(t, "alice@local.test"))
	if err != nil || !is || i.Number != 1 || len(i.Evidence) != 16 {
		t.Errorf("%+v, %v, %v", i, is, err)
	}
}

// What is found later adds to an incident, within its bounds, and never takes back what
// evidence a person preceded.
func TestWhatIsFoundLaterAdds(t *testing.T) {
	a := addr(t, "alice@local.test")
	byHand := Incident{Account: a, At: noon(), Since: noon(), Rule: RuleOperator, By: "uid 0", Reason: "odd", Quiet: true}
	found := Incident{Account: a, At: noon().Add(time.Minute), Since: noon().Add(-time.Hour), Rule: "hijack", By: "the detector", Reason: "blast", Odds: 9, Credential: "the password", CredentialOf: noon(), Used: []string{"pw1"}}
	both := byHand.with(found)
	if both.Rule != "hijack" || both.Odds != 9 || both.Credential != "the password" || !both.Since.Equal(found.Since) || both.Reason != "odd" || !both.Quiet ||
		!slices.Equal(both.Evidence, []string{"2026-11-28T12:01:00Z the detector: blast"}) || !slices.Equal(both.Used, []string{"pw1"}) {
		t.Errorf("evidence after a person: %+v", both)
	}
	if back := found.with(byHand); back.Rule != "hijack" || back.Odds != 9 || !back.Since.Equal(found.Since) {
		t.Errorf("a person after evidence: %+v", back)
	}
	many := found
	for range 200 {
		many.Evidence, many.Seen, many.Used = append(many.Evidence, strings.Repeat("e", 5000)), append(many.Seen, Origin{Program: strings.Repeat("p", 5000)}), append(many.Used, "pw")
	}
	if b := many.bounded(); len(b.Evidence) != maxEvidence || len(b.Seen) != maxOrigins || len(b.Used) != maxOrigins || len(b.Evidence[0]) > maxText+8 || len(b.Seen[0].Program) > maxText+8 {
		t.Errorf("%d of evidence, %d seen, %d used", len(b.Evidence), len(b.Seen), len(b.Used))
	}
	for _, c := range []struct {
		rule    string
		revoked bool
		may     bool
	}{{RuleOperator, true, true}, {RuleOperator, false, true}, {"hijack", true, false}, {"hijack", false, true}} {
		if err := (Incident{Rule: c.rule}).MayEnd(accounts.Account{PasswordRevoked: c.revoked}); (err == nil) != c.may {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// What is kept of a purged message is bounded, and more than one act holds is kept as well.
func TestWhatIsKept(t *testing.T) {
	l, _ := open(t)
	i := Incident{Account: addr(t, "alice@local.test"), At: noon(), Since: noon(), Rule: "hijack", Reason: "x"}
	must(t, l.commit(t.Context(), l.Raising(i, &i)))
	var all []Kept
	for n := range keptBatch + 1 {
		id, err := mail.NewID(noon().Add(time.Duration(n)*time.Second), strings.NewReader(strings.Repeat("7", 64)))
		must(t, err)
		all = append(all, Kept{Queue: id, Header: strings.Repeat("h", MaxKeptHeader+1)})
	}
	must(t, l.Keep(t.Context(), 1, all))
	must(t, l.CountPurged(t.Context(), 1, len(all)))
	must(t, l.CountPurged(t.Context(), 1, 1))
	n := 0
	must(t, l.EachKept(t.Context(), 1, func(k Kept) error {
		if n++; len(k.Header) != MaxKeptHeader {
			t.Errorf("%d octets of header", len(k.Header))
		}
		return nil
	}))
	must(t, l.EachKept(t.Context(), 2, func(Kept) error { t.Error("another incident has it too"); return nil }))
	if i, err := l.Get(t.Context(), 1); err != nil || n != len(all) || i.Purged != len(all)+1 {
		t.Errorf("%d kept, %d purged, %v", n, i.Purged, err)
	}
	if h := HeaderOf("a: b\r\nc: d\r\n\r\nbody"); h != "a: b\r\nc: d" {
		t.Errorf("header %q", h)
	}
}

// The story of an account counts what is its own, since the moment, and knows good
// sign-ins from bad ones.
func TestTheStoryOfAnAccount(t *testing.T) {
	alice, peer := addr(t, "alice@local.test"), netip.MustParseAddr("192.0.2.7")
	ok, no := mail.R(250, "2.0.0", "ok"), mail.R(535, "5.7.8", "no")
	at := func(minutes int, f fact.Fact) fact.Fact {
		f.At = noon().Add(time.Duration(minutes) * time.Minute)
		if f.Account == "" {
			f.Account = alice.String()
		}
		return f
	}
	s := Tell([]Name{{Account: alice}}, noon(), []fact.Fact{
		at(-1, fact.Fact{Kind: fact.KindAccept, Recipients: []string{"old"}}),
		at(1, fact.Fact{Kind: fact.KindAccept, Account: "bob@local.test", Recipients: []string{"his"}}),
		at(1, fact.Fact{Kind: fact.KindAuth, Peer: peer, Door: "submission", Hello: "bot", Reply: no, Count: 3}),
		at(2, fact.Fact{Kind: fact.KindAuth, Peer: peer, Door: "submission", Hello: "bot", Reply: ok}),
		at(3, fact.Fact{Kind: fact.KindAuth, Peer: peer, Door: "submission", Hello: "other", Reply: ok}),
		at(4, fact.Fact{Kind: fact.KindAccept, Recipients: []string{"a", "b"}, Cut: 3}),
		at(5, fact.Fact{Kind: fact.KindRefuse, Reply: no}),
		at(6, fact.Fact{Kind: fact.KindOutcome, Recipient: "a", Reply: ok}),
		at(6, fact.Fact{Kind: fact.KindOutcome, Recipient: "b", Reply: no}),
		at(2, fact.Fact{Kind: fact.KindAuth, Network: netip.MustParsePrefix("192.0.2.0/24"), Door: "submission", Reply: no, Count: 40, Until: noon().Add(9 * time.Minute)}),
		at(4, fact.Fact{Kind: fact.KindAuth, Network: netip.MustParsePrefix("198.51.100.0/24"), Door: "submission", Reply: no, Count: 2, Until: noon().Add(8 * time.Minute)}),
		at(5, fact.Fact{Kind: fact.KindAuth, Reply: no, Count: 5, Until: noon().Add(5 * time.Minute)}), // too many to name their networks
		at(1, fact.Fact{Kind: fact.KindAuth, Account: "bob@local.test", Peer: peer, Reply: no}),
		at(7, fact.Fact{Kind: fact.KindDirectory, Text: "forward changed", Recipients: []string{"alice@home.test"}, Evidence: []fact.Pair{{Name: "by uid", Value: "0"}}}),
	})
	if s.Accepted != 1 || s.Recipients != 5 || s.Refused != 1 || len(s.Left) != 1 || s.Left[0].Recipient != "a" || len(s.Changes) != 1 || s.Changes[0].By != "0" {
		t.Errorf("%+v", s)
	}
	var from []string
	for _, in := range s.SignIns {
		from = append(from, fmt.Sprintf("%s %s %d good %d bad %s-%s", in.From(), in.Program, in.Good, in.Bad, in.First.Format("04"), in.Last.Format("04")))
	}
	if !slices.Equal(from, []string{
		"unknown networks  0 good 5 bad 05-05", "198.51.100.0/24  0 good 2 bad 04-08", "192.0.2.7 other 1 good 0 bad 03-03", "192.0.2.7 bot 1 good 3 bad 01-02", "192.0.2.0/24  0 good 40 bad 02-09",
	}) {
		t.Errorf("sign-ins %q", from)
	}
	bad := BadSignIns{Count: 50, First: noon().Add(time.Minute), Last: noon().Add(9 * time.Minute), More: 5, From: []BadFrom{{netip.MustParsePrefix("198.51.100.0/24"), 2}, {netip.MustParsePrefix("192.0.2.0/24"), 43}}}
	if !reflect.DeepEqual(s.Bad, bad) {
		t.Errorf("bad sign-ins %+v, which should be %+v", s.Bad, bad)
	}
	if !slices.Equal(s.Changes[0].To, []string{"alice@home.test"}) {
		t.Errorf("changed to %v", s.Changes[0].To)
	}
	// Under its former name it is the same account, until it was renamed; who has that name since is not.
	smith := addr(t, "smith@local.test")
	names := []Name{{Account: alice, To: noon().Add(3 * time.Minute)}, {Account: smith, From: noon().Add(3 * time.Minute)}}
	sent := fact.Fact{Kind: fact.KindAccept, Recipients: []string{"a"}}
	as := func(minutes int, who mail.Address) fact.Fact {
		f := sent
		f.Account = who.String()
		return at(minutes, f)
	}
	if s := Tell(names, noon(), []fact.Fact{as(1, smith), as(2, alice), as(3, smith), as(3, alice), as(4, alice), as(5, smith)}); s.Accepted != 3 || s.Account != smith.String() {
		t.Errorf("renamed: %+v", s)
	}
	var many []fact.Fact
	for n := range maxSignIns + 3 {
		many = append(many, at(1, fact.Fact{Kind: fact.KindAuth, Peer: netip.AddrFrom4([4]byte{198, 18, byte(n), 1}), Reply: no}))
	}
	if s := Tell([]Name{{Account: alice}}, noon(), many); !s.Cut || len(s.SignIns) != maxSignIns || s.Bad.Count != maxSignIns+3 || s.Bad.More != 3 || len(s.Bad.From) != maxSignIns {
		t.Errorf("%d sign-ins, %d bad ones, %d more, cut %v", len(s.SignIns), s.Bad.Count, s.Bad.More, s.Cut)
	}
}
