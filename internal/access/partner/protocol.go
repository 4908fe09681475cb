package partner

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// The exit codes of a checkpassword program. Another than these says no as well.
const (
	ExitRefused = 1   // who asks is not let in
	ExitMisuse  = 2   // the program was called in a wrong way
	ExitLater   = 111 // nothing was decided
)

// MaxSaid is the most octets that the protocol says on its descriptor. A partner that says more is
// not listened to.
const MaxSaid = 8 << 10

// ErrProtocol says that what came is not the protocol.
var ErrProtocol = errors.New("this is not the protocol of checkpassword: user, password and time, each with a NUL behind it")

// ErrNoSignIn says that the partner wants something else than to have somebody signed in.
var ErrNoSignIn = errors.New("only sign-ins are judged: no user is looked up here, and nobody signs in as another")

// ParseLogin reads what a partner says: the text of the descriptor, and the environment as
// os.Environ has it. Without a variable that says so nothing is taken for granted.
func ParseLogin(said []byte, environ []string) (Login, error) {
	user, rest, ok := bytes.Cut(said, []byte{0})
	password, rest, more := bytes.Cut(rest, []byte{0})
	if !ok || !more || !bytes.Contains(rest, []byte{0}) || len(said) > MaxSaid {
		return Login{}, ErrProtocol
	}
	env := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	// Dovecot sets these to look somebody up without a password, or for a master user who reads
	// the mail of others.
	for _, name := range []string{"AUTHORIZED", "CREDENTIALS_LOOKUP", "MASTER_USER"} {
		if _, set := env[name]; set {
			return Login{}, ErrNoSignIn
		}
	}
	// Dovecot 2.3 says "TLS", or "secured" of what comes from its own host or a trusted proxy.
	secured := map[string]bool{"TLS": true, "secured": true}
	l := Login{
		User: string(user), Password: string(password), Service: env["SERVICE"], Mechanism: strings.ToUpper(env["AUTH_MECH"]),
		Secured: secured[env["AUTH_SECURED"]], Certificate: env["AUTH_CERT"] == "valid",
	}
	// An address that is none is as good as a missing one: it is refused.
	l.Remote, _ = netip.ParseAddr(env["TCPREMOTEIP"])
	return l, nil
}

// ReplyEnviron is the environment of the program that tells the partner who signed in: environ
// without what might say more of them, and the account's address.
func ReplyEnviron(environ []string, account string) []string {
	ours := []string{"USER", "HOME", "SHELL", "EXTRA", "AUTHORIZED"}
	var out []string
	for _, line := range environ {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains(ours, name) && !strings.HasPrefix(name, "userdb_") {
			out = append(out, line)
		}
	}
	return append(out, "USER="+account)
}
