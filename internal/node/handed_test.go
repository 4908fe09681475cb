package node_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/listen"
	"sallyport/internal/node"
	"sallyport/test/site"
)

// A door for which systemd hands over no socket is told by its unit, which is one that we ship,
// and how it is enabled; one whose unit has other addresses, by ListenStream=.
func TestTheUnitOfAMissingSocketIsNamed(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	text, all := withACME(""), []listen.Socket{}
	open := func() net.Listener {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		site.Must(t, err)
		t.Cleanup(func() { _ = ln.Close() })
		return ln
	}
	services := []string{"mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "acme"}
	for _, service := range services {
		key := service + " = "
		if service == "acme" {
			key = "listen = "
		}
		ln := open()
		all = append(all, listen.Socket{Service: service, Listener: ln})
		if !strings.Contains(text, "\n"+key+`["127.0.0.1:0"]`) {
			t.Fatalf("the site has no %s", key)
		}
		text = strings.Replace(text, "\n"+key+`["127.0.0.1:0"]`, fmt.Sprintf("\n%s[%q]", key, ln.Addr()), 1)
	}
	s.Configure(text)
	refused := func(sockets []listen.Socket) string {
		t.Helper()
		o := s.Options()
		o.Sockets = sockets
		_, err := node.Open(t.Context(), s.Config, o)
		if err == nil {
			t.Fatal("it opens")
		}
		return err.Error()
	}
	for i, service := range services {
		unit := "sallyport-" + service + ".socket"
		if _, err := os.Stat("../../packaging/systemd/" + unit); err != nil {
			t.Error(err)
		}
		rest := slices.Delete(slices.Clone(all), i, i+1)
		if got := refused(rest); !strings.Contains(got, "systemctl enable --now "+unit+", then start the server") || strings.Contains(got, "ListenStream=") {
			t.Errorf("%s is missing: %s", service, got)
		}
		if got := refused(append(rest, listen.Socket{Service: service, Listener: open()})); !strings.Contains(got, "change ListenStream= in "+unit) || strings.Contains(got, "enable --now") {
			t.Errorf("%s is elsewhere: %s", service, got)
		}
	}
	// A server that runs is stopped first: systemd adds no socket to it.
	last := len(all) - 2
	without := strings.Replace(text, fmt.Sprintf("\npop3s = [%q]", all[last].Listener.Addr()), "", 1)
	s.Configure(without)
	o := s.Options()
	o.Sockets = slices.Delete(slices.Clone(all), last, last+1)
	n, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	s.Serve(n)
	s.Write(text)
	r, err := n.Reload(t.Context(), "test")
	if err != nil || len(r.Faults) != 1 ||
		!strings.Contains(r.Faults[0].Hint, "systemctl stop sallyport.service, systemctl enable --now sallyport-pop3s.socket, systemctl start sallyport.service") {
		t.Errorf("%v, %+v", err, r.Faults)
	}
}
