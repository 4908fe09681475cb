package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/kit/listen"
	"sallyport/internal/local/socket"
	"sallyport/internal/operate/doctor"
)

// gatherPorts asks at every listener who is there.
func gatherPorts(ctx context.Context, cfg config.Config, running bool) (all []doctor.PortFacts) {
	for _, door := range []struct {
		name string
		at   []netip.AddrPort
		tls  bool
	}{{"mx", cfg.Listen.MX, false}, {"submission", cfg.Listen.Submission, false}, {"submissions", cfg.Listen.Submissions, true}} {
		for _, at := range door.at {
			if at.Port() == 0 {
				continue // any free port: nothing to look at
			}
			p := doctor.PortFacts{Door: door.name, Address: at.String()}
			greeting, err := greetingAt(ctx, "tcp", reachable(at).String(), door.tls)
			switch {
			case err == nil:
				p.Greeting = printable(greeting)
			case running:
				p.Error = err.Error()
			default:
				p.Free, p.BindErr = canBind(ctx, at)
			}
			all = append(all, p)
		}
	}
	return all
}

// reachable is where this host reaches what listens at an address.
func reachable(at netip.AddrPort) netip.AddrPort {
	switch {
	case !at.Addr().IsUnspecified():
		return at
	case at.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
}

// gatherBehind asks the servers behind us and the next hops of routes, each once, who
// they are.
func gatherBehind(ctx context.Context, cfg config.Config) (all []doctor.BehindFacts) {
	add := func(what, network, at string, implicit bool) {
		if slices.ContainsFunc(all, func(b doctor.BehindFacts) bool { return b.At == at }) {
			return
		}
		b := doctor.BehindFacts{For: what, At: at}
		greeting, err := greetingAt(ctx, network, at, implicit)
		if b.Greeting = printable(greeting); err != nil {
			b.Error = err.Error()
		}
		all = append(all, b)
	}
	for _, d := range cfg.Domains {
		switch to := d.Deliver; {
		case to.Behind() && to.Path != "":
			add("domain "+d.Name.ASCII(), "unix", to.Path, false)
		case to.Behind():
			add("domain "+d.Name.ASCII(), "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), to.Implicit)
		}
	}
	for _, r := range cfg.Routes {
		add("route "+routeName(r.Domain), "tcp", net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))), r.TLS == config.TLSImplicit)
	}
	return all
}

func greetingAt(ctx context.Context, network, at string, implicit bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, DoctorTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, at)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if implicit {
		// Only the name in the greeting is wanted; the certificate is judged as a file.
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	line, err := bufio.NewReader(io.LimitReader(c, 1000)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("it accepts connections, and greets nobody: %w", err)
	}
	_, _ = io.WriteString(c, "QUIT\r\n") // politeness; we leave anyway
	return strings.TrimSpace(line), nil
}

func canBind(ctx context.Context, at netip.AddrPort) (free bool, why string) {
	ln, err := listen.TCP(ctx, at)
	if err != nil {
		return false, err.Error()
	}
	if err := ln.Close(); err != nil {
		return false, err.Error()
	}
	return true, ""
}

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

func gatherDisk(cfg config.Config) doctor.DiskFacts {
	f := doctor.DiskFacts{Path: cfg.Data, MinFree: uint64(max(cfg.Limits.MinFree, 0))}
	var s unix.Statfs_t
	if err := unix.Statfs(cfg.Data, &s); err != nil {
		f.Error = "cannot be looked at: " + err.Error()
		return f
	}
	f.Free, f.Total = s.Bavail*uint64(s.Bsize), s.Blocks*uint64(s.Bsize)
	f.InodesFree, f.InodesTotal = s.Ffree, s.Files
	began := time.Now()
	if err := trySync(cfg.Data); err != nil {
		f.SyncError = err.Error()
	}
	f.SyncTook = time.Since(began)
	return f
}

func trySync(dir string) error {
	t, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	_, err = t.Write(make([]byte, 4096))
	if err == nil {
		err = t.Sync()
	}
	return errors.Join(err, t.Close(), os.Remove(t.Name()))
}

// gatherFiles looks at who may use what.
func gatherFiles(cfg config.Config) (all []doctor.FileFacts) {
	owner := uint32(os.Geteuid())
	if info, err := os.Stat(cfg.Data); err == nil {
		owner = ownerOf(info)
	}
	add := func(path, what string, secret, own bool) {
		all = append(all, gatherFile(doctor.FileFacts{Path: path, What: what, Secret: secret, OwnOnly: own}, owner))
	}
	add(cfg.Data, "the data folder", true, true)
	add(cfg.File, "the configuration", false, false)
	for _, d := range []struct{ path, what string }{{cfg.StoreDir(), "the store"}, {cfg.CheckpointDir(), "the checkpoints of the trace"}, {cfg.Maildir.Root, "the mailboxes"}} {
		if _, err := os.Stat(d.path); err == nil { // made with the first start
			add(d.path, d.what, false, false)
		}
	}
	keys, err := filepath.Glob(filepath.Join(cfg.KeysDir(), "*"))
	if err == nil {
		for _, k := range keys {
			add(k, "a key of the server's own", true, true)
		}
	}
	if cfg.TLS.Key != "" {
		add(cfg.TLS.Key, "the certificate's key", true, false)
	}
	for _, r := range cfg.Routes {
		if r.PasswordFile != "" && !slices.ContainsFunc(all, func(f doctor.FileFacts) bool { return f.Path == r.PasswordFile }) {
			add(r.PasswordFile, "a password file", true, false)
		}
	}
	sockets := []doctor.FileFacts{{Path: cfg.Socket(), What: "the operator's socket"}}
	if p := cfg.Sendmail.Socket; p != "" {
		sockets = append(sockets, doctor.FileFacts{Path: p, What: "the socket of the sendmail command"})
	}
	for _, f := range sockets {
		if err := socket.Exposed(f.Path, owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.Exposed = err.Error()
			all = append(all, f)
		}
	}
	if p := cfg.Rspamd.PasswordFile; p != "" {
		add(p, "a password file", true, false)
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
func gatherLimits(cfg config.Config, pid int) doctor.LimitFacts {
	f := doctor.LimitFacts{Connections: cfg.Limits.Connections, FilesOf: "a server started from here"}
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits"); pid > 0 && err == nil {
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
