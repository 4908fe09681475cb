package pop3

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"sallyport/internal/kit/fsys"
)

// torn is a disk that does not give files whose names have some part.
type torn struct {
	fsys.FS
	part atomic.Pointer[string]
}

// Open implements fsys.FS.
func (f *torn) Open(name string) (fsys.Source, error) {
	if part := f.part.Load(); part != nil && strings.Contains(name, *part) {
		return nil, syscall.EIO
	}
	return f.FS.Open(name)
}

// A message that the disk does not give keeps nobody from the others, whose names stay what they are.
func TestAMessageThatCannotBeRead(t *testing.T) {
	s := newSite(t, true, nil)
	for _, name := range []string{"1700000001", "1700000002", "1700000003"} {
		check(t, os.WriteFile(filepath.Join(s.dir, "alice", "new", name+".host"), []byte("Subject: "+name+"\n\nx\n"), 0o600))
	}
	if n := s.left(t); n != 3 {
		t.Fatal(n)
	}
	part := "1700000002."
	s.disk.part.Store(&part)
	c := s.signedIn(t)
	c.talk("STAT\r\n", "+OK 2 52\r\n")
	c.talk("RETR 2\r\n", "+OK 26 octets\r\nSubject: 1700000003\r\n\r\nx\r\n.\r\n")
	c.talk("UIDL 2\r\n", fmt.Sprintf("+OK 2 %08X%08X\r\n", 3, s.box.State().UIDValidity))
	s.disk.part.Store(nil)
	c.talk("DELE 2\r\nQUIT\r\n", "+OK marked\r\n+OK goodbye\r\n")
	if n := s.left(t); n != 2 {
		t.Errorf("%d messages are left", n)
	}
	c = s.signedIn(t)
	c.talk("STAT\r\n", "+OK 2 52\r\n")
}
