package node_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/listen"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/site"
)

// withACME is a configuration whose authority nobody can reach.
func withACME(more string) string {
	return strings.Replace(site.Text, "[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n",
		"[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:0\"]\ndirectory = \"https://127.0.0.1:1/\"\n"+more,
		1) +
		"[authentication]\ncheck = \"off\"\n"
}

// A server that began with [acme] takes in other names, and looks for them at once.
func TestNamesAreTakenIn(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	s.Configure(withACME(""))
	n := s.Start()
	obtained := func() *operate.Obtained {
		status, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{})
		site.Must(t, err)
		return status.Health.Obtained
	}
	failed := func() *operate.Obtained {
		site.Eventually(t, "an attempt that fails", func() bool { return obtained().Fault != "" })
		return obtained()
	}
	first := failed()
	if first.Chain != "" || first.Authority != "https://127.0.0.1:1/" || !strings.Contains(first.Fault, "127.0.0.1:1") || first.Next.IsZero() {
		t.Errorf("%+v", first)
	}
	if got := fmt.Sprint(n.Names(t.Context())); got != "[]" {
		t.Errorf("names %s", got)
	}
	s.Write(withACME("names = [\"smtp.local.test\"]\n"))
	answer, err := n.Reload(t.Context(), "test")
	site.Must(t, err)
	if len(answer.Changed) != 1 || answer.Changed[0].Key != "acme.names" || len(answer.Restart) != 0 {
		t.Errorf("%+v", answer)
	}
	if got := n.Names(t.Context()); len(got) != 1 || got[0].ASCII() != "smtp.local.test" {
		t.Errorf("names %v", got)
	}
	site.Eventually(t, "another attempt", func() bool { return obtained().Next.After(first.Next) })
}

// Where a certificate comes from changes at a start alone, and a reload says so.
func TestFilesInsteadOfACMENeedARestart(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	s.Configure(withACME("names = [\"smtp.local.test\"]\n"))
	n := s.Start()
	s.Write(site.Text)
	answer, err := n.Reload(t.Context(), "test")
	site.Must(t, err)
	for _, key := range []string{"acme.agree", "acme.names", "tls.cert", "tls.key"} {
		if !slices.ContainsFunc(answer.Restart, func(c operate.ReloadChange) bool { return c.Key == key && c.Why != "" }) {
			t.Errorf("%s: not named: %+v", key, answer.Restart)
		}
	}
	if c := n.InForce(); !c.ACME.On() || c.TLS.Cert != "" || len(c.ACME.Names) != 1 || n.Leaf() != nil {
		t.Errorf("%+v, %+v", c.ACME, c.TLS)
	}
}

// The socket of challenges may be handed over, as those of doors.
func TestTheSocketOfChallengesIsHandedOver(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	open := func() net.Listener {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		site.Must(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		return ln
	}
	mx, ours, other := open(), open(), open()
	s.Configure(strings.NewReplacer("submission = [\"127.0.0.1:0\"]\n", "", "submissions = [\"127.0.0.1:0\"]\n", "", "imap = [\"127.0.0.1:0\"]\n", "", "imaps = [\"127.0.0.1:0\"]\n", "", "pop3 = [\"127.0.0.1:0\"]\n", "", "pop3s = [\"127.0.0.1:0\"]\n", "", `mx = ["127.0.0.1:0"]`, fmt.Sprintf("mx = [%q]", mx.Addr()),
		`listen = ["127.0.0.1:0"]`, fmt.Sprintf("listen = [%q]", ours.Addr())).Replace(withACME("")))
	for _, c := range []struct {
		more []listen.Socket
		want string
	}{
		{nil, "acme.listen[0]: no socket was handed over for " + ours.Addr().String()},
		{[]listen.Socket{{Service: "acme", Listener: ours}, {Service: "acme", Listener: other}}, "a socket was handed over for " + other.Addr().String() + ", which is not named here"},
	} {
		o := s.Options()
		o.Sockets = append([]listen.Socket{{Service: "mx", Listener: mx}}, c.more...)
		if _, err := node.Open(t.Context(), s.Config, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	o := s.Options()
	o.Sockets = []listen.Socket{{Service: "mx", Listener: mx}, {Service: "acme", Listener: ours}}
	n, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	s.Serve(n)
	if at := n.Listeners("acme"); len(at) != 1 || at[0] != ours {
		t.Errorf("%v", at)
	}
}
