package keys

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/budget/quota"
	"sallyport/internal/operate"
)

const (
	aliceBox = "alice@local.test"
	bobBox   = "bob@local.test"
	kib      = 1 << 10
)

// newMailSite is a server on a real disk whose mailboxes are read by IMAP. domain stands in the
// table of its domain.
func newMailSite(t *testing.T, domain, more string) *site {
	t.Helper()
	s := newSite(t, "")
	s.fs, s.doors, s.domain = vfs.Default, "imaps = [\"127.0.0.1:0\"]\n", domain
	s.configure(more)
	return s
}

// reader is a program that reads a mailbox.
type reader struct {
	*bufio.ReadWriter
	t *testing.T
}

func (s *site) reads(account string) reader {
	s.t.Helper()
	raw, err := net.Dial("tcp", s.Addrs().IMAPS[0])
	must(s.t, err)
	if s.balanced {
		_, err = io.WriteString(raw, "PROXY TCP4 198.51.100.50 192.0.2.1 4711 993\r\n")
		must(s.t, err)
	}
	nc := tls.Client(raw, &tls.Config{RootCAs: pool(s.t, s.pki), ServerName: "mx.local.test"})
	s.t.Cleanup(func() { _ = nc.Close() })
	must(s.t, nc.SetDeadline(time.Now().Add(time.Minute)))
	r := reader{bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc)), s.t}
	r.until("* OK")
	r.say("LOGIN %s {%d+}\r\n%s", account, len(password), password)
	return r
}

func (r reader) until(prefix string) (all string) {
	r.t.Helper()
	for {
		line, err := r.ReadString('\n')
		if all += line; err != nil {
			r.t.Fatalf("%q: no %q: %v", all, prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return all
		}
	}
}

// say gives a command and returns all that is answered.
func (r reader) say(format string, args ...any) string {
	r.t.Helper()
	fmt.Fprintf(r, "a "+format+"\r\n", args...)
	must(r.t, r.Flush())
	return r.until("a ")
}

// line gives a line and returns the next.
func (r reader) line(format string, args ...any) string {
	r.t.Helper()
	fmt.Fprintf(r, format+"\r\n", args...)
	must(r.t, r.Flush())
	line, err := r.ReadString('\n')
	must(r.t, err)
	return line
}

// kept is how many files the mailbox of an account has, and how long they are.
func (s *site) kept(account string) (files int, octets int64) {
	s.t.Helper()
	local, _, _ := strings.Cut(account, "@")
	_ = filepath.WalkDir(filepath.Join(s.dir, "data", "mail", "local.test", local), func(path string, e fs.DirEntry, err error) error {
		if in := filepath.Base(filepath.Dir(path)); err == nil && !e.IsDir() && (in == "new" || in == "cur") {
			if info, err := e.Info(); err == nil {
				files, octets = files+1, octets+info.Size()
			}
		}
		return nil
	})
	return files, octets
}

// arrives waits until a mailbox has so many files.
func (s *site) arrives(account string, n int) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if files, _ := s.kept(account); files == n {
			return
		}
		if time.Now().After(deadline) {
			files, _ := s.kept(account)
			s.t.Fatalf("%s has %d files, not %d", account, files, n)
		}
	}
}

func (s *site) gives(to string, octets int, declared bool) string {
	s.t.Helper()
	v := s.mustVisit("198.51.100.7")
	defer v.Close()
	return v.offer("x@far.test", to, octets, declared)
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

func letter(n int) string {
	return "Subject: x\r\n\r\n" + strings.Repeat("y", n-16) + "\r\n"
}

// A mailbox with a quota, by every way in: what was declared does not pass it, what was not does
// by one message; who made room has it; nothing that was accepted is lost.
func TestMailboxQuota(t *testing.T) {
	t.Parallel()
	s := newMailSite(t, "", "[mailbox]\nquota = \"100KiB\"\nquota_warn = 0\n"+balanced)
	s.start(map[string]string{aliceBox: "person", bobBox: "person"})
	_, err := s.Operator().AliasAdd(t.Context(), operate.Self(), operate.AliasAdd{Name: "both@local.test", Targets: []string{aliceBox, bobBox}})
	must(t, err)
	expect(t, s.gives(aliceBox, 60*kib, true), "250")
	s.arrives(aliceBox, 1)
	const full = "452 4.2.2 this mailbox is full (mailbox-quota); try again later"
	expect(t, s.gives(aliceBox, 60*kib, true), full)
	expect(t, s.gives("both@local.test", 60*kib, true), full)
	expect(t, s.gives("alice+x@local.test", 60*kib, true), full)
	expect(t, s.gives(aliceBox, 200*kib, true), "552 5.2.3 the message is larger than this mailbox may hold (mailbox-quota)")
	expect(t, s.gives(bobBox, 60*kib, true), "250")
	v := s.mustVisit("198.51.100.7")
	// Pipelined, and in chunks: the recipient who has room gets it.
	body := letter(50 * kib)
	fmt.Fprintf(v.Text.W, "MAIL FROM:<x@far.test> SIZE=%d\r\nRCPT TO:<%s>\r\nRCPT TO:<eve@local.test>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s", len(body), aliceBox, "postmaster@local.test", len(body), body)
	must(t, v.Text.W.Flush())
	for _, want := range []string{"250", "452 4.2.2", "550", "250", "250"} {
		code, text, _ := v.Text.ReadResponse(0)
		expect(t, fmt.Sprint(code, " ", text), want)
	}
	// Who signed in is told the same.
	own, err := s.signIn(bobBox)
	must(t, err)
	must(t, own.Mail(bobBox))
	if err := own.Rcpt("postmaster@local.test"); err != nil {
		t.Error(err)
	}
	// What was not declared passes by one message, and then nothing does.
	expect(t, s.gives(aliceBox, 60*kib, false), "250")
	s.arrives(aliceBox, 2)
	expect(t, s.gives(aliceBox, 1*kib, true), full)
	expect(t, s.gives(aliceBox, 1*kib, false), full)
	s.readsAFullMailbox(t)
	// The trace says what was found.
	answer, err := s.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Rules: []string{"mailbox-quota"}})
	must(t, err)
	if text := fmt.Sprint(answer); !strings.Contains(text, " KiB in 1 message and may hold 100 KiB") {
		t.Errorf("the trace does not tell why: %.2000s", text)
	}
}

// readsAFullMailbox is what a program that reads it may do: alice has two messages in the INBOX,
// and more than her quota.
func (s *site) readsAFullMailbox(t *testing.T) {
	r := s.reads(aliceBox)
	answer := r.say("GETQUOTAROOT INBOX")
	expect(t, answer, "* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE 12")
	if !strings.Contains(answer, " 100)\r\n") || !strings.Contains(r.say("CAPABILITY"), " QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE ") {
		t.Errorf("%q", answer)
	}
	expect(t, r.say("GETQUOTA nothing"), "a NO [NONEXISTENT]")
	expect(t, r.say("GETQUOTAROOT nothing"), "a NO [NONEXISTENT]")
	expect(t, r.say("SETQUOTA \"\" (STORAGE 1000)"), "a BAD")
	// A literal that waits is not asked for.
	const over = "a NO [OVERQUOTA] this mailbox: it holds "
	expect(t, r.line("a APPEND Sent {1000}"), over)
	expect(t, r.say("APPEND Sent {%d+}\r\n%s", 1000, letter(1000)), over)
	r.say("SELECT INBOX")
	expect(t, r.say("COPY 1 Archive"), over)
	if got := r.say("MOVE 1 Archive"); !strings.Contains(got, "a OK") {
		t.Error(got)
	}
	r.say("SELECT Archive")
	r.say("STORE 1 +FLAGS.SILENT (\\Deleted)")
	if got := r.say("STATUS Archive (DELETED DELETED-STORAGE)"); !strings.HasPrefix(got, "* STATUS Archive (DELETED 1 DELETED-STORAGE 6") {
		t.Error(got)
	}
	expect(t, r.say("APPEND Sent {%d+}\r\n%s", 1000, letter(1000)), over)
	if got := r.say("EXPUNGE"); !strings.Contains(got, "* 1 EXPUNGE") {
		t.Error(got)
	}
	if got := r.say("APPEND Sent {%d+}\r\n%s", 1000, letter(1000)); !strings.Contains(got, "a OK [APPENDUID") {
		t.Error(got)
	}
	// All or none: two have room, the third has none, and is not asked for.
	part := letter(15 * kib)
	expect(t, r.line("a APPEND Sent {%d+}\r\n%s {%d+}\r\n%s {%d}", len(part), part, len(part), part, 20*kib), over)
	if got := r.say("STATUS Sent (MESSAGES)"); !strings.Contains(got, "(MESSAGES 1)") {
		t.Error(got)
	}
	if got := r.say("APPEND Sent {%d+}\r\n%s {%d+}\r\n%s", len(part), part, len(part), part); !strings.Contains(got, "a OK [APPENDUID") {
		t.Error(got)
	}
	expect(t, r.say("GETQUOTA \"\""), "* QUOTA \"\" (STORAGE ")
	expect(t, s.gives(aliceBox, 20*kib, true), "452 4.2.2")
	expect(t, r.say("DELETE Sent"), "a OK")
	expect(t, s.gives(aliceBox, 20*kib, true), "250")
}

// Many at once for a mailbox with room for ten: ten come in at most, all of them arrive, and what
// it has room for comes in later; and as many again once another program made room. At once it may
// be less than ten: what arrives while the mailbox is looked at counts twice until the next look.
func TestAFloodIntoAMailboxThatIsNearlyFull(t *testing.T) {
	t.Parallel()
	s := newMailSite(t, "", "[mailbox]\nquota = \"100KiB\"\nquota_warn = 0\n"+balanced)
	s.start(map[string]string{aliceBox: "person"})
	for range 2 {
		var in atomic.Int64
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() {
				v, err := s.visit("198.51.100.7")
				if err == nil && strings.HasPrefix(v.offer("x@far.test", aliceBox, 10*kib, true), "250") {
					in.Add(1)
				}
			})
		}
		all.Wait()
		s.arrives(aliceBox, int(in.Load()))
		s.fills(int(in.Load()))
		files, err := filepath.Glob(filepath.Join(s.dir, "data", "mail", "local.test", "alice", "new", "*"))
		must(t, err)
		for _, f := range files {
			must(t, os.Remove(f))
		}
		s.ahead.Add(int64(time.Minute))
	}
}

// fills demands that alice's mailbox, which has so many messages, takes the rest and no more: nine,
// since each is longer in its file than it said; ten where all were taken before one was there.
func (s *site) fills(in int) {
	s.t.Helper()
	if in < 1 || in > 10 {
		s.t.Errorf("%d came in at once", in)
	}
	for ; in < 9; in++ {
		// A file is there a moment before the server knows that it is no longer on its way.
		got := ""
		for try := 0; try < 100 && !strings.HasPrefix(got, "250"); try++ {
			time.Sleep(time.Duration(try) * time.Millisecond)
			s.ahead.Add(int64(time.Minute))
			got = s.gives(aliceBox, 9*kib, true)
		}
		expect(s.t, got, "250")
		s.arrives(aliceBox, in+1)
	}
	s.ahead.Add(int64(time.Minute))
	expect(s.t, s.gives(aliceBox, 10*kib, true), "452 4.2.2")
	if _, octets := s.kept(aliceBox); octets > 120*kib {
		s.t.Errorf("%d octets came in", octets)
	}
}

// What each mailbox of a domain, and all together, may hold; what an account has of its own; and a
// reload. Mail that is sent on and leaves no copy needs no room.
func TestDomainQuota(t *testing.T) {
	t.Parallel()
	s := newMailSite(t, "quota = \"50KiB\"\nquota_messages = 3\nquota_total = \"90KiB\"\nquota_total_messages = 4\n", "[mailbox]\nquota = \"1KiB\"\nquota_messages = 1\nquota_warn = 0\n"+balanced)
	s.start(map[string]string{aliceBox: "person", bobBox: "person", "carl@local.test": "person"})
	expect(t, s.gives(aliceBox, 40*kib, true), "250")
	expect(t, s.gives(aliceBox, 20*kib, true), "452 4.2.2 this mailbox is full (mailbox-quota)")
	set := func(account string, octets, messages *int64) {
		t.Helper()
		_, err := s.Operator().AccountSet(t.Context(), operate.Self(), operate.AccountSet{Address: account, QuotaOctets: octets, QuotaMessages: messages})
		must(t, err)
	}
	any := int64(quota.Unbounded)
	set(bobBox, &any, nil)
	expect(t, s.gives(bobBox, 45*kib, true), "250")
	expect(t, s.gives(bobBox, 10*kib, true), "452 4.2.2 all mailboxes of this domain together are full (domain-quota)")
	s.arrives(aliceBox, 1)
	s.arrives(bobBox, 1)
	r := s.reads("carl@local.test")
	expect(t, r.line("a APPEND Sent {%d}", 20*kib), "a NO [OVERQUOTA] all mailboxes of this domain together are full (domain-quota)")
	told, err := s.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "carl@local.test", Rules: []string{"protocol"}})
	must(t, err)
	if all := told.Facts(); len(all) != 1 || !strings.HasPrefix(all[0].Text, "APPEND: all mailboxes of this domain together are full (domain-quota)") || all[0].Account != "carl@local.test" {
		t.Errorf("nobody learns of it: %+v", all)
	}
	s.domain = "quota_messages = 3\nquota_total_messages = 4\n"
	s.reload("[mailbox]\nquota = \"0\"\nquota_warn = 0\n[forward]\nexternal = \"on\"\n" + balanced)
	expect(t, s.gives(bobBox, 100*kib, true), "250")
	expect(t, s.gives(aliceBox, 1*kib, true), "250")
	expect(t, s.gives(aliceBox, 1*kib, true), "452 4.2.2 all mailboxes of this domain together are full (domain-quota)")
	one := int64(2)
	set(aliceBox, nil, &one)
	expect(t, s.gives(aliceBox, 1*kib, true), "452 4.2.2 this mailbox is full (mailbox-quota)")
	_, err = s.Operator().ForwardAdd(t.Context(), operate.Self(), operate.ForwardAdd{Account: aliceBox, Targets: []string{"alice@far.test"}})
	must(t, err)
	expect(t, s.gives(aliceBox, 1*kib, true), "250")
	account, err := s.Operator().AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: aliceBox})
	must(t, err)
	if m := account.Mailbox; m == nil || m.Quota != (quota.Quota{Octets: quota.Unbounded, Messages: 2}) || m.Used.Messages != 2 || m.Own != (quota.Quota{Messages: 2}) {
		t.Errorf("%+v", m)
	}
}

// The owner of a mailbox is told when it is nearly full, in the mailbox, once, over a restart; the
// administrator sees it.
func TestTheOwnerIsToldOfTheQuota(t *testing.T) {
	t.Parallel()
	const more = "[mailbox]\nquota = \"100KiB\"\nquota_warn = 70\n" + balanced
	s := newMailSite(t, "", more)
	s.start(map[string]string{aliceBox: "person"})
	expect(t, s.gives(aliceBox, 60*kib, true), "250")
	s.arrives(aliceBox, 1)
	expect(t, s.gives(aliceBox, 20*kib, true), "250")
	s.arrives(aliceBox, 3)
	told := func() (n int) {
		files, err := filepath.Glob(filepath.Join(s.dir, "data", "mail", "local.test", "alice", "*", "*"))
		must(t, err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err == nil && bytes.Contains(text, []byte("\nSubject: The mailbox of alice@local.test holds 8")) && bytes.Contains(text, []byte("Auto-Submitted: auto-generated")) {
				n++
			}
		}
		return n
	}
	if told() != 1 {
		t.Error("she was not told")
	}
	status, err := s.Operator().Status(t.Context(), operate.Self(), struct{}{})
	must(t, err)
	if f := status.Filling; f == nil || f.Nearly != 1 || f.Full != 0 || f.First[0].Account != aliceBox {
		t.Errorf("%+v", f)
	}
	s.stop()
	s.start(nil)
	expect(t, s.gives(aliceBox, 5*kib, true), "250")
	s.arrives(aliceBox, 4)
	s.stop()
	s.start(nil)
	expect(t, s.gives(aliceBox, 5*kib, true), "250")
	s.arrives(aliceBox, 5)
	time.Sleep(200 * time.Millisecond)
	if told() != 1 {
		t.Errorf("she was told %d times", told())
	}
	expect(t, s.gives(aliceBox, 40*kib, true), "452 4.2.2")
}

// What waits in the queue over a restart counts.
func TestTheQueueCountsForTheQuota(t *testing.T) {
	t.Parallel()
	s := newMailSite(t, "", "[mailbox]\nquota = \"100KiB\"\nquota_warn = 0\n"+balanced)
	s.start(map[string]string{aliceBox: "person"})
	expect(t, s.gives(aliceBox, 10*kib, true), "250")
	s.arrives(aliceBox, 1)
	// No mail can be put into a mailbox whose folder is a file.
	box := filepath.Join(s.dir, "data", "mail", "local.test", "alice")
	must(t, os.Rename(filepath.Join(box, "tmp"), filepath.Join(box, "gone")))
	must(t, os.WriteFile(filepath.Join(box, "tmp"), nil, 0o600))
	expect(t, s.gives(aliceBox, 60*kib, true), "250")
	expect(t, s.gives(aliceBox, 60*kib, true), "452 4.2.2")
	s.stop()
	s.start(nil)
	expect(t, s.gives(aliceBox, 60*kib, true), "452 4.2.2")
	must(t, os.Remove(filepath.Join(box, "tmp")))
	must(t, os.Rename(filepath.Join(box, "gone"), filepath.Join(box, "tmp")))
}

// The bounds of what a program makes in a mailbox, and a reload of them.
func TestMailboxBounds(t *testing.T) {
	t.Parallel()
	s := newMailSite(t, "", "[mailbox]\nfolders = 7\nkeywords = 2\nsubscriptions = 7\n")
	s.start(map[string]string{aliceBox: "person"})
	r := s.reads(aliceBox)
	answer := r.say("GETQUOTAROOT INBOX")
	expect(t, answer, "* QUOTAROOT INBOX\r\na OK")
	expect(t, r.say("GETQUOTA \"\""), "a NO [NONEXISTENT]")
	expect(t, r.say("CREATE one"), "a OK")
	expect(t, r.say("CREATE two"), "a NO [LIMIT]")
	expect(t, r.say("SUBSCRIBE one"), "a OK")
	expect(t, r.say("SUBSCRIBE two"), "a NO [LIMIT]")
	r.say("APPEND INBOX {%d+}\r\n%s", 100, letter(100))
	r.say("SELECT INBOX")
	if got := r.say("STORE 1 +FLAGS (one two)"); !strings.Contains(got, "a OK") {
		t.Error(got)
	}
	if got := r.say("STORE 1 +FLAGS (three)"); !strings.Contains(got, "a NO [LIMIT]") {
		t.Error(got)
	}
	s.reload("[mailbox]\nfolders = 8\nkeywords = 3\nsubscriptions = 8\n")
	expect(t, r.say("CREATE two"), "a OK")
	expect(t, r.say("SUBSCRIBE two"), "a OK")
	if got := r.say("STORE 1 +FLAGS (three)"); !strings.Contains(got, "a OK") {
		t.Error(got)
	}
}
