package proof_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// large is a directory of many domains, aliases and accounts, each alias with one account
// that it leads to, and each account with a right to send as an alias.
func large(t testing.TB, domains, aliases, accounts int) proof.World {
	t.Helper()
	cfg := directory.Config{Hostname: domain(t, "mx.local.test"), Detail: '+'}
	for i := range domains {
		cfg.Domains = append(cfg.Domains, directory.Domain{Name: domain(t, fmt.Sprintf("d%d.test", i)), Deliver: directory.DeliverMaildir})
	}
	var all []mail.Address
	for i := range accounts {
		all = append(all, addr(t, fmt.Sprintf("u%d@d%d.test", i, i%domains)))
	}
	for i := range aliases {
		a := directory.Alias{Address: addr(t, fmt.Sprintf("a%d@d%d.test", i, i%domains)), Targets: []mail.Address{all[i%accounts]}, Posting: directory.PostingAnyone}
		cfg.Aliases = append(cfg.Aliases, a)
		if i < accounts {
			cfg.Delegates = append(cfg.Delegates, directory.Delegate{Account: all[(i+1)%accounts], Address: a.Address})
		}
	}
	s, err := directory.NewSnapshot(cfg, all)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Of(cfg, s, all)
}

// However many accounts have a right of their own, each is tried with it.
func TestEveryAccountWithARightIsTried(t *testing.T) {
	w := large(t, 2, 200, 200)
	if r := proof.Prove(w); !r.Closed() {
		t.Fatal("open:", r.Witness)
	}
	ownership, last := w.Ownership, w.Entries.Accounts[len(w.Entries.Accounts)-1]
	w.Ownership = func(account mail.Address, from mail.ReversePath) gate.Ownership {
		if o := ownership(account, from); account != last || o != gate.OwnershipForeign {
			return o
		}
		return gate.OwnershipOwned
	}
	if r := proof.Prove(w); r.Witness == nil || !strings.Contains(r.Witness.Why, "foreign name") || r.Witness.Account != last {
		t.Errorf("a foreign sender of the last account: %v", r.Witness)
	}
	w = large(t, 2, 200, 200)
	classify := w.Classify
	w.Classify = func(account, a mail.Address) directory.Class {
		if account == last && a.Local() == "a198" {
			return directory.Class{Destination: gate.DestinationMailbox, Rule: "alias", Mailboxes: []directory.Mailbox{{Account: addr(t, "x@outside.invalid")}}}
		}
		return classify(account, a)
	}
	if r := proof.Prove(w); r.Witness == nil || !strings.Contains(r.Witness.Why, "not ours") {
		t.Errorf("an alias that leads out for the last account alone: %v", r.Witness)
	}
}

// BenchmarkProve is the proof of 1,000 domains, 100,000 aliases and 20,000 accounts, each
// with a right of its own.
func BenchmarkProve(b *testing.B) {
	w := large(b, 1000, 100_000, 20_000)
	for b.Loop() {
		if r := proof.Prove(w); !r.Closed() {
			b.Fatal(r.Witness)
		}
	}
}
