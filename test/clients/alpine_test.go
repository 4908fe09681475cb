package clients

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stroke is what somebody at a terminal waits for, one of several texts with | between them, and
// types then.
type stroke struct{ shown, typed string }

// behind returns where the first of the texts ends that a stroke waits for; -1: none is shown.
func (s stroke) behind(text string) int {
	for one := range strings.SplitSeq(s.shown, "|") {
		if at := strings.Index(text, one); at >= 0 {
			return at + len(one)
		}
	}
	return -1
}

// typing runs a program in a terminal and types at it; it never lasts longer than a time. It returns
// what the terminal showed.
func typing(t *testing.T, most time.Duration, line string, strokes ...stroke) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qefc", "stty rows 30 cols 100; "+line, "/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	seen := make(chan string, 64)
	go func() {
		defer close(seen)
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			if n > 0 {
				seen <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	all, from := "", 0
	for text := range seen {
		all += text
		for len(strokes) > 0 {
			behind := strokes[0].behind(all[from:])
			if behind < 0 {
				break
			}
			from += behind
			if _, err := io.WriteString(in, strokes[0].typed); err != nil {
				break
			}
			strokes = strokes[1:]
		}
	}
	err = cmd.Wait()
	if len(strokes) > 0 {
		err = fmt.Errorf("%q was never shown: %w", strokes[0].shown, err)
	}
	return all, err
}

// alpine opens the mailbox, reads the first letter and deletes it, flags the second, saves the third
// in another folder, and leaves.
func TestAlpineReads(t *testing.T) {
	needsPrograms(t)
	Tool(t, "alpine")
	r := newReading(t)
	home := filepath.Join(r.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	at := "{localhost:" + portOf(r.s.Listen.IMAPS[0]) + "/imap/ssl/user=" + r.user + "}"
	rc := r.file("pinerc",
		"user-domain=local.test\ninbox-path=%[1]sINBOX\nfolder-collections=%[1]s[]\ndefault-fcc=\"\"\nlast-version-used=99.99\nfeature-list=quit-without-confirm,expunge-without-confirm,expunge-without-confirm-everywhere,enable-flag-cmd\nsort-key=arrival\n",
		at)
	line := fmt.Sprintf("HOME=%s TERM=xterm SSL_CERT_FILE=%s alpine -p %s -i", home, r.s.CA, rc)
	shown, err := typing(t, 60*time.Second, line,
		stroke{"ENTER PASSWORD:", r.password + "\r"},
		stroke{"Preserve password", "n"},
		stroke{"letter 2", "\r"},
		stroke{"The body of letter 0.", "i"},
		stroke{"letter 1", "d"},
		stroke{"marked for deletion", "*"},
		stroke{"Important ?", "*"},
		stroke{"[Flagged message 2", "ns"},
		stroke{"SAVE", "Archive\r"},
		stroke{"copied to|DONE]", "q"}, // the second where it took alpine a moment
	)
	left, saved := r.folder("new")+r.folder("cur"), r.folder(".Archive/new")+r.folder(".Archive/cur")
	flagged := strings.Contains(left, ":2,F") && strings.Contains(left, "Subject: letter 1\n")
	if err != nil || !flagged || strings.Count(left, "file ") != 1 || strings.Count(saved, "file ") != 1 || !strings.Contains(saved, "Subject: letter 2\n") {
		t.Errorf("%v\nleft:\n%s\nsaved:\n%s\nit showed %q", err, left, saved, shown[max(0, len(shown)-2000):])
	}
}
