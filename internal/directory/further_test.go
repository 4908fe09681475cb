package directory

import (
	"testing"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

func addressed(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func theirs(t *testing.T, address, account string) Alias {
	t.Helper()
	return Alias{Address: addressed(t, address), Targets: []mail.Address{addressed(t, account)}, Posting: PostingAnyone}
}

// What a directory elsewhere gives an account takes nothing from anybody.
func TestFurtherAddressesTakeNothing(t *testing.T) {
	local, alice := addressed(t, "x@local.test").Domain(), addressed(t, "alice@local.test")
	behind := addressed(t, "x@behind.test").Domain()
	cfg := Config{Domains: []Domain{{Name: local}, {Name: behind, List: []mail.Address{addressed(t, "listed@behind.test")}}}, Aliases: []Alias{theirs(t, "team@local.test", "alice@local.test")}}
	var all []Alias
	for _, name := range []string{"al@local.test", "ALICE@local.test", "Team@local.test", "postmaster@local.test", "Abuse@local.test", "al@elsewhere.test", "listed@behind.test", "twice@local.test", "twice@LOCAL.test"} {
		all = append(all, theirs(t, name, "alice@local.test"))
	}
	kept, refused := Further(cfg, []mail.Address{alice}, all)
	if len(kept) != 1 || kept[0].Address.String() != "al@local.test" || len(refused) != len(all)-1 {
		t.Errorf("%v, %v", kept, refused)
	}
}

// A name with a detail is its owner's, who may have it as a further address; where the separator stands in names as
// well, it is a name like others.
func TestFurtherAddressesAreNobodysDetail(t *testing.T) {
	accounts := []mail.Address{addressed(t, "alice@local.test"), addressed(t, "mallory@local.test")}
	for _, row := range []struct {
		detail        byte
		address, goes string
		kept          bool
	}{
		{'+', "alice+bank@local.test", "mallory@local.test", false},
		{'+', "Alice+Bank@local.test", "alice@local.test", true},
		{'+', "team+bank@local.test", "mallory@local.test", false},
		{'+', "nobody+bank@local.test", "mallory@local.test", true},
		{'+', "alice-marie@local.test", "mallory@local.test", true},
		{'-', "alice-marie@local.test", "mallory@local.test", true},
		{0, "alice+bank@local.test", "mallory@local.test", true},
	} {
		cfg := Config{Detail: row.detail, Domains: []Domain{{Name: accounts[0].Domain()}}, Aliases: []Alias{theirs(t, "team@local.test", "alice@local.test")}}
		if kept, _ := Further(cfg, accounts, []Alias{theirs(t, row.address, row.goes)}); (len(kept) == 1) != row.kept {
			t.Errorf("with %q, %s of %s: %v", row.detail, row.address, row.goes, kept)
		}
	}
}

// Where nobody knows yet who exists, who is not known may exist: also behind an alias, past a
// catch-all, and as half of an alias.
func TestAnUnlistedDomain(t *testing.T) {
	local := addressed(t, "x@local.test").Domain()
	for _, unlisted := range []bool{false, true} {
		cfg := Config{Hostname: local, Domains: []Domain{{Name: local, Deliver: DeliverMaildir, Unlisted: unlisted}}, Detail: '+', Aliases: []Alias{
			theirs(t, "half@local.test", "alice@local.test"), theirs(t, "gone@local.test", "bob@local.test"),
			{CatchAll: local, Targets: []mail.Address{addressed(t, "alice@local.test")}, Posting: PostingAnyone},
		}}
		cfg.Aliases[0].Targets = append(cfg.Aliases[0].Targets, addressed(t, "bob@local.test"))
		s, err := NewSnapshot(cfg, []mail.Address{addressed(t, "alice@local.test")})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][2]gate.Destination{
			"alice@local.test": {gate.DestinationMailbox, gate.DestinationMailbox}, "alice+x@local.test": {gate.DestinationMailbox, gate.DestinationMailbox},
			"postmaster@local.test": {gate.DestinationPostmaster, gate.DestinationPostmaster}, "bob@local.test": {gate.DestinationMailbox, gate.DestinationUnavailable},
			"half@local.test": {gate.DestinationMailbox, gate.DestinationUnavailable}, "gone@local.test": {gate.DestinationNoSuchUser, gate.DestinationUnavailable},
		} {
			if got := s.Classify(addressed(t, name)); got.Destination != want[map[bool]int{true: 1}[unlisted]] {
				t.Errorf("unlisted %v, %s: %v by %s", unlisted, name, got.Destination, got.Rule)
			}
		}
	}
}
