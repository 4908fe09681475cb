package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	reserve "sallyport/test/port"
)

// site is one configuration of Postfix, with what it does.
type site struct {
	t      *testing.T
	name   string
	dir    string // of this test
	root   string // of the host that is moved
	sink   *sink
	stop   func() // ends the server that runs
	smtp   string // port of the sink
	lmtp   string
	cases  []expectation
	local  []string // domains of local users, the one where they have their address first
	differ []string // addresses with which Postfix does otherwise, as the import tells
}

// expectation is an address and where its mail lies.
type expectation struct {
	address string
	refused bool
	places  []string
}

// heavy skips what runs other servers, or a guide from its beginning to its end: make migrate.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_MIGRATE") == "" {
		t.Skip("make migrate runs it")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open copies a site of testdata.
func open(t *testing.T, name string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "migrate") // not t.TempDir: Postfix's own user has to get there
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	s := &site{t: t, name: name, dir: dir, root: filepath.Join(dir, "host"), sink: &sink{got: map[string][]string{}}}
	s.smtp = port(s.sink.listen(t, "tcp", "127.0.0.1:0"))
	s.lmtp = port(s.sink.listen(t, "tcp", "127.0.0.1:0"))
	socket := filepath.Join(dir, "lmtp")
	s.sink.listen(t, "unix", socket)
	must(t, os.Chmod(socket, 0o777))
	put := strings.NewReplacer("@SMTP@", s.smtp, "@LMTP@", s.lmtp, "@SOCKET@", socket, "@DIR@", dir)
	from := filepath.Join("testdata", name)
	must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(s.root, rel)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(put.Replace(string(text))), 0o644))
	}))
	s.certificate()
	for _, l := range s.lines("expect") {
		if rest, ok := strings.CutPrefix(l, "# local: "); ok {
			s.local = strings.Fields(rest)
		}
		if address, places, expects := strings.Cut(l, "\t"); !strings.HasPrefix(l, "#") && expects {
			e := expectation{address: address, refused: places == "refused"}
			if !e.refused {
				e.places = strings.Fields(places)
			}
			s.cases = append(s.cases, e)
		}
	}
	for _, l := range s.lines("postfix-differs") {
		if !strings.HasPrefix(l, "#") {
			s.differ = append(s.differ, l)
		}
	}
	return s
}

// lines reads a file of the site that need not be there.
func (s *site) lines(name string) (all []string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(s.t, err)
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// freePort returns a port that nobody has, and that is kept for the test.
func freePort(t *testing.T) string {
	t.Helper()
	_, number, _ := net.SplitHostPort(reserve.Loopback(t))
	return number
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("it never came to be: %s", what)
		}
	}
}

// try sends one message to one address, and reports whether the recipient was taken.
func try(t *testing.T, at, address, token string) (taken bool, answer string) {
	t.Helper()
	c, err := smtp.Dial(at)
	must(t, err)
	defer c.Close()
	must(t, c.Hello("client.far.example"))
	must(t, c.Mail("stranger@far.example"))
	if err := c.Rcpt(address); err != nil {
		var refused *textproto.Error
		if !errors.As(err, &refused) || refused.Code < 500 {
			t.Errorf("%s: %v, which is no refusal", address, err)
		}
		return false, err.Error()
	}
	d, err := c.Data()
	must(t, err)
	_, err = fmt.Fprintf(d, "From: stranger@far.example\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@migrate>\r\nSubject: hello\r\n\r\nhello\r\n", address, time.Now().Format(time.RFC1123Z), token)
	must(t, err)
	must(t, d.Close())
	must(t, c.Quit())
	return true, ""
}

// compare tries every address at a server, and waits until all its mail is where it should
// be. found says where a message lies.
func (s *site) compare(at string, prefix string, skip []string, found func(token string) []string) {
	s.t.Helper()
	type sent struct {
		expectation
		token string
	}
	var all []sent
	for i, e := range s.cases {
		if slices.Contains(skip, e.address) {
			continue
		}
		token := fmt.Sprintf("%s%d", prefix, i)
		taken, answer := try(s.t, at, e.address, token)
		if taken == e.refused {
			s.t.Errorf("%s: taken %v %s, and is to be %v", e.address, taken, answer, e.places)
			continue
		}
		if taken {
			all = append(all, sent{e, token})
		}
	}
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var wrong []string
		for _, m := range all {
			got, want := found(m.token), slices.Clone(m.places)
			slices.Sort(got)
			slices.Sort(want)
			if got = slices.Compact(got); !slices.Equal(got, want) {
				wrong = append(wrong, fmt.Sprintf("%s: its mail is at %v, and is to be at %v", m.address, got, want))
			}
		}
		if len(wrong) == 0 || time.Now().After(until) {
			for _, w := range wrong {
				s.t.Error(w)
			}
			return
		}
	}
}

// outside marks what left for others.
func outside(places []string) []string {
	for i, p := range places {
		if strings.HasSuffix(p, "@far.example") {
			places[i] = "out:" + p
		}
	}
	return places
}
