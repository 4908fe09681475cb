package node_test

import (
	"bufio"
	"net"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"sallyport/test/site"
)

// While more is alive than the server is to stay within, whoever comes is told to come again; the server
// goes on, and serves him when there is memory again.
func TestWithoutMemoryWhoComesIsToldToComeAgain(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	s := site.New(t, nil)
	n := s.Start()
	s.Populate(n.Node)
	greeting := func(at string) string {
		c, err := net.Dial("tcp", at)
		site.Must(t, err)
		defer c.Close()
		site.Must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		line, err := bufio.NewReader(c).ReadString('\n')
		site.Must(t, err)
		return line
	}
	within := func(size string) {
		s.Write(strings.Replace(site.Text, "[limits]\n", "[limits]\nmemory = \""+size+"\"\n", 1) + "\n[authentication]\ncheck = \"off\"\n[hijack]\nmode = \"off\"\n")
		s.Reload(n)
	}
	open := s.SignIn(n, true, "alice@local.test")
	within("1MiB")
	site.Eventually(t, "a stranger is turned away", func() bool { return strings.HasPrefix(greeting(n.Addrs().MX[0]), "421 ") })
	site.Eventually(t, "one of ours is, too", func() bool { return strings.HasPrefix(greeting(n.Addrs().Submission[0]), "421 ") })
	open.OK("452", "MAIL FROM:<alice@local.test>")
	within("8TiB")
	site.Eventually(t, "he is served again", func() bool { return strings.HasPrefix(greeting(n.Addrs().MX[0]), "220 ") })
	open.OK("250", "MAIL FROM:<alice@local.test>")
	stranger := site.Connect(t, n.Addrs().MX[0])
	stranger.OK("250", "EHLO remote.test")
	if r := stranger.Send("a@remote.test", site.Message("one", "a@remote.test", 300), "bob@local.test"); !strings.HasPrefix(r, "250") {
		t.Error(r)
	}
}
