package query

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Each message counts once, however its fact was split, each recipient once, and each
// sign-in as often as it happened, by the network that it came from.
func TestTallyCountsByAccount(t *testing.T) {
	tally := NewTally()
	add := func(k fact.Kind, change func(*fact.Fact)) {
		f := fact.Fact{At: testTime(), Kind: k, Account: "alice@local.test"}
		change(&f)
		tally.Add(f)
	}
	ok, bad := mail.R(235, "2.7.0", "welcome"), mail.R(535, "5.7.8", "no")
	from := func(s string, r mail.Reply) func(*fact.Fact) {
		return func(f *fact.Fact) { f.Peer, f.Reply = netip.MustParseAddr(s), r }
	}
	add(fact.KindAuth, from("192.0.2.1", ok))
	add(fact.KindAuth, from("192.0.2.9", ok))
	add(fact.KindAuth, from("2001:db8::1", ok))
	add(fact.KindAuth, from("198.51.100.1", bad))
	add(fact.KindAuth, func(f *fact.Fact) {
		f.Network, f.Count, f.Until, f.Reply = netip.MustParsePrefix("192.0.2.0/24"), 10, testTime().Add(time.Hour), ok
	})
	for _, split := range []int{64, 36} {
		add(fact.KindAccept, func(f *fact.Fact) { f.Queue, f.Recipients = testID(t, 1), make([]string, split) })
	}
	add(fact.KindAccept, func(f *fact.Fact) { f.Queue, f.Recipients = testID(t, 2), []string{"x@remote.test"} })
	add(fact.KindForward, func(f *fact.Fact) { f.About, f.Recipients = testID(t, 2), []string{"y@remote.test"} })
	add(fact.KindForward, func(f *fact.Fact) { f.Recipients = []string{"it stayed"} })
	add(fact.KindRefuse, func(f *fact.Fact) { f.Count, f.Until = 3, testTime().Add(time.Minute) })
	add(fact.KindRefuse, func(*fact.Fact) {})
	add(fact.KindOutcome, func(f *fact.Fact) { f.Rule, f.Recipients = "failed", []string{"a@remote.test", "b@remote.test"} })
	add(fact.KindOutcome, func(f *fact.Fact) { f.Rule, f.Recipients = "delivered", []string{"c@remote.test"} })
	add(fact.KindOutcome, func(f *fact.Fact) { f.Rule, f.Recipients = fact.RuleReportFailed, []string{"d@remote.test"} })
	add(fact.KindAccept, func(f *fact.Fact) { f.Account = "" })
	got := tally.Accounts()
	want := Tallied{
		Account: "alice@local.test", Messages: 2, Recipients: 101, Forwarded: 1, Refused: 4, Failed: 2, Reports: 1, SignIns: 13, SignInsBad: 1,
		First: testTime(), Last: testTime().Add(time.Hour),
		Networks: []TalliedNetwork{{netip.MustParsePrefix("192.0.2.0/24"), 12}, {netip.MustParsePrefix("2001:db8::/64"), 1}},
	}
	if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A tally has bounds, and says what is beyond them.
func TestTallyIsBounded(t *testing.T) {
	tally := NewTally()
	for i := range MaxTallied + 5 {
		tally.Add(fact.Fact{At: testTime(), Kind: fact.KindAccept, Account: fmt.Sprintf("a%d@local.test", i)})
	}
	for i := range MaxTalliedNetworks + 3 {
		tally.Add(fact.Fact{At: testTime(), Kind: fact.KindAuth, Account: "a1@local.test", Peer: netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), Reply: mail.R(235, "2.7.0", "")})
	}
	all := tally.Accounts()
	networks, beyond := 0, 0
	for _, a := range all {
		networks, beyond = networks+len(a.Networks), beyond+a.Beyond
	}
	if len(all) != MaxTallied || tally.Beyond != 5 || networks != MaxTalliedNetworks || beyond != 3 {
		t.Errorf("%d accounts and %d beyond, %d networks and %d beyond", len(all), tally.Beyond, networks, beyond)
	}
}
