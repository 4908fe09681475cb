package gather

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/local/socket"
	"sallyport/internal/operate/doctor"
)

// gatherClock asks the kernel, which whoever keeps the clock tells. clock_adjtime(2).
func gatherClock() (f doctor.ClockFacts) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return f
	}
	f.Known = true
	f.Synced = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	f.Error = time.Duration(t.Maxerror) * time.Microsecond
	return f
}

func gatherDisk(o Options) doctor.DiskFacts {
	f := doctor.DiskFacts{Path: o.Data, MinFree: o.MinFree}
	var s unix.Statfs_t
	if err := unix.Statfs(o.Data, &s); err != nil {
		f.Error = "cannot be looked at: " + err.Error()
		return f
	}
	f.Free, f.Total = s.Bavail*uint64(s.Bsize), s.Blocks*uint64(s.Bsize)
	f.InodesFree, f.InodesTotal = s.Ffree, s.Files
	began := time.Now()
	if err := trySync(o.Data); err != nil {
		f.SyncError, f.Denied, f.Full = err.Error(), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOSPC)
	}
	f.SyncTook = time.Since(began)
	return f
}

// triedOctets is how much is written to see how long a sync takes.
const triedOctets = 4096

func trySync(dir string) error {
	t, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	_, err = t.Write(make([]byte, triedOctets))
	if err == nil {
		err = t.Sync()
	}
	return errors.Join(err, t.Close(), os.Remove(t.Name()))
}

// gatherFiles looks at who may use what.
func gatherFiles(o Options) (all []doctor.FileFacts) {
	owner := uint32(os.Geteuid())
	if info, err := os.Stat(o.Data); err == nil {
		owner = ownerOf(info)
	}
	for _, f := range o.Files {
		fact := doctor.FileFacts{Path: f.Path, What: f.What, Secret: f.Secret, OwnOnly: f.OwnOnly}
		if f.Socket {
			if err := socket.Exposed(f.Path, owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
				fact.Exposed = err.Error()
				all = append(all, fact)
			}
			continue
		}
		if _, err := os.Stat(f.Path); err != nil && f.Later {
			continue
		}
		all = append(all, gatherFile(fact, owner))
	}
	return all
}

func ownerOf(info os.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}

func gatherFile(f doctor.FileFacts, owner uint32) doctor.FileFacts {
	info, err := os.Stat(f.Path)
	if err != nil {
		f.Error = err.Error()
		return f
	}
	uid := ownerOf(info)
	f.Mode, f.Owner = uint32(info.Mode().Perm()), strconv.Itoa(int(uid))
	if u, err := user.LookupId(f.Owner); err == nil {
		f.Owner = u.Username
	}
	f.Ours = uid == owner || uid == 0 && !f.OwnOnly
	return f
}

// gatherLimits reads the bounds of the running server, else those of this process.
func gatherLimits(o Options) doctor.LimitFacts {
	f := doctor.LimitFacts{Connections: o.Connections, FilesOf: "a server started from here"}
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(o.Server.PID) + "/limits"); o.Server.PID > 0 && err == nil {
		f.FilesOf = "the running server"
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
				f.Files = number(rest)
			}
		}
	} else {
		var r unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil {
			f.Files = r.Cur
		}
	}
	if text, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err == nil {
		f.Backlog = int(number(string(text)))
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if from, to, ok := strings.Cut(strings.TrimSpace(string(text)), "\t"); ok {
			f.LocalPorts = max(int(number(to))-int(number(from))+1, 0)
		}
	}
	return f
}

// number reads the first number of a text; 0 where there is none.
func number(text string) uint64 {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
