package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

func forward(t testing.TB, account string, to ...string) Forward {
	return Forward{Account: address(t, account), Targets: addresses(t, to...)}
}

func TestForwards(t *testing.T) {
	cfg, accounts := site(t)
	cfg.ForwardExternal = true
	cfg.Forwards = []Forward{forward(t, "Alice@local.test", "a@remote.test", "A@remote.test"), forward(t, "gone@local.test", "g@remote.test")}
	cfg.Forwards[0].Keep = true
	awake, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := awake.Forwards(address(t, "alice@LOCAL.test"))
	if !ok || !f.Keep || !slices.Equal(f.Targets, addresses(t, "a@remote.test", "A@remote.test")) {
		t.Errorf("alice forwards to %v, %v", f, ok)
	}
	for _, a := range []string{"bob@local.test", "gone@local.test", "alice@second.test", "sales@local.test", "a@remote.test"} {
		if f, ok := awake.Forwards(address(t, a)); ok {
			t.Errorf("%s forwards to %v", a, f.Targets)
		}
	}
	if _, ok := awake.Forwards(mail.Address{}); ok {
		t.Error("nobody forwards")
	}
	if _, ok := awake.WithoutAccount(address(t, "alice@local.test")).Forwards(address(t, "alice@local.test")); ok {
		t.Error("a removed account forwards")
	}
	cfg.ForwardExternal = false
	asleep, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := asleep.Forwards(address(t, "alice@local.test")); ok {
		t.Error("a forward is carried out although forwards are off")
	}
	for a, want := range map[string]bool{"alice@local.test": true, "gone@local.test": false, "bob@local.test": false} {
		if asleep.ForwardSleeps(address(t, a)) != want || awake.ForwardSleeps(address(t, a)) {
			t.Errorf("the forward of %s sleeps: %v", a, !want)
		}
	}
	cfg.ForwardExternal = true
	dark, err := Unavailable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := dark.Forwards(address(t, "alice@local.test")); ok {
		t.Error("a forward is carried out although nobody can tell whether its account exists")
	}
}

func TestForwardsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(*Config)
		want string
	}{
		{"of a foreign address", func(c *Config) { c.Forwards = []Forward{forward(t, "x@remote.test", "y@remote.test")} }, "is of no domain of ours"},
		{"twice", func(c *Config) {
			c.Forwards = []Forward{forward(t, "alice@local.test", "y@remote.test"), forward(t, "ALICE@local.test", "z@remote.test")}
		}, "the forward of ALICE@local.test is given twice"},
		{"to nobody", func(c *Config) { c.Forwards = []Forward{forward(t, "alice@local.test")} }, "leads to 0 addresses; it may be 1 to 5"},
		{"to too many", func(c *Config) {
			c.ForwardTargets = 1
			c.Forwards = []Forward{forward(t, "alice@local.test", "y@remote.test", "z@remote.test")}
		}, "leads to 2 addresses; it may be 1 to 1"},
		{"to us", func(c *Config) { c.Forwards = []Forward{forward(t, "alice@local.test", "bob@second.test")} }, "leads to bob@second.test, an address of ours"},
		{"to our host", func(c *Config) { c.Forwards = []Forward{forward(t, "alice@local.test", "bob@mx.local.test")} }, "an address of ours"},
		{"to a literal", func(c *Config) { c.Forwards = []Forward{forward(t, "alice@local.test", "bob@[198.51.100.1]")} }, "has a target in no domain"},
		{"to no address", func(c *Config) {
			c.Forwards = []Forward{{Account: address(t, "alice@local.test"), Targets: make([]mail.Address, 1)}}
		}, "has a target in no domain"},
		{"to one twice", func(c *Config) {
			c.Forwards = []Forward{forward(t, "alice@local.test", "y@remote.test", "y@remote.test")}
		}, "leads to y@remote.test twice"},
		{"an endless bound", func(c *Config) { c.ForwardTargets = ForwardTargetsCeiling + 1 }, "the bound of forwards 101"},
		{"a negative bound", func(c *Config) { c.ForwardTargets = -1 }, "the bound of forwards -1"},
	} {
		cfg, accounts := site(t)
		c.edit(&cfg)
		if s, err := NewSnapshot(cfg, accounts); s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a forward %s: %v; want %q", c.what, err, c.want)
		}
	}
}
