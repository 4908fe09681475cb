package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/gate"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/operate"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
	"sallyport/test/port"
)

// fails demands that a node does not open, with these words in its error.
func (s *site) fails(words ...string) error {
	s.t.Helper()
	n, err := Open(s.t.Context(), s.cfg, s.options())
	if err == nil {
		s.t.Fatalf("it opened: %v", n.Close())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.t.Errorf("the error %q does not say %q", err, w)
		}
	}
	return err
}

func keyFiles(s *site) []string {
	return []string{filepath.Join(s.cfg.KeysDir(), spool.KeyFile), filepath.Join(s.cfg.KeysDir(), trace.KeyFile)}
}

func TestKeysAreMadeOnceAndGuarded(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil)
	n := s.open()
	s.populate(n)
	must(t, n.Close())
	for _, path := range keyFiles(s) {
		made, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		must(t, s.open().Close())
		if again, err := os.ReadFile(path); err != nil || string(again) != string(made) {
			t.Errorf("%s was made anew: %v", path, err)
		}
		must(t, os.Chmod(path, 0o640))
		s.fails(path, "mode 0640", "chmod 600")
		must(t, os.Chmod(path, 0o600))
		for _, damaged := range [][]byte{nil, made[:len(made)/2], make([]byte, gate.KeyOctets), make([]byte, keyfile.MaxOctets+1)} {
			must(t, os.WriteFile(path, damaged, 0o600))
			s.fails(path, "backup")
		}
		must(t, os.Remove(path))
		s.fails(path, "missing", "backup")
		must(t, os.Mkdir(path, 0o700))
		s.fails(path)
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, made, 0o600))
	}
	must(t, s.open().Close())
}

// Keys that are lost before anything depends on them are made again.
func TestKeysOfAnEmptyStoreAreMadeAgain(t *testing.T) {
	s := newSite(t, nil)
	must(t, s.open().Close())
	for _, path := range keyFiles(s) {
		must(t, os.Remove(path))
	}
	must(t, s.open().Close())
}

func TestALogKeepsItsName(t *testing.T) {
	s := newSite(t, nil)
	must(t, s.open().Close())
	s.configure(strings.Replace(siteText, "[trace]", "[trace]\norigin = \"other.test/log\"", 1))
	s.fails("sallyport.toml:38:10", "trace.origin", "other.test/log", "keeps its name")
}

// otherProcess names the configuration that a second process of this test opens.
const otherProcess = "SALLYPORT_TEST_OPEN"

func TestOneProcessAFolder(t *testing.T) {
	if path := os.Getenv(otherProcess); path != "" {
		openElsewhere(path)
		return
	}
	noLeaks(t)
	s := newSite(t, nil)
	n := s.start()
	before, err := os.ReadFile(keyFiles(s)[0])
	must(t, err)
	s.fails(s.cfg.StoreDir(), "in use")
	cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcessAFolder$", "-test.v")
	cmd.Env = append(os.Environ(), otherProcess+"="+s.cfg.File)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused with EAGAIN: true") || !strings.Contains(string(out), s.cfg.StoreDir()+": the folder is in use") {
		t.Errorf("%v\n%s", err, out)
	}
	if after, err := os.ReadFile(keyFiles(s)[0]); err != nil || string(after) != string(before) {
		t.Error("the second process changed the keys of the first")
	}
	connect(t, n.Addrs().MX[0]).ok("250", "EHLO client.test")
}

// openElsewhere is what the second process does.
func openElsewhere(path string) {
	cfg, err := config.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := Open(context.Background(), cfg, Options{})
	if err == nil {
		fmt.Println("it opened", n.Close())
		return
	}
	fmt.Println("refused with EAGAIN:", errors.Is(err, syscall.EAGAIN), err)
}

func TestASocketOfADeadServerIsReplaced(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil)
	n := s.open()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.cfg.Socket(), Net: "unix"})
	must(t, err)
	ln.SetUnlinkOnClose(false)
	must(t, ln.Close())
	r := s.serve(n)
	client, err := operate.Dial(t.Context(), s.cfg.Socket())
	must(t, err)
	status, err := client.Status(t.Context())
	client.Close()
	if err != nil || status.Server == nil || !slices.Equal(status.Server.Listen["mx"], r.Addrs().MX) {
		t.Errorf("%+v, %v", status, err)
	}
	r.stopped()
	if _, err := os.Lstat(s.cfg.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket outlives the server: %v", err)
	}
	must(t, os.WriteFile(s.cfg.Socket(), []byte("precious"), 0o600))
	other := s.open()
	if err := other.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), s.cfg.Socket()) {
		t.Errorf("Listen: %v", err)
	}
	must(t, other.Close())
	if b, err := os.ReadFile(s.cfg.Socket()); err != nil || string(b) != "precious" {
		t.Errorf("a file of somebody was overwritten: %q, %v", b, err)
	}
}

// An address that is taken is told with its line in the file, and nothing stays
// bound.
func TestAnAddressIsTaken(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	free := port.Loopback(t)
	text := strings.Replace(siteText, `mx = ["127.0.0.1:0"]`, fmt.Sprintf("mx = [%q]", free), 1)
	s.configure(strings.Replace(text, `submissions = ["127.0.0.1:0"]`, fmt.Sprintf("submissions = [%q]", taken.Addr()), 1))
	n := s.open()
	err = n.Listen(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "sallyport.toml:7:") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("Listen: %v", err)
	}
	again, err := net.Listen("tcp", free)
	if err != nil {
		t.Errorf("a door stays bound: %v", err)
	} else {
		must(t, again.Close())
	}
	must(t, n.Close())
}

func TestFilesThatAreGone(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, "[route.\"*\"]", `to = "smtps://smart.test"`, `ca = "tls/ca.pem"`)
	must(t, os.Remove(filepath.Join(s.dir, "tls", "ca.pem")))
	s.fails("sallyport.toml:41:6", "ca.pem")
	must(t, os.Remove(filepath.Join(s.dir, "tls", "server.pem")))
	s.fails("sallyport.toml:14:8", "server.pem")
	s.cfg.TLS = config.TLS{}
	s.cfg.Data = filepath.Join(s.dir, "sallyport.toml")
	s.fails(s.cfg.Data, "no folder")
}

// Accounts that are added side by side all receive mail when they were added.
func TestAccountsAddedTogether(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	n := s.start()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				name := fmt.Sprintf("user-%d-%d@local.test", w, i)
				if _, err := n.Operator().AccountAdd(t.Context(), root, operate.AccountAdd{Address: name, Password: password, Role: "person"}); err != nil {
					t.Error(err)
				}
				c := connect(t, n.Addrs().MX[0])
				c.ok("250", "EHLO client.test")
				c.ok("250", "MAIL FROM:<eve@elsewhere.test>")
				c.ok("250", "RCPT TO:<%s>", name)
				c.c.Close()
			}
		})
	}
	wg.Wait()
}
