package mailbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// model is a folder as its readers must see it: which message each UID is, and its flags.
type model struct {
	subject map[UID]string
	flags   map[UID]Flags
	ever    map[UID]string // every UID that was told, with its message
	next    UID
	modseq  ModSeq
}

// modelled is a mailbox, two sessions of which each keeps a view of its own, and other programs.
type modelled struct {
	t    *testing.T
	mem  *vfs.MemFS
	site *site
	at   map[string]*model
	view map[string]*view
	n    int
}

// view is what a session knows by State once and Since from then on.
type view struct {
	m       *Mailbox
	highest ModSeq
	flags   map[UID]Flags
}

var folders = []string{Inbox, "Sent"}

// Whatever readers, other programs, restarts and power cuts do in whatever order: a UID is one
// message for ever, mod-sequences only grow, what was acknowledged is there, and a view that is
// kept by Since is that of a fresh State.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &modelled{t: t, at: map[string]*model{}}
		for _, name := range folders {
			w.at[name] = &model{subject: map[UID]string{}, flags: map[UID]Flags{}, ever: map[UID]string{}, modseq: 1}
		}
		w.start(vfs.NewCrashableMem())
		defer func() { w.site.root.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  w.append,
			"store":   w.store,
			"move":    w.move,
			"expunge": w.expunge,
			"arrive":  w.arrive,
			"rename":  w.rename,
			"vanish":  w.vanish,
			"restart": func(*rapid.T) { w.site.root.Close(); w.start(w.mem) },
			"power": func(*rapid.T) {
				after := w.mem.CrashClone(vfs.CrashCloneCfg{})
				w.site.root.Close()
				w.start(after)
			},
			"": w.compare,
		})
	})
}

func (w *modelled) start(mem *vfs.MemFS) {
	w.mem, w.site, w.view = mem, open(w.t, mem, "/mail"), map[string]*view{}
	for _, name := range folders {
		m, err := w.site.user.Select(context.Background(), name, false)
		check(w.t, err)
		v := &view{m: m, flags: map[UID]Flags{}}
		st := m.State()
		v.highest = st.HighestModSeq
		for _, msg := range st.Messages {
			v.flags[msg.UID] = msg.Flags
		}
		w.view[name] = v
	}
}

func (w *modelled) folder(rt *rapid.T) (string, *model, *Mailbox) {
	name := rapid.SampledFrom(folders).Draw(rt, "folder")
	return name, w.at[name], w.view[name].m
}

func drawFlags(rt *rapid.T) Flags {
	return NewFlags(System(rapid.IntRange(0, 31).Draw(rt, "system")), rapid.SampledFrom([][]string{nil, {"$Forwarded"}, {"a"}, {"a", "b"}}).Draw(rt, "words")...)
}

func (w *modelled) some(rt *rapid.T, m *model) (uids []UID) {
	for _, uid := range slices.Sorted(maps.Keys(m.subject)) {
		if rapid.Bool().Draw(rt, "named") {
			uids = append(uids, uid)
		}
	}
	return append(uids, 9999)
}

func (w *modelled) put(rt *rapid.T, m *model, uid UID, subject string, f Flags) {
	if was, given := m.ever[uid]; given && was != subject || uid < m.next {
		rt.Fatalf("UID %d was %q and is %q; the next was told as %d", uid, was, subject, m.next)
	}
	m.subject[uid], m.flags[uid], m.ever[uid] = subject, f, subject
	m.next = uid + 1
}

func (m *model) drop(uid UID) {
	delete(m.subject, uid)
	delete(m.flags, uid)
}

func (w *modelled) append(rt *rapid.T) {
	_, m, mb := w.folder(rt)
	f := drawFlags(rt)
	w.n++
	subject := fmt.Sprint("appended", w.n)
	w.put(rt, m, put(w.t, mb, text(subject), f), subject, f)
}

func (w *modelled) store(rt *rapid.T) {
	_, m, mb := w.folder(rt)
	uids, op, f := w.some(rt, m), rapid.SampledFrom([]Op{Replace, Add, Remove}).Draw(rt, "op"), drawFlags(rt)
	s, err := mb.Store(context.Background(), uids, op, f, nil)
	check(w.t, err)
	if len(s.Messages) != len(uids)-1 || len(s.Gone) != 1 {
		rt.Fatalf("%v became %+v", uids, s)
	}
	for _, msg := range s.Messages {
		m.flags[msg.UID] = op.apply(m.flags[msg.UID], f)
		if msg.Flags != m.flags[msg.UID] {
			rt.Fatalf("%d has %v, not %v", msg.UID, msg.Flags, m.flags[msg.UID])
		}
	}
}

func (w *modelled) move(rt *rapid.T) {
	name, m, mb := w.folder(rt)
	uids := w.some(rt, m)
	other := folders[1-slices.Index(folders, name)]
	keep := rapid.Bool().Draw(rt, "copy")
	act := mb.Move
	if keep {
		act = mb.Copy
	}
	pairs, err := act(context.Background(), uids, w.view[other].m)
	check(w.t, err)
	if len(pairs) != len(uids)-1 {
		rt.Fatalf("%v became %v", uids, pairs)
	}
	for _, p := range pairs {
		w.put(rt, w.at[other], p.To, m.subject[p.From], m.flags[p.From])
		if !keep {
			m.drop(p.From)
		}
	}
}

func (w *modelled) expunge(rt *rapid.T) {
	_, m, mb := w.folder(rt)
	uids := w.some(rt, m)
	if rapid.Bool().Draw(rt, "all") {
		uids = nil
	}
	gone, err := mb.Expunge(context.Background(), uids)
	check(w.t, err)
	for _, uid := range slices.Collect(maps.Keys(m.subject)) {
		want := m.flags[uid].Has(Deleted) && (uids == nil || slices.Contains(uids, uid))
		if want != slices.Contains(gone, uid) {
			rt.Fatalf("UID %d: gone should be %v", uid, want)
		}
		if want {
			m.drop(uid)
		}
	}
}

// place is the folder of a mailbox on the disk.
func (w *modelled) place(name string) string {
	return path.Join("/mail/alice", map[string]string{Inbox: "", "Sent": ".Sent"}[name])
}

func (w *modelled) syncDir(dir string) {
	d, err := w.mem.OpenDir(dir)
	check(w.t, err)
	check(w.t, d.Sync())
	check(w.t, d.Close())
}

// arrive has a program deliver a message, durably, with flags or without.
func (w *modelled) arrive(rt *rapid.T) {
	name, _, _ := w.folder(rt)
	w.n++
	sub, info := "new", ""
	f := Flags{System: System(rapid.IntRange(0, 31).Draw(rt, "system"))}
	if rapid.Bool().Draw(rt, "flags") {
		sub, info = rapid.SampledFrom([]string{"new", "cur"}).Draw(rt, "sub"), (&keywordLetters{}).name("x:2,", f)[1:]
	} else {
		f = Flags{}
	}
	dir := path.Join(w.place(name), sub)
	file, err := w.mem.Create(fmt.Sprintf("%s/17%08d.x%d.host%s", dir, w.n, w.n, info), "")
	check(w.t, err)
	_, err = file.Write([]byte(fmt.Sprintf("Subject: arrived%d\n\nx\n", w.n)))
	check(w.t, err)
	check(w.t, file.Sync())
	check(w.t, file.Close())
	w.syncDir(dir)
	check(w.t, w.look(rt, name, func(m *model, fresh []Message) error {
		if len(fresh) != 1 || fresh[0].Flags != f {
			return fmt.Errorf("%+v arrived", fresh)
		}
		w.put(rt, m, fresh[0].UID, fmt.Sprint("arrived", w.n), f)
		return nil
	}))
}

// look refreshes, and has the messages judged that the model does not have.
func (w *modelled) look(rt *rapid.T, name string, judge func(*model, []Message) error) error {
	m := w.at[name]
	if _, err := w.view[name].m.Refresh(context.Background()); err != nil {
		return err
	}
	var fresh []Message
	for _, msg := range w.view[name].m.State().Messages {
		if _, known := m.subject[msg.UID]; !known {
			fresh = append(fresh, msg)
		}
	}
	return judge(m, fresh)
}

func (w *modelled) files(name string) []string {
	files, err := w.mem.List(path.Join(w.place(name), "cur"))
	check(w.t, err)
	slices.Sort(files)
	return files
}

// rename has a program give a message other flags, and a field.
func (w *modelled) rename(rt *rapid.T) {
	name, m, mb := w.folder(rt)
	files := w.files(name)
	if len(files) == 0 {
		return
	}
	file := rapid.SampledFrom(files).Draw(rt, "file")
	f := Flags{System: System(rapid.IntRange(0, 31).Draw(rt, "system"))}
	base, _ := split(file)
	base = identity(base) + rapid.SampledFrom([]string{"", ",U=7", ",S=3"}).Draw(rt, "field")
	to := (&keywordLetters{}).name(base+":2,", f)
	dir := path.Join(w.place(name), "cur")
	uid := w.uidOf(name, file)
	check(w.t, w.mem.Rename(dir+"/"+file, dir+"/"+to))
	w.syncDir(dir)
	m.flags[uid] = (&keywordLetters{}).merged(m.flags[uid], file, to)
	refresh(w.t, mb)
}

// vanish has a program remove a message.
func (w *modelled) vanish(rt *rapid.T) {
	name, m, mb := w.folder(rt)
	files := w.files(name)
	if len(files) == 0 {
		return
	}
	file := rapid.SampledFrom(files).Draw(rt, "file")
	uid := w.uidOf(name, file)
	dir := path.Join(w.place(name), "cur")
	check(w.t, w.mem.Remove(dir+"/"+file))
	w.syncDir(dir)
	m.drop(uid)
	refresh(w.t, mb)
}

func (w *modelled) uidOf(name, file string) UID {
	for _, e := range w.view[name].m.folder.book.entries {
		if e.file == file {
			return e.uid
		}
	}
	w.t.Fatalf("no message has the file %s", file)
	return 0
}

// compare looks at everything.
func (w *modelled) compare(rt *rapid.T) {
	for _, name := range folders {
		m, v := w.at[name], w.view[name]
		st := v.m.State()
		if st.HighestModSeq < m.modseq || st.UIDNext < m.next {
			rt.Fatalf("%s: highest %d after %d, next %d after %d", name, st.HighestModSeq, m.modseq, st.UIDNext, m.next)
		}
		m.modseq, m.next = st.HighestModSeq, st.UIDNext
		if len(st.Messages) != len(m.subject) {
			rt.Fatalf("%s has %d messages, not %d", name, len(st.Messages), len(m.subject))
		}
		for _, msg := range st.Messages {
			if m.flags[msg.UID] != msg.Flags || m.subject[msg.UID] == "" {
				rt.Fatalf("%s: UID %d has %v, not %v", name, msg.UID, msg.Flags, m.flags[msg.UID])
			}
		}
		if n := len(st.Messages); n > 0 {
			uid := st.Messages[rand.IntN(n)].UID
			if is := subjectOf(w.t, v.m, uid); is != m.subject[uid] {
				rt.Fatalf("%s: UID %d is %q, not %q", name, uid, is, m.subject[uid])
			}
		}
		c := v.m.Since(v.highest)
		for _, uid := range c.Gone {
			delete(v.flags, uid)
		}
		for _, msg := range c.Messages {
			v.flags[msg.UID] = msg.Flags
		}
		v.highest = c.HighestModSeq
		if !maps.Equal(v.flags, m.flags) {
			rt.Fatalf("%s: by Since %v, and %v", name, v.flags, m.flags)
		}
	}
}
