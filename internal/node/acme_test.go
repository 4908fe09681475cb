package node

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/listen"
	"sallyport/internal/operate"
)

// withACME is a configuration whose authority nobody can reach.
func withACME(more string) string {
	return strings.Replace(siteText, "[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n", "[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:0\"]\ndirectory = \"https://127.0.0.1:1/\"\n"+more, 1) +
		"[authentication]\ncheck = \"off\"\n"
}

// A server that began with [acme] takes in other names, and looks for them at once.
func TestNamesAreTakenIn(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.configure(withACME(""))
	n := s.start()
	failed := func() *operate.Obtained {
		eventually(t, "an attempt that fails", func() bool { return n.obtained().Fault != "" })
		return n.obtained()
	}
	first := failed()
	if first.Chain != "" || first.Authority != "https://127.0.0.1:1/" || !strings.Contains(first.Fault, "127.0.0.1:1") || first.Next.IsZero() {
		t.Errorf("%+v", first)
	}
	if got := fmt.Sprint(n.moreNames(t.Context())); got != "[]" {
		t.Errorf("names %s", got)
	}
	s.write(withACME("names = [\"smtp.local.test\"]\n"))
	answer, err := n.Reload(t.Context(), "test")
	must(t, err)
	if len(answer.Changed) != 1 || answer.Changed[0].Key != "acme.names" || len(answer.Restart) != 0 {
		t.Errorf("%+v", answer)
	}
	if got := n.moreNames(t.Context()); len(got) != 1 || got[0].ASCII() != "smtp.local.test" {
		t.Errorf("names %v", got)
	}
	eventually(t, "another attempt", func() bool { return n.obtained().Next.After(first.Next) })
}

// Where a certificate comes from changes at a start alone, and a reload says so.
func TestFilesInsteadOfACMENeedARestart(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.configure(withACME("names = [\"smtp.local.test\"]\n"))
	n := s.start()
	s.write(siteText)
	answer, err := n.Reload(t.Context(), "test")
	must(t, err)
	for _, key := range []string{"acme.agree", "acme.names", "tls.cert", "tls.key"} {
		if !slices.ContainsFunc(answer.Restart, func(c operate.ReloadChange) bool { return c.Key == key && c.Why != "" }) {
			t.Errorf("%s: not named: %+v", key, answer.Restart)
		}
	}
	if c := n.config(); !c.ACME.On() || c.TLS.Cert != "" || len(c.ACME.Names) != 1 || n.leaf() != nil {
		t.Errorf("%+v, %+v", c.ACME, c.TLS)
	}
}

// The socket of challenges may be handed over, as those of doors.
func TestTheSocketOfChallengesIsHandedOver(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	open := func() net.Listener {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		return ln
	}
	mx, ours, other := open(), open(), open()
	s.configure(strings.NewReplacer("submission = [\"127.0.0.1:0\"]\n", "", "submissions = [\"127.0.0.1:0\"]\n", "", "imap = [\"127.0.0.1:0\"]\n", "", "imaps = [\"127.0.0.1:0\"]\n", "", "pop3 = [\"127.0.0.1:0\"]\n", "", "pop3s = [\"127.0.0.1:0\"]\n", "", `mx = ["127.0.0.1:0"]`, fmt.Sprintf("mx = [%q]", mx.Addr()),
		`listen = ["127.0.0.1:0"]`, fmt.Sprintf("listen = [%q]", ours.Addr())).Replace(withACME("")))
	for _, c := range []struct {
		more []listen.Socket
		want string
	}{
		{nil, "acme.listen[0]: no socket was handed over for " + ours.Addr().String()},
		{[]listen.Socket{{Service: "acme", Listener: ours}, {Service: "acme", Listener: other}}, "a socket was handed over for " + other.Addr().String() + ", which is not named here"},
	} {
		o := s.options()
		o.Sockets = append([]listen.Socket{{Service: "mx", Listener: mx}}, c.more...)
		if _, err := Open(t.Context(), s.cfg, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	o := s.options()
	o.Sockets = []listen.Socket{{Service: "mx", Listener: mx}, {Service: "acme", Listener: ours}}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.serve(n)
	if at := n.listeners.Of(serviceACME); len(at) != 1 || at[0] != ours {
		t.Errorf("%v", at)
	}
}
