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
