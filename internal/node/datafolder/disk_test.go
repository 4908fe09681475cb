package datafolder_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
)

// Mailboxes on a disk of their own take what that has room for, and the queue what the data folder's has.
func TestMailboxesOnAnotherDisk(t *testing.T) {
	const memory = "/dev/shm"
	other, err := os.MkdirTemp(memory, "mailboxes")
	if err != nil || diskspace.Same(other, t.TempDir()) {
		t.Skipf("this host has no second disk at %s: %v", memory, err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	a := &aging{t: t, m: foldertest.NewMachine(), cfg: foldertest.Load(t, t.TempDir(), "")}
	a.cfg.Maildir.Root = filepath.Join(other, "mail")
	a.w = a.m.World(settings.World{})
	a.Folder = foldertest.Open(t, a.cfg, a.w)
	a.alice = foldertest.Add(t, a.Folder, "alice@local.test")
	a.unbounded()
	if len(a.Disks) != 2 {
		t.Fatalf("%d disks", len(a.Disks))
	}
	for n, full := range []string{"the data folder's", "the mailboxes'"} {
		a.Disks.Reserve(0)
		a.Disks[n].Reserve(1 << 60)
		_, puts := a.append(100)
		if code := a.deliver("Subject: x\r\n\r\nHello.\r\n"); (code == 250) != (n == 0) || (puts == nil) != (n == 0) {
			t.Errorf("where %s disk is full a mailbox says %d, and to who reads it %v", full, code, puts)
		}
		if err := a.send(); errors.Is(err, store.ErrLow) != (n == 0) {
			t.Errorf("where %s disk is full the queue says %v", full, err)
		}
	}
}

// sick is a disk that fails while somebody says so.
type sick struct{ is atomic.Bool }

// MaybeError implements errorfs.Injector.
func (s *sick) MaybeError(op errorfs.Op) error {
	if s.is.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return syscall.EIO
	}
	return nil
}

// String implements errorfs.Injector.
func (s *sick) String() string { return "sick" }

// The store is on the disk that was given; what it ails of is told, and when it is well again that is.
func TestWhatTheStoreAilsOfIsTold(t *testing.T) {
	disk := &sick{}
	f := openWith(t, foldertest.Load(t, t.TempDir(), ""), settings.World{}.Complete(), func(o *datafolder.Options) { o.FS = errorfs.Wrap(vfs.NewMem(), disk) })
	for _, ails := range []bool{false, true, false} {
		disk.is.Store(ails)
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			_, err := f.Store.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: store.SpaceExpiry.Key([]byte("x")), Value: []byte("y")}}}, store.Durable)
			trouble, told := f.Trouble()
			if told == ails && (err != nil) == ails {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("it ails: %v; it says that of %+v: %v, and answers %v", ails, trouble, told, err)
			}
		}
	}
}

// purse is chance until it is empty.
type purse struct {
	io.Reader
	empty atomic.Bool
}

// errEmpty is that there is no chance.
var errEmpty = errors.New("no chance")

// Read implements io.Reader.
func (p *purse) Read(b []byte) (int, error) {
	if p.empty.Load() {
		return 0, errEmpty
	}
	return p.Reader.Read(b)
}

// What must not be guessed is made of the chance of the world, and where there is none nothing is made.
func TestSecretsAreMadeOfChance(t *testing.T) {
	w := settings.World{}.Complete()
	p := &purse{Reader: w.Rand}
	w.Rand = p
	f := foldertest.Open(t, foldertest.Load(t, t.TempDir(), ""), w)
	alice := foldertest.Address(t, "alice@local.test")
	for what, secret := range map[string]func() error{
		"an account": func() error {
			_, err := f.Accounts.Add(t.Context(), alice, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil)
			return err
		},
		"an authority": func() error {
			_, err := f.DeviceCA.Rollover(t.Context(), false, func(ca.Authority) [][]byte { return nil })
			return err
		},
		"a key that signs": func() error {
			_, err := f.Ring.Rotate(t.Context(), alice.Domain(), nil)
			return err
		},
	} {
		p.empty.Store(true)
		if err := secret(); !errors.Is(err, errEmpty) {
			t.Errorf("without chance %s is made: %v", what, err)
		}
		p.empty.Store(false)
		if err := secret(); err != nil {
			t.Errorf("with chance %s is not made: %v", what, err)
		}
	}
	p.empty.Store(true)
	cfg := foldertest.Load(t, t.TempDir(), "")
	if _, err := datafolder.Open(t.Context(), cfg, datafolder.Options{World: w, FS: vfs.Default, Version: "test"}); !errors.Is(err, errEmpty) {
		t.Errorf("without chance there is a folder: %v", err)
	}
	if made, err := os.ReadDir(cfg.KeysDir()); len(made) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without chance there are keys: %v, %v", made, err)
	}
}
