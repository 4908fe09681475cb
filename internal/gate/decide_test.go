package gate

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

var update = flag.Bool("update", false, "write the golden table anew")

const goldenTable = "testdata/decide.golden"

// The values of each fact: all that are named, the first that is not, and the last
// that an octet can hold.
func values(named int) []uint8 {
	var v []uint8
	for i := range named + 1 {
		v = append(v, uint8(i))
	}
	return append(v, 255)
}

func each(fn func(Facts)) {
	for _, door := range values(8) {
		for _, peer := range values(3) {
			for _, auth := range values(7) {
				for _, standing := range values(5) {
					for _, ownership := range values(5) {
						for _, destination := range values(16) {
							fn(Facts{Door(door), Peer(peer), Auth(auth), Standing(standing), Ownership(ownership), Destination(destination)})
						}
					}
				}
			}
		}
	}
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func queueID(t testing.TB, n byte) mail.ID {
	t.Helper()
	id, err := mail.IDFromBytes(append(make([]byte, 14), n))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// subjects returns complete subjects with an own sender and with the null sender.
func subjects(t testing.TB) (owned, null Subject) {
	alice := address(t, "alice@local.test")
	owned = Subject{Transaction: queueID(t, 1), Account: alice, Sender: mail.PathOf(alice), Recipient: address(t, "victim@remote.test")}
	null = owned
	null.Sender = mail.NullPath()
	return owned, null
}

func subjectFor(f Facts, owned, null Subject) Subject {
	if f.Ownership == OwnershipNull {
		return null
	}
	return owned
}

func inRange(f Facts) bool {
	return f.Door >= 1 && f.Door <= 7 && f.Peer >= 1 && f.Peer <= 2 && f.Auth >= 1 && f.Auth <= 6 &&
		f.Standing >= 1 && f.Standing <= 4 && f.Ownership >= 1 && f.Ownership <= 4 && f.Destination >= 1 && f.Destination <= 15
}

// The property of the design, in other words than the code: whatever leaves, leaves
// on a grant; whoever has a grant was proven by this door's own means, is in good
// standing, and speaks for itself.
func TestNothingLeavesWithoutAGrant(t *testing.T) {
	owned, null := subjects(t)
	proofs := map[Door][]Auth{
		DoorSubmission: {AuthPassword, AuthToken, AuthCertificate, AuthNetworkAccount},
		DoorSendmail:   {AuthLocalUID},
		DoorForward:    {AuthNone}, // the owner of the forward answers for it
		DoorReport:     {AuthNone}, // the account named for reports does
		DoorNotice:     {AuthNone}, // the administrator named where it goes
	}
	grants := 0
	each(func(f Facts) {
		v := Decide(f, subjectFor(f, owned, null))
		g, granted := v.Grant()
		if granted != (v.Action == Relay) || granted == g.IsZero() {
			t.Fatalf("%+v: %v with grant %v", f, v.Action, granted)
		}
		if f.Destination == DestinationForeign && v.Action == AcceptLocal {
			t.Fatalf("%+v: a foreign recipient was accepted without a grant", f)
		}
		if !granted {
			return
		}
		grants++
		switch {
		case f.Door == DoorNotice:
			// Nobody's standing counts, so that nobody can choose where it goes either.
			if f.Destination != DestinationContact || f.Ownership != OwnershipNull || f.Standing != StandingNone || !g.Answers().IsZero() || g.Account() != null.Account {
				t.Fatalf("%+v: a notice to somebody whom no administrator named: %+v", f, g)
			}
			return
		case f.Destination != DestinationForeign:
			t.Fatalf("%+v: a grant for a recipient of ours", f)
		case g.Answers() != owned.Account:
			t.Fatalf("%+v: a grant that nobody answers for", f)
		case !slices.Contains(proofs[f.Door], f.Auth):
			t.Fatalf("%+v: a grant by a proof that this door does not have", f)
		case f.Auth == AuthNetworkAccount && f.Peer != PeerProvenNetwork:
			t.Fatalf("%+v: a grant for a network that is not proven", f)
		case f.Standing != StandingActive:
			t.Fatalf("%+v: a grant for an account that is not in good standing", f)
		case f.Ownership != OwnershipOwned && f.Ownership != OwnershipNull:
			t.Fatalf("%+v: a grant for a sender of somebody else", f)
		case f.Door == DoorReport && f.Ownership != OwnershipOwned:
			t.Fatalf("%+v: a report that nobody could answer", f)
		}
	})
	// Two senders times: two peers for each of five proofs, and one for the network;
	// a report's one sender for two peers, and a notice's.
	if want := 2*(2*5+1) + 2 + 2; grants != want {
		t.Errorf("%d combinations are granted; want %d", grants, want)
	}
}

// Who writes to a group that is not open to the world has proven to be an account
// in good standing, by this door's own means; or it is the server itself. Only a
// member, or the server, writes to a group for members.
func TestGroupsAreClosed(t *testing.T) {
	owned, null := subjects(t)
	proofs := map[Door][]Auth{
		DoorSubmission:   {AuthPassword, AuthToken, AuthCertificate, AuthNetworkAccount},
		DoorSendmail:     {AuthLocalUID},
		DoorNotification: {AuthNone},
	}
	accepted := map[Destination]int{}
	each(func(f Facts) {
		switch f.Destination {
		case DestinationAccountsOnly, DestinationMembersOnly, DestinationNonMember:
		default:
			return
		}
		v := Decide(f, subjectFor(f, owned, null))
		if v.Action == Refuse {
			return
		}
		accepted[f.Destination]++
		switch {
		case v.Action != AcceptLocal:
			t.Fatalf("%+v: %v", f, v.Action)
		case !slices.Contains(proofs[f.Door], f.Auth):
			t.Fatalf("%+v: a proof that this door does not have", f)
		case f.Door != DoorNotification && f.Standing != StandingActive:
			t.Fatalf("%+v: an account that is not in good standing", f)
		case f.Door != DoorNotification && f.Destination == DestinationNonMember:
			t.Fatalf("%+v: somebody who is no member", f)
		case f.Ownership != OwnershipOwned && f.Ownership != OwnershipNull:
			t.Fatalf("%+v: a sender of somebody else", f)
		}
	})
	// The null sender with any standing for two peers of a notification, and what is
	// granted to the world for the doors of accounts (forwards apart).
	notifications, accounts := 2*4, 2*(2*4+1)
	for d, want := range map[Destination]int{
		DestinationAccountsOnly: notifications + accounts, DestinationMembersOnly: notifications + accounts, DestinationNonMember: notifications,
	} {
		if accepted[d] != want {
			t.Errorf("%v: %d combinations are accepted; want %d", d, accepted[d], want)
		}
	}
}

func TestDecideIsTotalAndClosed(t *testing.T) {
	owned, null := subjects(t)
	known := map[Rule]RuleInfo{}
	for _, r := range Rules() {
		known[r.Rule] = r
	}
	each(func(f Facts) {
		v := Decide(f, subjectFor(f, owned, null))
		info, ok := known[v.Rule]
		if !ok || info.Action != v.Action || info.Reply != v.Reply {
			t.Fatalf("%+v: %v is not what its rule %q says", f, v, v.Rule)
		}
		if want := map[Action]mail.Class{Refuse: 5, Defer: 4, AcceptLocal: 2, Relay: 2}[v.Action]; v.Reply.Class() != want || v.Reply.Enhanced.Class != uint16(want) {
			t.Fatalf("%+v: %v is told as %v", f, v.Action, v.Reply)
		}
		if !inRange(f) && v.Action != Refuse {
			t.Fatalf("%+v: %v although a fact is not known", f, v.Action)
		}
		if f.Door == DoorMX && v.Action == Relay {
			t.Fatalf("%+v: port 25 relays", f)
		}
		if bounce := f.Door == DoorMX && f.Ownership == OwnershipNull; f.Destination == DestinationForwardReturn && v.Action != Refuse && !bounce {
			t.Fatalf("%+v: the return path of a forward takes more than bounces from outside", f)
		}
		if (f.Destination == DestinationMarkForged || f.Destination == DestinationUnmarked) && v.Action != Refuse {
			t.Fatalf("%+v: a bounce without a signature of ours is accepted", f)
		}
		if f.Destination == DestinationForwardForged && v.Action != Refuse {
			t.Fatalf("%+v: a forged return path is accepted", f)
		}
		if f.Standing == StandingFrozen && f.Door != DoorMX && f.Door != DoorNotification && v.Action != Refuse {
			t.Fatalf("%+v: a frozen account sends", f)
		}
		m := DecideMail(f)
		g := f
		g.Destination = DestinationForeign
		if DecideMail(g).Rule != m.Rule {
			t.Fatalf("%+v: the sender's verdict depends on the destination", f)
		}
		if m.Action != AcceptLocal && v.Rule != m.Rule {
			t.Fatalf("%+v: the sender was refused by %s, the recipient got %s", f, m.Rule, v.Rule)
		}
		if _, granted := m.Grant(); granted || m.Action == Relay || m.Action == Defer {
			t.Fatalf("%+v: MAIL alone gives %v", f, m.Action)
		}
	})
}

func TestEveryRuleFires(t *testing.T) {
	owned, null := subjects(t)
	fired := map[Rule]bool{}
	each(func(f Facts) {
		fired[DecideMail(f).Rule] = true
		fired[Decide(f, subjectFor(f, owned, null)).Rule] = true
		fired[Decide(f, Subject{}).Rule] = true
	})
	seen := map[Rule]bool{}
	for _, r := range Rules() {
		if !fired[r.Rule] {
			t.Errorf("the rule %s never fires", r.Rule)
		}
		if seen[r.Rule] || r.Words == "" {
			t.Errorf("the rule %s is there twice, or has no words", r.Rule)
		}
		seen[r.Rule] = true
	}
	if len(fired) != len(seen) {
		t.Errorf("%d rules fire, %d are listed", len(fired), len(seen))
	}
}

// A relay names all that its grant would speak of, and the sender that was judged.
func TestARelayNeedsItsSubject(t *testing.T) {
	owned, null := subjects(t)
	f := Facts{DoorSubmission, PeerStranger, AuthPassword, StandingActive, OwnershipOwned, DestinationForeign}
	for missing := range 16 {
		s := owned
		if missing&1 != 0 {
			s.Transaction = mail.ID{}
		}
		if missing&2 != 0 {
			s.Account = mail.Address{}
		}
		if missing&4 != 0 {
			s.Sender = mail.ReversePath{}
		}
		if missing&8 != 0 {
			s.Recipient = mail.Address{}
		}
		v := Decide(f, s)
		if want := missing == 0; (v.Action == Relay) != want || !want && v.Rule != RuleSubjectIncomplete {
			t.Errorf("with %04b missing: %v by %s", missing, v.Action, v.Rule)
		}
	}
	if v := Decide(f, null); v.Rule != RuleSubjectIncomplete {
		t.Errorf("an owned sender was judged, the null sender relayed: %v", v.Rule)
	}
	f.Ownership = OwnershipNull
	if v := Decide(f, owned); v.Rule != RuleSubjectIncomplete {
		t.Errorf("the null sender was judged, an address relayed: %v", v.Rule)
	}
	if v := Decide(f, null); v.Action != Relay {
		t.Errorf("a read receipt does not leave: %v", v.Rule)
	}
}

// What the other end hears, where the code matters to it.
func TestReplies(t *testing.T) {
	mx := Facts{DoorMX, PeerStranger, AuthNone, StandingNone, OwnershipForeign, DestinationMailbox}
	alice := Facts{DoorSubmission, PeerStranger, AuthPassword, StandingActive, OwnershipOwned, DestinationMailbox}
	for _, c := range []struct {
		name string
		base Facts
		edit func(*Facts)
		want string
	}{
		{"a stranger writes to bob", mx, func(f *Facts) {}, "250 2.1.5"},
		{"a bounce arrives", mx, func(f *Facts) { f.Ownership = OwnershipNull }, "250 2.1.5"},
		{"a stranger relays", mx, func(f *Facts) { f.Destination = DestinationForeign }, "550 5.7.1"},
		{"a stranger relays from a proven network", mx, func(f *Facts) { f.Destination, f.Peer = DestinationForeign, PeerProvenNetwork }, "550 5.7.1"},
		{"a signed-in client relays on port 25", mx, func(f *Facts) {
			f.Destination, f.Auth, f.Standing = DestinationForeign, AuthPassword, StandingActive
		}, "550 5.7.1"},
		{"a stranger claims to be ours", mx, func(f *Facts) { f.Ownership = OwnershipOurs }, "550 5.7.1"},
		{"a stranger writes to nobody", mx, func(f *Facts) { f.Destination = DestinationNoSuchUser }, "550 5.1.1"},
		{"a stranger writes to bob@[us]", mx, func(f *Facts) { f.Destination = DestinationOwnLiteral }, "550 5.1.1"},
		{"a stranger writes to a looping alias", mx, func(f *Facts) { f.Destination = DestinationLoop }, "550 5.4.6"},
		{"a stranger writes to a group for our people", mx, func(f *Facts) { f.Destination = DestinationAccountsOnly }, "550 5.7.2"},
		{"a bounce comes for a group for our people", mx, func(f *Facts) { f.Destination, f.Ownership = DestinationAccountsOnly, OwnershipNull }, "550 5.7.2"},
		{"a stranger writes to a group for members", mx, func(f *Facts) { f.Destination = DestinationNonMember }, "550 5.7.2"},
		{"alice writes to a group for our people", alice, func(f *Facts) { f.Destination = DestinationAccountsOnly }, "250 2.1.5"},
		{"alice writes to her group", alice, func(f *Facts) { f.Destination = DestinationMembersOnly }, "250 2.1.5"},
		{"alice writes to a group of others", alice, func(f *Facts) { f.Destination = DestinationNonMember }, "550 5.7.2"},
		{"a bounce of a forward", mx, func(f *Facts) { f.Destination, f.Ownership = DestinationForwardReturn, OwnershipNull }, "250 2.1.5"},
		{"mail to the return path of a forward", mx, func(f *Facts) { f.Destination = DestinationForwardReturn }, "550 5.7.1"},
		{"alice writes to the return path of a forward", alice, func(f *Facts) { f.Destination, f.Ownership = DestinationForwardReturn, OwnershipNull }, "550 5.7.1"},
		{"a bounce to a forged return path", mx, func(f *Facts) { f.Destination, f.Ownership = DestinationForwardForged, OwnershipNull }, "550 5.7.1"},
		{"a bounce to a forged signature", mx, func(f *Facts) { f.Destination, f.Ownership = DestinationMarkForged, OwnershipNull }, "550 5.7.1 return-path-forged"},
		{"mail to a forged signature", mx, func(f *Facts) { f.Destination = DestinationMarkForged }, "550 5.7.1 return-path-forged"},
		{"alice writes to a forged signature", alice, func(f *Facts) { f.Destination = DestinationMarkForged }, "550 5.7.1 return-path-forged"},
		{"a bounce without a signature", mx, func(f *Facts) { f.Destination, f.Ownership = DestinationUnmarked, OwnershipNull }, "550 5.7.1 bounce-unsigned"},
		{"mail is asked for a signature", mx, func(f *Facts) { f.Destination = DestinationUnmarked }, "550 5.7.1 facts-contradict"},
		{"a receipt of alice is asked for a signature", alice, func(f *Facts) { f.Destination, f.Ownership = DestinationUnmarked, OwnershipNull }, "550 5.7.1 facts-contradict"},
		{"the directory is down", mx, func(f *Facts) { f.Destination = DestinationUnavailable }, "451 4.3.0"},
		{"nobody signed in", alice, func(f *Facts) { f.Auth, f.Standing = AuthNone, StandingNone }, "530 5.7.0"},
		{"nobody signed in from a proven network", alice, func(f *Facts) {
			f.Auth, f.Standing, f.Peer = AuthNone, StandingNone, PeerProvenNetwork
		}, "530 5.7.0"},
		{"alice writes to bob", alice, func(f *Facts) {}, "250 2.1.5"},
		{"alice writes to the world", alice, func(f *Facts) { f.Destination = DestinationForeign }, "250 2.1.5"},
		{"alice writes as bob", alice, func(f *Facts) { f.Ownership = OwnershipOurs }, "553 5.7.1"},
		{"alice writes as a foreigner", alice, func(f *Facts) { f.Ownership = OwnershipForeign }, "553 5.7.1"},
		{"alice is frozen", alice, func(f *Facts) { f.Standing = StandingFrozen }, "550 5.7.13"},
		{"alice's network is not proven", alice, func(f *Facts) { f.Auth = AuthNetworkAccount }, "550 5.7.1"},
		{"nothing is known", Facts{}, func(f *Facts) {}, "550 5.7.1"},
	} {
		f := c.base
		c.edit(&f)
		owned, null := subjects(t)
		v := Decide(f, subjectFor(f, owned, null))
		if got := fmt.Sprintf("%d %s %s", v.Reply.Code, v.Reply.Enhanced, v.Rule); got != c.want && !strings.HasPrefix(got, c.want+" ") {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
	if v := (Verdict{}); v.Action != Refuse || v.Reply.OK() {
		t.Error("the zero Verdict does not refuse")
	}
	if _, ok := (Verdict{Action: Relay}).Grant(); ok {
		t.Error("a Verdict made by hand has a grant")
	}
}

// The whole policy as a table: a change of policy is a change of this file. Equal
// rows are drawn together; "any" stands for every named value, and "*" for every
// value, named or not.
func TestGoldenTable(t *testing.T) {
	owned, null := subjects(t)
	var b strings.Builder
	b.WriteString("# door / peer / auth / standing / ownership / destination: action rule reply\n")
	for _, row := range drawn(nil, func(v []uint8) string {
		f := Facts{Door(v[0]), Peer(v[1]), Auth(v[2]), Standing(v[3]), Ownership(v[4]), Destination(v[5])}
		d := Decide(f, subjectFor(f, owned, null))
		return fmt.Sprintf("%s %s %d %s", d.Action, d.Rule, d.Reply.Code, d.Reply.Enhanced)
	}) {
		b.WriteString(row + "\n")
	}
	got := b.String()
	if *update {
		if err := os.WriteFile(goldenTable, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenTable)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the policy changed; if it should, run: go test ./internal/gate -run TestGoldenTable -update\n%s", firstDifference(string(want), got))
	}
}

// drawn returns the rows below one prefix of values, with equal parts joined.
func drawn(prefix []uint8, decide func([]uint8) string) []string {
	counts := []int{7, 3, 7, 4, 5, 16}
	words := []func(uint8) string{
		func(v uint8) string { return Door(v).String() }, func(v uint8) string { return Peer(v).String() },
		func(v uint8) string { return Auth(v).String() }, func(v uint8) string { return Standing(v).String() },
		func(v uint8) string { return Ownership(v).String() }, func(v uint8) string { return Destination(v).String() },
	}
	level := len(prefix)
	if level == len(counts) {
		return []string{": " + decide(prefix)}
	}
	var order []string
	names := map[string][]string{}
	for _, v := range values(counts[level]) {
		part := strings.Join(drawn(append(slices.Clone(prefix), v), decide), "\n")
		if names[part] == nil {
			order = append(order, part)
		}
		if w := words[level](v); !slices.Contains(names[part], w) {
			names[part] = append(names[part], w)
		}
	}
	var rows []string
	for _, part := range order {
		name := strings.Join(names[part], "|")
		switch {
		case len(order) == 1:
			name = "*"
		case len(names[part]) == counts[level]-1 && !slices.Contains(names[part], "unknown"):
			name = "any"
		}
		for _, rest := range strings.Split(part, "\n") {
			if !strings.HasPrefix(rest, ":") {
				rest = " / " + rest
			}
			rows = append(rows, name+rest)
		}
	}
	return rows
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "- " + w[i] + "\n+ " + g[i]
		}
	}
	return fmt.Sprintf("%d lines became %d", len(w), len(g))
}

func BenchmarkDecide(b *testing.B) {
	owned, _ := subjects(b)
	f := Facts{DoorSubmission, PeerStranger, AuthPassword, StandingActive, OwnershipOwned, DestinationForeign}
	b.ReportAllocs()
	for b.Loop() {
		if v := Decide(f, owned); v.Action != Relay {
			b.Fatal(v.Rule)
		}
	}
}
