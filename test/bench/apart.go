package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// apartMark, as the first argument, makes this program the keeper of one server.
const apartMark = "-apart"

// apart is a server of others that is unpacked beside the system's own: it runs in mount
// and process namespaces, in which it finds the users that its package would have made,
// names of this host alone, and folders of its own where its program expects them.
//
// The keeper is the first process there. It takes in whoever loses his parent, so that the
// processor time of all is counted below one process, and with it all of them end.
type apart struct {
	Argv   []string          `json:"argv"`
	Mounts map[string]string `json:"mounts"` // from where it is seen to what is seen there
}

// The users that the servers want to become, with numbers that Debian gives to nobody.
const apartUsers = "Debian-exim:64901 opensmtpd:64902 opensmtpq:64903"

// The numbers of eximUser, as apartUsers has them.
const eximID = 64901

// startApart starts a server below dir, which keeps what is mounted for all of them.
func startApart(name, dir string, a apart) (*child, error) {
	files, err := apartFiles(os.ReadFile)
	if err != nil {
		return nil, err
	}
	if a.Mounts == nil {
		a.Mounts = map[string]string{}
	}
	for path, text := range files {
		own := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return nil, err
		}
		a.Mounts[path] = own
	}
	spec, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, apartMark, string(spec))
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	return spawn(name, filepath.Join(dir, "output"), cmd)
}

// apartFiles returns the files that a server sees instead of the system's.
func apartFiles(read func(string) ([]byte, error)) (map[string]string, error) {
	people, err := read("/etc/passwd")
	if err != nil {
		return nil, err
	}
	groups, err := read("/etc/group")
	if err != nil {
		return nil, err
	}
	passwd, group := strings.TrimRight(string(people), "\n")+"\n", strings.TrimRight(string(groups), "\n")+"\n"
	for _, u := range strings.Fields(apartUsers) {
		name, id, _ := strings.Cut(u, ":")
		passwd = without(passwd, name) + fmt.Sprintf("%s:x:%s:%s::/nonexistent:/usr/sbin/nologin\n", name, id, id)
		group = without(group, name) + fmt.Sprintf("%s:x:%s:\n", name, id)
	}
	return map[string]string{
		"/etc/passwd": passwd, "/etc/group": group,
		"/etc/hosts":       "127.0.0.1 localhost mx.local.test\n",
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
	}, nil
}

// without leaves out the line of a name.
func without(text, name string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, name+":") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// keepApart is the keeper: it makes the world of the server, starts it, passes on the wish
// to end, and returns the exit status when the server itself has ended.
func keepApart(spec string) (int, error) {
	var a apart
	if err := json.Unmarshal([]byte(spec), &a); err != nil {
		return 0, err
	}
	if os.Getpid() != 1 || len(a.Argv) == 0 {
		return 0, errors.New(apartMark + " is for the benchmark itself")
	}
	if err := a.mount(); err != nil {
		return 0, err
	}
	wish := make(chan os.Signal, 1)
	signal.Notify(wish, syscall.SIGTERM, os.Interrupt)
	p, err := os.StartProcess(a.Argv[0], a.Argv, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	go func() {
		for range wish {
			_ = p.Signal(syscall.SIGTERM) // it may have ended
		}
	}()
	return adopt(p.Pid)
}

// adopt waits for every child, whoever its parent was, until one of them has ended.
func adopt(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, err
		case ended == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case ended == pid:
			return status.ExitStatus(), nil
		}
	}
}

// mount makes what the server sees; nothing of it reaches the system's own namespace.
func (a apart) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	at := make([]string, 0, len(a.Mounts))
	for path := range a.Mounts {
		at = append(at, path)
	}
	slices.Sort(at)
	for _, path := range at {
		if err := unix.Mount(a.Mounts[path], path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", a.Mounts[path], path, err)
		}
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}
