// Package owner finds the owner of a folder, and lets a process of root become that user for good.
//
// It promises that a process that has become somebody holds nothing of root any more: no
// user, no group, and no capability.
package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// Owner is a user of this host.
type Owner struct {
	UID, GID int
	Groups   []int  // all of the user, GID among them
	Name     string // of the user; the uid in digits where there is none
}

// Of returns the owner of a file or folder. A user whom this host does not know belongs to
// the group of the folder alone. The error is that of looking, fs.ErrNotExist say.
func Of(path string) (Owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Owner{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{}, fmt.Errorf("%s: its owner is not known", path)
	}
	o := Owner{UID: int(stat.Uid), GID: int(stat.Gid), Name: strconv.Itoa(int(stat.Uid))}
	if u, err := user.LookupId(o.Name); err == nil {
		o.Name = u.Username
		if gid, err := strconv.Atoi(u.Gid); err == nil {
			o.GID = gid
		}
		o.Groups = groups(u)
	}
	if !slices.Contains(o.Groups, o.GID) {
		o.Groups = append(o.Groups, o.GID)
	}
	return o, nil
}

func groups(u *user.User) (all []int) {
	ids, err := u.GroupIds()
	if err != nil {
		return nil // the user's own group is enough for the user's own files
	}
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil {
			all = append(all, gid)
		}
	}
	return all
}

// Here reports whether this process acts as the owner already.
func (o Owner) Here() bool { return os.Geteuid() == o.UID }

// Become makes this process the owner, with all its threads and for good. Only root may.
func (o Owner) Become() error {
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(o.Groups) },
		func() error { return syscall.Setgid(o.GID) },
		func() error { return syscall.Setuid(o.UID) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("this process cannot become %s: %w", o.Name, err)
		}
	}
	if o.UID != 0 && syscall.Setuid(0) == nil {
		return errors.New("this process is root again after it became " + o.Name)
	}
	return nil
}

// Reach returns why the owner, who this process is by now, cannot use that folder: it
// names the way there. It is nil where nothing is in the way.
func (o Owner) Reach(path string) error {
	_, err := os.Stat(path)
	if err == nil {
		_, err = os.ReadDir(path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s belongs to %s, who cannot get there: a folder above it is closed to him: %w", path, o.Name, err)
	}
	return err
}
