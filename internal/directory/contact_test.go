package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

func contact(t testing.TB, account, to string, former ...string) Contact {
	t.Helper()
	c := Contact{Account: address(t, account)}
	if to != "" {
		c.Address = address(t, to)
	}
	for n, f := range former {
		c.Former = append(c.Former, FormerContact{Address: address(t, f), Until: time.Unix(int64(n), 0)})
	}
	return c
}

// A contact is one to a notice about its own account, and a foreign address to everything
// else.
func TestContacts(t *testing.T) {
	former := []FormerContact{{Address: address(t, "first@home.test")}}
	s := built(t, func(c *Config) {
		c.Contacts = []Contact{
			contact(t, "carol@local.test", "", "was@home.test"),
			{Account: address(t, "ALICE@local.test"), Address: address(t, "alice@home.test"), Former: former},
			contact(t, "bob@local.test", "bob@home.test"),
			contact(t, "gone@local.test", "gone@home.test", "before@home.test"),
		}
	})
	former[0].Address = address(t, "other@home.test") // the snapshot is a value
	for _, c := range []struct {
		about, to string
		want      gate.Destination
	}{
		{"alice@local.test", "alice@home.test", gate.DestinationContact},
		{"Alice@local.test", "alice@home.test", gate.DestinationContact},
		{"alice@local.test", "first@home.test", gate.DestinationContact}, // it is told that it was replaced
		{"carol@local.test", "was@home.test", gate.DestinationContact},
		{"alice@local.test", "other@home.test", gate.DestinationForeign},
		{"alice@local.test", "bob@home.test", gate.DestinationForeign},
		{"bob@local.test", "alice@home.test", gate.DestinationForeign},
		{"gone@local.test", "gone@home.test", gate.DestinationForeign},
		{"sales@local.test", "alice@home.test", gate.DestinationForeign},
		{"alice@local.test", "bob@local.test", gate.DestinationMailbox},
		{"alice@local.test", "nobody@local.test", gate.DestinationNoSuchUser},
	} {
		got := s.ClassifyNotice(address(t, c.about), address(t, c.to))
		if got.Destination != c.want || (got.Rule == RuleContact) != (c.want == gate.DestinationContact) {
			t.Errorf("a notice about %s to %s is %q; want %v", c.about, c.to, shown(got), c.want)
		}
	}
	if got := s.Classify(address(t, "alice@home.test")); got.Destination != gate.DestinationForeign {
		t.Errorf("to others a contact is %q", shown(got))
	}
	if _, is := s.Contact(mail.Address{}); is {
		t.Error("no account has a contact")
	}
	if _, is := s.Contact(address(t, "dash+er@local.test")); is {
		t.Error("an account without one has a contact")
	}
	if c, is := s.Contact(address(t, "alice@local.test")); !is || c.Address != address(t, "alice@home.test") || c.Subject() != (Subject{KindContact, "ALICE@local.test"}) {
		t.Errorf("%+v, %v", c, is)
	}
	if (Contact{}).Reaches(mail.Address{}) {
		t.Error("no contact reaches nobody")
	}
	var replaced []string
	for _, c := range s.Replaced() {
		replaced = append(replaced, c.Account.String())
	}
	if !slices.Equal(replaced, []string{"ALICE@local.test", "carol@local.test"}) {
		t.Errorf("replaced: %v", replaced)
	}
	cfg, _ := site(t)
	cfg.Contacts = []Contact{contact(t, "alice@local.test", "alice@home.test", "first@home.test")}
	blind, err := Unavailable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, is := blind.Contact(address(t, "alice@local.test")); is || len(blind.Replaced()) != 0 {
		t.Error("a contact of an account of which nobody knows whether it exists")
	}
}

// A replaced contact may have become ours or lie at a literal since: no notice goes there.
func TestAReplacedContactThatIsNoneAnyMore(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Contacts = []Contact{contact(t, "alice@local.test", "", "bob@second.test", "x@[198.51.100.1]")}
	})
	for _, to := range []string{"bob@second.test", "x@[198.51.100.1]"} {
		if got := s.ClassifyNotice(address(t, "alice@local.test"), address(t, to)); got.Destination == gate.DestinationContact {
			t.Errorf("%s is %q", to, shown(got))
		}
	}
}

func TestContactsThatAreRefused(t *testing.T) {
	most := slices.Repeat([]string{"x@home.test"}, MaxFormerContacts)
	for _, c := range []struct {
		what string
		all  []Contact
		want string // "": it may stand
	}{
		{"of a foreign address", []Contact{contact(t, "x@remote.test", "y@home.test")}, "the contact of x@remote.test is of an account in no domain of ours"},
		{"twice", []Contact{contact(t, "alice@local.test", "y@home.test"), contact(t, "ALICE@local.test", "z@home.test")}, "the contact of ALICE@local.test is given twice"},
		{"at a literal", []Contact{contact(t, "alice@local.test", "y@[198.51.100.1]")}, "the contact of alice@local.test is in no domain"},
		{"in a domain of ours", []Contact{contact(t, "alice@local.test", "bob@second.test")}, "is bob@second.test, an address of ours"},
		{"at our host", []Contact{contact(t, "alice@local.test", "bob@mx.local.test")}, "an address of ours"},
		{"with too many before", []Contact{contact(t, "alice@local.test", "", append(most, "z@home.test")...)}, "replaced more than 8 others"},
		{"with as many before as may be", []Contact{contact(t, "alice@local.test", "", most...)}, ""},
		{"that is outside", []Contact{contact(t, "alice@local.test", "y@home.test")}, ""},
	} {
		cfg, accounts := site(t)
		cfg.Contacts = c.all
		_, err := NewSnapshot(cfg, accounts)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrConfig) || !strings.HasSuffix(err.Error(), c.want)) {
			t.Errorf("a contact %s: %v; want %q", c.what, err, c.want)
		}
	}
}
