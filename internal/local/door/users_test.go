package door

import (
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// Whose account a user sends as: an entry of his own, by uid or name, then his own
// name in the domain for that, and nobody's otherwise.
func TestLocalAccount(t *testing.T) {
	address := func(s string) mail.Address {
		a, err := mail.ParseAddress(s, mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	d, err := mail.ParseDomain("local.test")
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]mail.Address{
		"www-data": address("web@local.test"), "1000": address("byuid@local.test"),
		"65534": address("web@local.test"), "nobody": address("web@local.test"),
	}
	exists := func(a mail.Address) bool {
		return a.Local() == "alice" || a.Local() == "carol-x" || a.Local() == "alice+tag"
	}
	for _, row := range []struct {
		domain bool
		uid    uint32
		name   string
		want   string
		why    string
	}{
		{false, 33, "www-data", "web@local.test", ""},
		{false, 1000, "alice", "byuid@local.test", ""},
		{false, 1001, "1000", "", "no account"}, // a name that looks like another's uid
		{true, 1000, "", "byuid@local.test", ""},
		{false, 1001, "alice", "", "no account"},
		{true, 1001, "alice", "alice@local.test", ""},
		{true, 1002, "carol-x", "carol-x@local.test", ""},
		{true, 1003, "Alice", "", "no account"},
		{true, 1003, "alice+tag", "", "no account"},
		{true, 1003, "dave", "", "there is no account dave@local.test"},
		{true, 1003, "", "", "knows no such user"},
		{true, overflowUID, "nobody", "", "user namespace"},
		{true, 0, "root", "", "there is no account root@local.test"},
	} {
		c := Users{Named: users}
		if row.domain {
			c.Domain = d
		}
		a, why := c.Account(row.uid, row.name, exists)
		if a.String() != row.want || !strings.Contains(why, row.why) || (why == "") != (row.why == "") {
			t.Errorf("%d %s: %s, %q", row.uid, row.name, a, why)
		}
	}
}
