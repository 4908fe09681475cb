package partner

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// spoken is what Dovecot 2.3.19 says of a client behind TLS.
var spoken = []string{"PROTO=TCP", "SERVICE=imap", "TCPREMOTEIP=192.0.2.7", "AUTH_MECH=PLAIN", "AUTH_SECURED=TLS", "AUTH_CERT="}

// with replaces variables; one without a value goes.
func with(env []string, changes ...string) []string {
	env = slices.Clone(env)
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		env = slices.DeleteFunc(env, func(line string) bool { return strings.HasPrefix(line, name+"=") })
		if value != "" {
			env = append(env, c)
		}
	}
	return env
}

// What a partner leaves out is not taken for granted.
func TestParseLogin(t *testing.T) {
	base := Login{User: "alice@local.test", Password: "pass word", Remote: netip.MustParseAddr("192.0.2.7"), Service: "imap", Mechanism: "PLAIN", Secured: true}
	edit := func(f func(*Login)) Login {
		l := base
		f(&l)
		return l
	}
	const said = "alice@local.test\x00pass word\x00\x00"
	for _, c := range []struct {
		said string
		env  []string
		want Login
		err  error
	}{
		{said, spoken, base, nil},
		{"alice@local.test\x00pass word\x00Y123\x00", spoken, base, nil},
		{said, with(spoken, "AUTH_SECURED=secured"), base, nil},
		{said, with(spoken, "AUTH_SECURED="), edit(func(l *Login) { l.Secured = false }), nil},
		{said, with(spoken, "AUTH_SECURED=no"), edit(func(l *Login) { l.Secured = false }), nil},
		{said, with(spoken, "TCPREMOTEIP="), edit(func(l *Login) { l.Remote = netip.Addr{} }), nil},
		{said, with(spoken, "TCPREMOTEIP=here"), edit(func(l *Login) { l.Remote = netip.Addr{} }), nil},
		{said, with(spoken, "TCPREMOTEIP=2001:db8::1"), edit(func(l *Login) { l.Remote = netip.MustParseAddr("2001:db8::1") }), nil},
		{said, with(spoken, "AUTH_CERT=valid", "AUTH_MECH=external"), edit(func(l *Login) { l.Certificate, l.Mechanism = true, "EXTERNAL" }), nil},
		{said, with(spoken, "AUTH_CERT=invalid"), base, nil},
		{said, nil, Login{User: base.User, Password: base.Password}, nil},
		{"a\x00\x00\x00", spoken, edit(func(l *Login) { l.User, l.Password = "a", "" }), nil},
		{said, with(spoken, "AUTHORIZED=1"), Login{}, ErrNoSignIn},
		{said, append(slices.Clone(spoken), "AUTHORIZED="), Login{}, ErrNoSignIn},
		{said, with(spoken, "CREDENTIALS_LOOKUP=1"), Login{}, ErrNoSignIn},
		{said, with(spoken, "MASTER_USER=root@local.test"), Login{}, ErrNoSignIn},
		{"", spoken, Login{}, ErrProtocol},
		{"alice@local.test", spoken, Login{}, ErrProtocol},
		{"alice@local.test\x00", spoken, Login{}, ErrProtocol},
		{"alice@local.test\x00pass word", spoken, Login{}, ErrProtocol},
		{"alice@local.test\x00pass word\x00", spoken, Login{}, ErrProtocol},
		{"a\x00" + strings.Repeat("x", MaxSaid) + "\x00\x00", spoken, Login{}, ErrProtocol},
	} {
		got, err := ParseLogin([]byte(c.said), c.env)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.40q %v: %+v, %v; want %+v, %v", c.said, c.env, got, err, c.want, c.err)
		}
	}
}

// Whoever runs next is told the account, and nothing that was there before passes for it.
func TestReplyEnviron(t *testing.T) {
	got := ReplyEnviron([]string{"USER=mallory", "ORIG_UID=106", "HOME=/root", "EXTRA=userdb_uid", "userdb_uid=0", "AUTHORIZED=2", "PATH=/bin"}, "alice@local.test")
	if want := []string{"ORIG_UID=106", "PATH=/bin", "USER=alice@local.test"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Nothing that a partner says makes the reader stop, or adds something that was not said.
func FuzzParseLogin(f *testing.F) {
	f.Add([]byte("alice@local.test\x00secret\x00\x00"), "SERVICE=imap\nTCPREMOTEIP=192.0.2.7\nAUTH_SECURED=TLS")
	f.Add([]byte("\x00\x00\x00"), "AUTHORIZED=1")
	f.Fuzz(func(t *testing.T, said []byte, env string) {
		l, err := ParseLogin(said, strings.Split(env, "\n"))
		if err != nil && l != (Login{}) {
			t.Errorf("%v, and yet %+v", err, l)
		}
		if err == nil && !strings.HasPrefix(string(said), l.User+"\x00"+l.Password+"\x00") {
			t.Errorf("%q is read as %+v", said, l)
		}
	})
}
