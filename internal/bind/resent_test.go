package bind

import (
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// A resent message needs both its author and its resender, and whoever redirects somebody else's
// mail with a Resent-From of his own is told what helps, and nobody else is.
func TestResentMessages(t *testing.T) {
	me, eve := parse(t, "me@local.test"), parse(t, "eve@far.test")
	own := ownerOf(me)
	one := func(a mail.Address) []mail.Address { return []mail.Address{a} }
	for name, row := range map[string]struct {
		a    Authors
		rule Rule
		cure bool
	}{
		"his own, resent":               {Authors{From: one(me), FromFields: 1, ResentFrom: one(me)}, RuleAuthorOwned, false},
		"somebody else's, resent":       {Authors{From: one(eve), FromFields: 1, ResentFrom: one(me)}, RuleAuthorNotOwned, true},
		"by another sender":             {Authors{From: one(eve), FromFields: 1, ResentFrom: one(me), ResentSender: one(eve)}, RuleAuthorNotOwned, false},
		"resent as somebody else":       {Authors{From: one(me), FromFields: 1, ResentFrom: one(eve)}, RuleResentNotOwned, false},
		"somebody else's, not resent":   {Authors{From: one(eve), FromFields: 1}, RuleAuthorNotOwned, false},
		"his own, with an alien Sender": {Authors{From: one(me), FromFields: 1, Sender: one(eve), ResentFrom: one(me)}, RuleSenderFieldAlien, false},
	} {
		v := Header(own, row.a)
		if v.Rule != row.rule || strings.Contains(v.Reply.Text, "keeps its author") != row.cure || v.OK != (row.rule == RuleAuthorOwned) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// ownerOf owns one address.
type ownerOf mail.Address

// Owns implements Owner.
func (o ownerOf) Owns(a mail.Address) bool { return a == mail.Address(o) }

func parse(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
