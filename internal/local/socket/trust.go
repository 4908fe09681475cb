package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrUntrusted means that something listens at the socket, and that nothing shows that
// it is the server. What the caller has to say, mail or a password, is not said.
var ErrUntrusted = errors.New("what listens there may not be the server")

// maxLinks bounds the symbolic links on the way to a socket, as the kernel does.
const maxLinks = 40

// trust judges who listens at the other end of c, which was reached by path. Root may
// listen anywhere, and so may the caller's own user, who learns nothing new. Anybody
// else must be the one whom the place of the socket belongs to: nobody but root, the
// caller and that user can have put it there. Otherwise any user of this host could wait with a
// socket while the server is away.
func trust(c *net.UnixConn, path string) error {
	uid, known := PeerUID(c)
	self := uint32(os.Geteuid())
	switch {
	case !known:
		return fmt.Errorf("%w: the kernel does not say whose it is", ErrUntrusted)
	case uid == 0 || uid == self:
		return nil
	}
	if err := (placement{listener: uid, caller: self}).check(path); err != nil {
		return fmt.Errorf("%w: it runs as uid %d, and %w", ErrUntrusted, uid, err)
	}
	return nil
}

// placement is who may own the folders on the way to a socket.
type placement struct {
	listener uint32
	caller   uint32
}

// Exposed says why callers would take whoever listens at path for a stranger although it
// is the user listener: somebody else may put another socket there. It is nil where
// they would not, as they never do with root. The socket need not be there yet.
func Exposed(path string, listener uint32) error {
	if listener == 0 {
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// Root owns what is no stranger's to any caller; another caller knows their own folders.
	p := placement{listener: listener, caller: 0}
	at, _, err := p.follow(filepath.Dir(path))
	if err != nil {
		return err
	}
	return p.folder(at, listener, true)
}

// check wants a socket at path, and no place on the way where a stranger may put one.
func (p placement) check(path string) error {
	_, info, err := p.follow(path)
	if err != nil {
		return err
	}
	if info == nil || info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is no socket", path)
	}
	return nil
}

// follow goes along path from the root, through links as the kernel does, and wants every
// folder on the way to be writable by root, the caller and the listener alone. It returns
// where the path leads and what is there.
func (p placement) follow(path string) (at string, info fs.FileInfo, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return "", nil, err
	}
	at = "/"
	rest, links := strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		if info, err = os.Lstat(next); err != nil {
			return "", nil, err
		}
		owner, known := ownerOf(info)
		if err := p.folder(at, owner, known); err != nil {
			return "", nil, err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", nil, err
		}
		if links++; links > maxLinks {
			return "", nil, fmt.Errorf("%s leads through too many links", path)
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return at, info, nil
}

// folder judges one folder, in which the path names what belongs to named.
func (p placement) folder(at string, named uint32, namedKnown bool) error {
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	owner, known := ownerOf(info)
	if !known || owner != 0 && owner != p.listener && owner != p.caller {
		return fmt.Errorf("the folder %s belongs to another user", at)
	}
	if info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	// In a folder such as /tmp everybody may make a name, and only its owner change it:
	// one of root's or the caller's own is no stranger's, the listener's may be.
	if info.Mode()&fs.ModeSticky != 0 && namedKnown && (named == 0 || named == p.caller) {
		return nil
	}
	return fmt.Errorf("others than its owner may write into the folder %s", at)
}

func ownerOf(info fs.FileInfo) (uid uint32, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}
