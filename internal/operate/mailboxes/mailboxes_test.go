package mailboxes_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/budget/quota"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
	"sallyport/test/operator"
)

const root = "/mail"

// kept is a World whose mailboxes lie on a disk in memory, with accounts alice and bob.
func kept(t *testing.T) (w *operator.World, disk *vfs.MemFS) {
	t.Helper()
	w, disk = operator.New(t), vfs.NewMem()
	w.Account(t, "alice@local.test", "bob@local.test")
	mailRoot, err := mailbox.New(mailbox.Options{
		FS: pebble.Disk(disk), Folder: func(a mail.Address) (string, bool) { return maildir.Folder(root, a) }, Hostname: operator.Domain(t, "mx.local.test"),
		Limits: mailbox.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	operator.Check(t, err)
	w.With(func(o *operate.Options) { o.Mail = mailRoot })
	return w, disk
}

// letter is a message that comes in, told apart by a name.
func letter(name string, flags mailbox.System, keywords ...string) operate.MailboxIncome {
	octets := []byte("Subject: " + name + "\r\n\r\nhello\r\n")
	return operate.MailboxIncome{
		Origin: mailbox.OriginOf(name).String(), System: flags, Keywords: keywords, Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Size: int64(len(octets)), Octets: octets,
	}
}

// Mail comes in once, into the folder that is meant, and is counted, named, verified and listed as it is.
func TestMailComesInOnce(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w, _ := kept(t)
			c, ctx := w.Clients(t)[way], t.Context()
			from := operate.MailboxSource{Account: "Alice@local.test", Source: "an old server"}
			came := func() (folders []string) {
				operator.Check(t, c.MailboxImport(ctx, from, func(m operate.MailboxCame) error { folders = append(folders, m.Folder); return nil }))
				return folders
			}
			if got := came(); len(got) != 0 {
				t.Errorf("before anything came: %q", got)
			}
			add := operate.MailboxAdd{Account: from.Account, Source: from.Source, Folder: "Work", Subscribe: true, Messages: []operate.MailboxIncome{letter("one", mailbox.Seen, "later"), letter("two", 0)}}
			done, err := c.MailboxAdd(ctx, add)
			operator.Check(t, err)
			if done.Folder != "Work" || len(done.Messages) != 2 || done.Messages[0].UID == 0 || done.Messages[0].There || done.Messages[1].Refused != "" {
				t.Fatalf("%+v", done)
			}
			if done, err = c.MailboxAdd(ctx, add); err != nil || !done.Messages[0].There || !done.Messages[1].There {
				t.Errorf("a second time: %+v, %v", done, err)
			}
			if got := came(); !slices.Equal(got, []string{"Work", "Work"}) {
				t.Errorf("what came from there: %q", got)
			}
			var boxes []operate.Mailbox
			operator.Check(t, c.MailboxList(ctx, operate.MailboxRef{}, func(m operate.Mailbox) error { boxes = append(boxes, m); return nil }))
			if len(boxes) != 1 || boxes[0].Account != "alice@local.test" || boxes[0].Messages != 2 || boxes[0].Unseen != 1 || !strings.HasPrefix(boxes[0].Place, root) || boxes[0].Room != nil {
				t.Errorf("%+v", boxes)
			}
			var folder operate.MailboxFolder
			operator.Check(t, c.MailboxShow(ctx, operate.MailboxRef{Account: "alice@local.test", Folder: "Work"}, func(f operate.MailboxFolder) error { folder = f; return nil }))
			if folder.Name != "Work" || !folder.Subscribed || folder.Messages != 2 || folder.Unseen != 1 || folder.UIDNext != 3 || folder.Octets != add.Messages[0].Size+add.Messages[1].Size {
				t.Errorf("%+v", folder)
			}
			var uids []uint32
			operator.Check(t, c.MailboxUIDs(ctx, operate.MailboxRef{Account: "alice@local.test", Folder: "Work"}, func(m operate.MailboxUIDs) error { uids = m.UIDs; return nil }))
			if !slices.Equal(uids, []uint32{1, 2}) {
				t.Errorf("uids %v", uids)
			}
			operator.Check(t, c.MailboxVerify(ctx, operate.MailboxRef{Account: "alice@local.test"}, func(v operate.MailboxVerified) error {
				if !v.Sound || len(v.Damage)+len(v.Unreadable) != 0 || v.Name == "Work" && v.Messages != 2 {
					t.Errorf("%+v", v)
				}
				return nil
			}))
			rebuilt := 0
			operator.Check(t, c.MailboxRebuild(ctx, operate.MailboxRef{Account: "alice@local.test"}, func(b operate.MailboxRebuilt) error { rebuilt += b.Messages; return nil }))
			if rebuilt != 2 {
				t.Errorf("%d messages after a rebuild", rebuilt)
			}
			s := w.Story(t, "alice@local.test")
			for _, told := range []string{"mail moved in", "an old server", "messages added to its mailbox", "messages: 2", "folder: Work", "the index of its mailbox made anew", "by uid"} {
				if !strings.Contains(s, told) {
					t.Errorf("the trace says nothing of %q:\n%s", told, s)
				}
			}
			if strings.Count(s, "messages added") != 1 {
				t.Errorf("nothing was added the second time:\n%s", s)
			}
		})
	}
}

// What goes out is what came in, folder by folder; what is chosen, and nothing else.
func TestMailGoesOutAsItIs(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w, _ := kept(t)
			c, ctx := w.Clients(t)[way], t.Context()
			for folder, m := range map[string]operate.MailboxIncome{"Work": letter("one", mailbox.Seen, "later"), "Home": letter("two", 0)} {
				_, err := c.MailboxAdd(ctx, operate.MailboxAdd{Account: "alice@local.test", Source: "x", Folder: folder, Messages: []operate.MailboxIncome{m}})
				operator.Check(t, err)
			}
			out := func(r operate.MailboxExport) (head int, all []string) {
				s, err := c.MailboxExport(ctx, r)
				operator.Check(t, err)
				defer s.Close()
				in := ""
				operator.Check(t, s.Each(func(f operate.ExportedFolder) error { in = f.Name; return nil }, func(m operate.ExportedMessage) error {
					all = append(all, fmt.Sprintf("%s %d %v %q %s%s", in, m.UID, m.Keywords, m.Octets, m.Damage, m.Remark))
					if !m.Date.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
						t.Errorf("it came at %v", m.Date)
					}
					return nil
				}))
				slices.Sort(all)
				return s.Head.Messages, all
			}
			want := []string{`Home 1 [] "Subject: two\r\n\r\nhello\r\n" `, `Work 1 [later] "Subject: one\r\n\r\nhello\r\n" `}
			if n, got := out(operate.MailboxExport{Account: "alice@local.test"}); n != 2 || !slices.Equal(got, want) {
				t.Errorf("%d: %q", n, got)
			}
			if n, got := out(operate.MailboxExport{Account: "alice@local.test", Folders: []string{"Wo*"}}); n != 1 || !slices.Equal(got, want[1:]) {
				t.Errorf("of one folder %d: %q", n, got)
			}
			if n, got := out(operate.MailboxExport{Account: "alice@local.test", Exclude: []string{"Work"}}); n != 1 || !slices.Equal(got, want[:1]) {
				t.Errorf("without one folder %d: %q", n, got)
			}
			if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "mail exported") || !strings.Contains(s, "Wo*") {
				t.Errorf("the trace says nothing of it:\n%s", s)
			}
			_, err := c.MailboxExport(ctx, operate.MailboxExport{Account: "alice@local.test", Folders: []string{"None"}})
			operator.WantCode(t, err, call.CodeNotFound)
			_, err = c.MailboxExport(ctx, operate.MailboxExport{Account: "bob@local.test"})
			operator.WantCode(t, err, call.CodeNotFound)
			_, err = c.MailboxExport(ctx, operate.MailboxExport{Account: "carol@local.test"})
			operator.WantCode(t, err, call.CodeNotFound)
		})
	}
}

// A message that cannot be read is named in what goes out, and the rest follows.
func TestWhatCannotBeReadIsNamed(t *testing.T) {
	w, disk := kept(t)
	c, ctx := operate.Direct(w.Operator), t.Context()
	_, err := c.MailboxAdd(ctx, operate.MailboxAdd{Account: "alice@local.test", Source: "x", Folder: "Work", Messages: []operate.MailboxIncome{letter("one", 0), letter("two", 0)}})
	operator.Check(t, err)
	broken := false
	for _, dir := range walk(t, disk, root) {
		if names, err := disk.List(dir); err == nil && strings.HasSuffix(dir, "/new") || strings.HasSuffix(dir, "/cur") {
			for _, n := range names {
				if !broken {
					broken = true
					f, err := disk.Create(dir+"/"+n, "")
					operator.Check(t, err)
					_, err = f.Write([]byte("Subject: one\n\nanother text that is longer\n"))
					operator.Check(t, errors.Join(err, f.Close()))
				}
			}
		}
	}
	if !broken {
		t.Fatal("no message lies on the disk")
	}
	s, err := c.MailboxExport(ctx, operate.MailboxExport{Account: "alice@local.test"})
	operator.Check(t, err)
	defer s.Close()
	whole, odd := 0, 0
	operator.Check(t, s.Each(func(operate.ExportedFolder) error { return nil }, func(m operate.ExportedMessage) error {
		if m.Damage+m.Remark == "" {
			whole++
		} else {
			odd++
		}
		return nil
	}))
	if whole != 1 || odd != 1 {
		t.Errorf("%d are whole, and of %d something is said", whole, odd)
	}
}

// walk are the folders below one.
func walk(t *testing.T, disk vfs.FS, dir string) (all []string) {
	t.Helper()
	names, err := disk.List(dir)
	operator.Check(t, err)
	for _, n := range names {
		if info, err := disk.Stat(dir + "/" + n); err == nil && info.IsDir() {
			all = append(append(all, dir+"/"+n), walk(t, disk, dir+"/"+n)...)
		}
	}
	return all
}

// What makes no sense is refused, and what is not there is said.
func TestMailThatCannotComeIn(t *testing.T) {
	w, _ := kept(t)
	c, ctx := operate.Direct(w.Operator), t.Context()
	good := letter("one", 0)
	with := func(change func(m *operate.MailboxIncome)) []operate.MailboxIncome {
		m := good
		change(&m)
		return []operate.MailboxIncome{m}
	}
	for name, r := range map[string]struct {
		add  operate.MailboxAdd
		want call.Code
	}{
		"nobody's":           {operate.MailboxAdd{Account: "carol@local.test", Folder: "Work", Messages: []operate.MailboxIncome{good}}, call.CodeNotFound},
		"no account":         {operate.MailboxAdd{Account: "alice", Folder: "Work"}, call.CodeInvalid},
		"a use of nothing":   {operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Use: "\\Nothing"}, call.CodeInvalid},
		"no origin":          {operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Messages: with(func(m *operate.MailboxIncome) { m.Origin = "x" })}, call.CodeInvalid},
		"fewer than nothing": {operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Messages: with(func(m *operate.MailboxIncome) { m.Size = -1 })}, call.CodeInvalid},
		"no digest":          {operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Messages: with(func(m *operate.MailboxIncome) { m.Digest = "zz" })}, call.CodeInvalid},
		"no name":            {operate.MailboxAdd{Account: "alice@local.test", Folder: "a//b", Messages: []operate.MailboxIncome{good}}, call.CodeInvalid},
		"too many at once":   {operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Messages: slices.Repeat([]operate.MailboxIncome{good}, mailboxes.MaxAdd+1)}, call.CodeInvalid},
	} {
		if _, err := c.MailboxAdd(ctx, r.add); operator.Code(err) != r.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := c.MailboxImport(ctx, operate.MailboxSource{Account: "alice@local.test"}, nil)
	operator.WantCode(t, err, call.CodeInvalid)
	err = c.MailboxRebuild(ctx, operate.MailboxRef{}, nil)
	operator.WantCode(t, err, call.CodeInvalid)
	for _, list := range []func() error{
		func() error { return c.MailboxList(ctx, operate.MailboxRef{Account: "bob@local.test"}, nil) },
		func() error { return c.MailboxShow(ctx, operate.MailboxRef{Account: "bob@local.test"}, nil) },
	} {
		if err := list(); operator.Code(err) != call.CodeNotFound || !strings.Contains(err.Error(), "has no mailbox") {
			t.Errorf("of a mailbox that is not there: %v", err)
		}
	}
	_, err = c.MailboxAdd(ctx, operate.MailboxAdd{Account: "alice@local.test", Folder: "Work", Messages: []operate.MailboxIncome{good}})
	operator.Check(t, err)
	err = c.MailboxShow(ctx, operate.MailboxRef{Account: "alice@local.test", Folder: "None"}, nil)
	operator.WantCode(t, err, call.CodeNotFound)
	operator.Check(t, c.MailboxUIDs(ctx, operate.MailboxRef{Account: "bob@local.test"}, nil)) // there are none
	operator.Check(t, c.MailboxImport(ctx, operate.MailboxSource{Account: "bob@local.test", Source: "y", DryRun: true}, nil))
	if s := w.Story(t, "bob@local.test"); strings.Contains(s, "moved in") {
		t.Errorf("a trial is told:\n%s", s)
	}
}

// What a mailbox holds and may hold is told with it, and who is nearly full stands in the status.
func TestRoomIsTold(t *testing.T) {
	w, _ := kept(t)
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	alice := operator.Address(t, "alice@local.test")
	k, err := quota.Open(t.Context(), st, quota.Options{
		Count: func(context.Context, mail.Address) (quota.Usage, error) {
			return quota.Usage{Octets: 95, Messages: 1}, nil
		},
		Accounts: func(context.Context) ([]mail.Address, error) { return []mail.Address{alice}, nil },
		Limits:   quota.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	operator.Check(t, err)
	t.Cleanup(k.Close)
	k.Adjust(quota.Policy{Of: func(mail.Address) (quota.Quota, quota.Quota) {
		return quota.Quota{Octets: 100, Messages: quota.Unbounded}, quota.Quota{Octets: quota.Unbounded, Messages: quota.Unbounded}
	}, Warn: 90, Clear: 80})
	w.With(func(o *operate.Options) { o.Quota = k })
	c, ctx := operate.Direct(w.Operator), t.Context()
	octets := int64(100)
	set, err := c.AccountSet(ctx, operate.AccountSet{Address: "alice@local.test", QuotaOctets: &octets})
	operator.Check(t, err)
	if set.Mailbox == nil || set.Mailbox.Own.Octets != 100 || set.Mailbox.Used.Octets != 95 {
		t.Errorf("%+v", set.Mailbox)
	}
	if s, err := c.Status(ctx); err != nil || s.Filling == nil || s.Filling.Nearly != 1 || len(s.Filling.First) != 1 || s.Filling.First[0].Account != "alice@local.test" {
		t.Errorf("the status says %+v, %v", s.Filling, err)
	}
	for n, want := range map[int64]string{0: "its domain's", quota.Unbounded: "none", 7: "7"} {
		if got := mailboxes.QuotaText(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
