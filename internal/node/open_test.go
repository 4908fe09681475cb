package node_test

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
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/gate"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
	"sallyport/test/port"
	"sallyport/test/site"
)

// fails demands that a node does not open, with these words in its error.
func fails(t *testing.T, s *site.Site, words ...string) error {
	t.Helper()
	n, err := node.Open(t.Context(), s.Config, s.Options())
	if err == nil {
		t.Fatalf("it opened: %v", n.Close())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
	return err
}

func keyFiles(s *site.Site) []string {
	return []string{filepath.Join(s.Config.KeysDir(), spool.KeyFile), filepath.Join(s.Config.KeysDir(), trace.KeyFile)}
}

func TestKeysAreMadeOnceAndGuarded(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, nil)
	n := s.Open()
	s.Populate(n)
	site.Must(t, n.Close())
	for _, path := range keyFiles(s) {
		made, err := os.ReadFile(path)
		site.Must(t, err)
		info, err := os.Stat(path)
		site.Must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		site.Must(t, s.Open().Close())
		if again, err := os.ReadFile(path); err != nil || string(again) != string(made) {
			t.Errorf("%s was made anew: %v", path, err)
		}
		site.Must(t, os.Chmod(path, 0o640))
		fails(t, s, path, "mode 0640", "chmod 600")
		site.Must(t, os.Chmod(path, 0o600))
		for _, damaged := range [][]byte{nil, made[:len(made)/2], make([]byte, gate.KeyOctets), make([]byte, keyfile.MaxOctets+1)} {
			site.Must(t, os.WriteFile(path, damaged, 0o600))
			fails(t, s, path, "backup")
		}
		site.Must(t, os.Remove(path))
		fails(t, s, path, "missing", "backup")
		site.Must(t, os.Mkdir(path, 0o700))
		fails(t, s, path)
		site.Must(t, os.Remove(path))
		site.Must(t, os.WriteFile(path, made, 0o600))
	}
	site.Must(t, s.Open().Close())
}

// What a backup that was killed left behind goes with the next start.
func TestAKilledBackupLeavesNothing(t *testing.T) {
	s := site.New(t, nil)
	site.Must(t, s.Open().Close())
	left := filepath.Join(s.Config.Data, "backup.tmp")
	site.Must(t, os.MkdirAll(filepath.Join(left, "store"), 0o700))
	site.Must(t, os.WriteFile(filepath.Join(left, "store", "000001.sst"), []byte("x"), 0o600))
	site.Must(t, s.Open().Close())
	if _, err := os.Stat(left); err == nil {
		t.Error("it is there still")
	}
}

// Keys that are lost before anything depends on them are made again.
func TestKeysOfAnEmptyStoreAreMadeAgain(t *testing.T) {
	s := site.New(t, nil)
	site.Must(t, s.Open().Close())
	for _, path := range keyFiles(s) {
		site.Must(t, os.Remove(path))
	}
	site.Must(t, s.Open().Close())
}

func TestALogKeepsItsName(t *testing.T) {
	s := site.New(t, nil)
	site.Must(t, s.Open().Close())
	s.Configure(strings.Replace(site.Text, "[trace]", "[trace]\norigin = \"other.test/log\"", 1))
	fails(t, s, "sallyport.toml:38:10", "trace.origin", "other.test/log", "keeps its name")
}

// otherProcess names the configuration that a second process of this test opens.
const otherProcess = "SALLYPORT_TEST_OPEN"

func TestOneProcessAFolder(t *testing.T) {
	if path := os.Getenv(otherProcess); path != "" {
		openElsewhere(path)
		return
	}
	site.NoLeaks(t)
	s := site.New(t, nil)
	n := s.Start()
	before, err := os.ReadFile(keyFiles(s)[0])
	site.Must(t, err)
	fails(t, s, s.Config.StoreDir(), "in use")
	cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcessAFolder$", "-test.v")
	cmd.Env = append(os.Environ(), otherProcess+"="+s.Config.File)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused with EAGAIN: true") || !strings.Contains(string(out), s.Config.StoreDir()+": the folder is in use") {
		t.Errorf("%v\n%s", err, out)
	}
	if after, err := os.ReadFile(keyFiles(s)[0]); err != nil || string(after) != string(before) {
		t.Error("the second process changed the keys of the first")
	}
	site.Connect(t, n.Addrs().MX[0]).OK("250", "EHLO client.test")
}

// openElsewhere is what the second process does.
func openElsewhere(path string) {
	cfg, err := config.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := node.Open(context.Background(), cfg, node.Options{})
	if err == nil {
		fmt.Println("it opened", n.Close())
		return
	}
	fmt.Println("refused with EAGAIN:", errors.Is(err, syscall.EAGAIN), err)
}

func TestASocketOfADeadServerIsReplaced(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, nil)
	n := s.Open()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.Config.Socket(), Net: "unix"})
	site.Must(t, err)
	ln.SetUnlinkOnClose(false)
	site.Must(t, ln.Close())
	r := s.Serve(n)
	client, err := operate.Dial(t.Context(), s.Config.Socket())
	site.Must(t, err)
	status, err := client.Status(t.Context())
	client.Close()
	if err != nil || status.Server == nil || !slices.Equal(status.Server.Listen["mx"], r.Addrs().MX) {
		t.Errorf("%+v, %v", status, err)
	}
	r.Stopped()
	if _, err := os.Lstat(s.Config.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket outlives the server: %v", err)
	}
	site.Must(t, os.WriteFile(s.Config.Socket(), []byte("precious"), 0o600))
	other := s.Open()
	if err := other.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), s.Config.Socket()) {
		t.Errorf("Listen: %v", err)
	}
	site.Must(t, other.Close())
	if b, err := os.ReadFile(s.Config.Socket()); err != nil || string(b) != "precious" {
		t.Errorf("a file of somebody was overwritten: %q, %v", b, err)
	}
}

// An address that is taken is told with its line in the file, and nothing stays
// bound.
func TestAnAddressIsTaken(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	site.Must(t, err)
	defer taken.Close()
	free := port.Loopback(t)
	text := strings.Replace(site.Text, `mx = ["127.0.0.1:0"]`, fmt.Sprintf("mx = [%q]", free), 1)
	s.Configure(strings.Replace(text, `submissions = ["127.0.0.1:0"]`, fmt.Sprintf("submissions = [%q]", taken.Addr()), 1))
	n := s.Open()
	err = n.Listen(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "sallyport.toml:7:") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("Listen: %v", err)
	}
	again, err := net.Listen("tcp", free)
	if err != nil {
		t.Errorf("a door stays bound: %v", err)
	} else {
		site.Must(t, again.Close())
	}
	site.Must(t, n.Close())
}

func TestFilesThatAreGone(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, nil, "[route.\"*\"]", `to = "smtps://smart.test"`, `ca = "tls/ca.pem"`)
	site.Must(t, os.Remove(filepath.Join(s.Dir, "tls", "ca.pem")))
	fails(t, s, "sallyport.toml:41:6", "ca.pem")
	site.Must(t, os.Remove(filepath.Join(s.Dir, "tls", "server.pem")))
	fails(t, s, "sallyport.toml:14:8", "server.pem")
	s.Config.TLS = config.TLS{}
	s.Config.Data = filepath.Join(s.Dir, "sallyport.toml")
	fails(t, s, s.Config.Data, "no folder")
}
