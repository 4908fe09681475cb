package walk

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
)

// heavy says whether everything is built as the README says, which takes a minute: make walks.
func heavy() bool { return os.Getenv("SALLYPORT_WALKS") != "" }

const newcomersZone = `
mx.example.org.    300 IN A   127.0.0.1
example.org.       300 IN MX  10 mx.example.org.
example.org.       300 IN TXT "v=spf1 mx -all"
. 300 IN SOA a.root. b.root. 1 2 3 4 5
`

// The README, block by block in its order, in a clean folder on a host that has nothing of ours.
func TestNewcomer(t *testing.T) {
	w := newWorld(t, 512, newcomersZone)
	must(t, os.Remove(w.path("/usr/bin/sallyport")))
	w.write("/usr/bin/sudo", "#!/bin/sh\nexec \"$@\"\n")
	must(t, os.Chmod(w.path("/usr/bin/sudo"), 0o755))
	w.checkout()
	var blocks []string
	var all *section
	for _, s := range sections(t, "README.md") {
		blocks = append(blocks, s.blocks...)
		if s.title == "A real configuration" {
			all = s
		}
	}
	if len(blocks) != 3 || all == nil {
		t.Fatalf("the README has %d blocks, which the walk does not know", len(blocks))
	}
	w.twoCommands(lines(blocks[0]))
	install := "make build && sudo make install"
	if !slices.Contains(all.spans, install) {
		t.Fatalf("the README no longer says %s", install)
	}
	w.make(install)
	w.realConfiguration(lines(blocks[1]))
	w.certificateByItself(blocks[2])
}

// lines are the command lines of a block, those that go on made one, without their remarks.
func lines(block string) (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, "  #")
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// checkout copies what a clone would have, and where the walk is to be quick the program that
// the test built.
func (w *world) checkout() {
	w.t.Helper()
	must(w.t, os.MkdirAll(w.path("/root/night/bin"), 0o755))
	cmd := exec.Command("sh", "-ec",
		`cd ../.. && { git ls-files -z 2>/dev/null || find . -type f -not -path './bin/*' -not -path './.git*' -print0; } | tar -c --null --ignore-failed-read -T - | tar -x -C "$1"`,
		"sh", w.path("/root/night"))
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	if heavy() {
		for _, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE"} {
			out, err := exec.Command("go", "env", name).Output()
			must(w.t, err)
			dir := strings.TrimSpace(string(out))
			must(w.t, os.MkdirAll(w.path(dir), 0o755))
			must(w.t, syscall.Mount(dir, w.path(dir), "", syscall.MS_BIND|syscall.MS_REC, ""))
			w.t.Cleanup(func() { _ = syscall.Unmount(w.path(dir), syscall.MNT_DETACH) })
			if name == "GOROOT" {
				must(w.t, os.Symlink(filepath.Join(dir, "bin/go"), w.path("/usr/local/sbin/go")))
			}
		}
		return
	}
	program, err := os.ReadFile(os.Getenv(binaryVar))
	must(w.t, err)
	must(w.t, os.WriteFile(w.path("/root/night/bin/sallyport"), program, 0o755))
}

// made is a command of make; the quick walk takes the program as built.
func made(line string) string {
	if heavy() {
		return line
	}
	return strings.ReplaceAll(line, "make ", "make -o build ")
}

func (w *world) make(line string) {
	w.t.Helper()
	w.must(made(line))
}

// twoCommands runs the server of the quickstart, and what it prints to be pasted.
func (w *world) twoCommands(commands []string) {
	w.t.Helper()
	if !slices.Equal(commands, []string{"make run", "make test"}) {
		w.t.Fatalf("the two commands are %q", commands)
	}
	cmd := w.command("exec " + made(commands[0]))
	printed, err := os.Create(w.path("/tmp/printed"))
	must(w.t, err)
	defer printed.Close()
	cmd.Stdout, cmd.Stderr = printed, printed
	cmd.SysProcAttr.Setpgid = true
	must(w.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for until := time.Now().Add(5 * time.Minute); !strings.Contains(w.read("/tmp/printed"), "What happens from here on"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(until) {
			w.t.Fatalf("make run printed\n%s", w.read("/tmp/printed"))
		}
	}
	for _, door := range regexp.MustCompile(`(?m)^\| (mx|submission) \| (\S+) \|`).FindAllStringSubmatch(readme(w.t), -1) {
		if err := greets(door[2]); err != nil {
			w.t.Errorf("the README says that %s is at %s: %v", door[1], door[2], err)
		}
	}
	c, err := net.Dial("tcp", "127.0.0.1:2465")
	must(w.t, err)
	must(w.t, c.Close())
	text := w.read("/tmp/printed")
	for _, want := range []string{"alice@local.test", "bob@local.test"} {
		if !strings.Contains(text, want) {
			w.t.Errorf("make run does not print %q", want)
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^  (\S*sallyport .*)$`).FindAllStringSubmatch(text, -1) {
		w.must(line[1])
	}
	if _, err := os.Stat(w.path("/root/night/quickstart-data/passwords.json")); err != nil {
		w.t.Error(err)
	}
	must(w.t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)) // Ctrl-C reaches the whole group
	select {
	case <-ended:
	case <-time.After(time.Minute):
		w.t.Fatal("Ctrl-C does not stop it")
	}
	w.must("make -n test >/dev/null") // this is one of its tests
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	must(t, err)
	return string(text)
}

// realConfiguration gives each command as it is printed.
func (w *world) realConfiguration(commands []string) {
	w.t.Helper()
	names := pki.Names{Hosts: []string{"mx.example.org"}}
	ca, err := pki.NewAuthority("walk", names, time.Now())
	must(w.t, err)
	cert, key, err := ca.Issue(names, time.Now())
	must(w.t, err)
	w.write("/etc/ssl/certs/mail.pem", string(cert))
	w.write("/etc/ssl/private/mail.key", string(key))
	must(w.t, os.Chmod(w.path("/etc/ssl/private/mail.key"), 0o600))
	for _, line := range commands {
		verb := strings.Fields(line)[1]
		switch verb {
		case "serve":
			w.serve(line, "127.0.0.1:25")
		case "account": // asks on a terminal
			w.must("for ask in 1 2; do sleep 1; echo correct horse battery staple; done | script -qec '" + line + "' /dev/null")
		default:
			w.must(line)
		}
	}
	for _, port := range []string{"25", "587"} {
		if err := greets("127.0.0.1:" + port); err != nil {
			w.t.Error(err)
		}
	}
	if got := commands[len(commands)-1]; !strings.HasPrefix(got, "sallyport reload") {
		w.t.Errorf("the last command is %q", got)
	}
	if out := w.must("sallyport account ls"); !strings.Contains(out, "alice@example.org") {
		w.t.Errorf("there is no alice:\n%s", out)
	}
	w.halt()
}

// certificateByItself is what the file has to say without --cert and --key.
func (w *world) certificateByItself(acme string) {
	w.t.Helper()
	w.must("sallyport init --dir /etc/again --data /var/lib/sallyport/again --hostname mx.example.org --domain example.org")
	f, err := os.OpenFile(w.path("/etc/again/sallyport.toml"), os.O_APPEND|os.O_WRONLY, 0)
	must(w.t, err)
	_, err = f.WriteString("\n" + acme)
	must(w.t, err)
	must(w.t, f.Close())
	w.must("sallyport check -c /etc/again/sallyport.toml")
}
