package ldap

import (
	"testing"

	"sallyport/internal/operate"
	"sallyport/test/slapd"
)

// Who is frozen is frozen under another address of the same entry as well, to which the directory's password is the same;
// a person ends it there.
func TestAnotherAddressOfAnEntry(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d)
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" && s.listed() })
	s.expect("alice", s.signIn("alice@local.test", right), "235")
	_, err := s.op.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "misuse"})
	check(t, err)
	d.Set("uid=alice,"+slapd.People, "mail", "smith@local.test")
	s.reload()
	s.until("she has another address", func() bool { return s.rcpt("smith@local.test") == "250" && s.rcpt("alice@local.test") == "550" })
	s.expect("the same password", s.signIn("smith@local.test", right), "535")
	a, err := s.op.AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: "smith@local.test"})
	check(t, err)
	if a.Standing != "frozen" || a.FrozenReason != "misuse, as alice@local.test" {
		t.Errorf("%+v", a)
	}
	_, err = s.op.AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "smith@local.test"})
	check(t, err)
	s.expect("thawed", s.signIn("smith@local.test", right), "235")
	d.Set("uid=alice,"+slapd.People, "mail", "jones@local.test")
	s.reload()
	s.until("she has a third one", func() bool { return s.rcpt("jones@local.test") == "250" })
	s.expect("nobody is frozen", s.signIn("jones@local.test", right), "235")
}

// What a person has made of an address ends with the person: who gets it next inherits no forward, no right and no password of
// a device.
func TestAnotherPersonOfAnAddress(t *testing.T) {
	t.Parallel()
	d := slapd.Start(t, slapd.Options{Entries: people()})
	s := start(t, d, "[auth]\n", "[forward]\nexternal = \"on\"\n[auth]\n")
	s.until("alice is there", func() bool { return s.standing("alice@local.test") == "active" && s.listed() })
	_, err := s.op.ForwardAdd(t.Context(), operate.Self(), operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"alice@home.test"}})
	check(t, err)
	_, err = s.op.ForwardAdd(t.Context(), operate.Self(), operate.ForwardAdd{Account: "bob@local.test", Targets: []string{"bob@home.test"}})
	check(t, err)
	for account, address := range map[string]string{"alice@local.test": "bob@local.test", "bob@local.test": "alice@local.test"} {
		_, err = s.op.DelegateAdd(t.Context(), operate.Self(), operate.DelegateChange{Account: account, Address: address})
		check(t, err)
	}
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send"})
	check(t, err)
	s.expect("app password", s.signIn("alice@local.test", app.Password), "235")
	d.Remove("uid=alice," + slapd.People)
	s.reload()
	s.until("she has left", func() bool { return s.rcpt("alice@local.test") == "550" })
	d.Add(slapd.Person("alice2", "mail: alice@local.test"))
	s.reload()
	s.until("another one has her address", func() bool { return s.rcpt("alice@local.test") == "250" })
	s.expect("the former's device", s.signIn("alice@local.test", app.Password), "535")
	c := s.dial("submissions")
	s.expect("the other one", c.plain("alice@local.test", right), "235")
	s.expect("the former's right", c.say("MAIL FROM:<bob@local.test>"), "553")
	c = s.dial("submissions")
	s.expect("bob", c.plain("bob@local.test", right), "235")
	s.expect("bob's right to send as the former", c.say("MAIL FROM:<alice@local.test>"), "553")
	for who, want := range map[string]int{"alice@local.test": 0, "bob@local.test": 1} {
		a, err := s.op.AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: who})
		check(t, err)
		if len(a.ForwardsTo) != want {
			t.Errorf("%s: mail goes on to %q", who, a.ForwardsTo)
		}
	}
}
