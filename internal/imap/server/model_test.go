package server_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/imap/server"
)

const (
	defaultSequences = 20000
	worlds           = 4  // that are tried at once
	perWorld         = 50 // sequences in one world
)

// Random sequences of commands from several sessions on one mailbox. A model knows what the
// mailbox must hold; each session is held to what its client was told.
//
// The seed is printed, and another in each run; SALLYPORT_SEED repeats one, and
// SALLYPORT_SEQUENCES changes how many there are: make model takes half a million.
func TestModel(t *testing.T) {
	total, seed := fromEnv(t, "SALLYPORT_SEQUENCES", defaultSequences), uint64(fromEnv(t, "SALLYPORT_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for i := range worlds {
		wg.Go(func() {
			for n := i * perWorld; n < total && !t.Failed(); n += worlds * perWorld {
				m := newModel(t, rand.New(rand.NewPCG(seed, uint64(n))))
				for k := 0; k < perWorld && n+k < total && m.fault == ""; k++ {
					m.sequence()
				}
				if m.fault != "" {
					t.Errorf("seed %d: %s\n%s", seed, m.fault, m.transcript.String())
				}
				m.close()
			}
		})
	}
	wg.Wait()
}

func fromEnv(t *testing.T, name string, or int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return or
}

// truth is what a message must be.
type truth struct {
	flags map[string]bool
	token string // its subject
}

// model is one mailbox and its sessions.
type model struct {
	w          *world
	rnd        *rand.Rand
	sessions   []*viewer
	messages   map[int]*truth // by UID
	everGiven  map[int]bool
	next       int // UIDNEXT
	tokens     int
	transcript bytes.Buffer
	fault      string
	// crowd: others change the mailbox at the same time, so that nobody knows what must be in
	// it; given are the UIDs that all of them were told to be new.
	crowd bool
	given *sync.Map
}

// viewer is a client and what it knows.
type viewer struct {
	*client
	m        *model
	name     string
	enables  string
	qresync  bool
	uidOnly  bool
	uids     []int // by sequence number; 0: not known yet, which stand at the end with UIDONLY
	flags    map[int]string
	modseqs  map[int]int
	highest  int
	validity int
	open     bool
}

var modelFlags = []string{`\Seen`, `\Flagged`, `\Deleted`, `\Answered`, "kw1", "$Forwarded"}

func newModel(t *testing.T, rnd *rand.Rand) *model {
	m := &model{rnd: rnd, messages: map[int]*truth{}, everGiven: map[int]bool{}, next: 1}
	m.w = newWorldOn(t, vfs.NewMem(), func(o *server.Options) { o.Limits.IdleTimeout = time.Minute })
	first := rnd.IntN(4)
	for i := range 3 {
		m.sessions = append(m.sessions, m.viewer(first+i))
	}
	return m
}

// viewer signs somebody in: every fourth knows nothing, CONDSTORE, QRESYNC or UIDONLY.
func (m *model) viewer(i int) *viewer {
	v := &viewer{client: m.w.login(), m: m, name: string(rune('A' + i)), enables: []string{"", "CONDSTORE", "QRESYNC", "UIDONLY"}[i%4]}
	v.qresync, v.uidOnly = v.enables == "QRESYNC", v.enables == "UIDONLY"
	v.enable()
	v.choose()
	return v
}

func (v *viewer) enable() {
	if v.enables != "" {
		v.run("ENABLE " + v.enables)
	}
}

// ask gives a command that speaks of sequence numbers, or is answered by them, as this client may.
func (v *viewer) ask(command string) {
	if v.uidOnly {
		command = "UID " + command
	}
	v.run(command)
}

// Several sessions at once on one mailbox: each keeps its own view whole, and when they are
// done, all know the same, as does one that comes anew.
func TestCrowdOnOneMailbox(t *testing.T) {
	const sessions, acts = 6, 300
	seed := uint64(fromEnv(t, "SALLYPORT_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("seed %d", seed)
	w, given := newWorldOn(t, vfs.NewMem()), &sync.Map{}
	views := make([]*viewer, sessions+1)
	sit := func(i int) *viewer {
		m := &model{w: w, rnd: rand.New(rand.NewPCG(seed, uint64(i))), messages: map[int]*truth{}, next: 50, crowd: true, given: given}
		views[i] = m.viewer(i)
		return views[i]
	}
	var wg sync.WaitGroup
	for i := range sessions {
		v := sit(i)
		wg.Go(func() {
			for n := 0; n < acts && v.m.fault == ""; n++ {
				v.act()
			}
		})
	}
	wg.Wait()
	sit(sessions)
	for _, v := range views {
		v.run("NOOP")
		v.run("UID FETCH 1:* (FLAGS)")
		if first := views[0]; v.m.fault == "" && (!slices.Equal(v.uids, first.uids) || !maps.Equal(v.here(), first.here())) {
			v.m.fail("session %s knows %v, and session %s %v", v.name, v.here(), first.name, first.here())
		}
		if v.m.fault != "" {
			t.Fatalf("%s\n%s", v.m.fault, v.m.transcript.String())
		}
	}
}

// here are the flags of the messages that the client knows.
func (v *viewer) here() map[int]string {
	out := map[int]string{}
	for _, u := range v.uids {
		out[u] = v.flags[u]
	}
	return out
}

func (m *model) close() {
	for _, v := range m.sessions {
		_ = v.conn.Close()
	}
	m.w.stop()
}

func (m *model) fail(format string, args ...any) {
	if m.fault == "" {
		m.fault = fmt.Sprintf(format, args...)
	}
}

// sequence is a few commands, after which every session must know what there is.
func (m *model) sequence() {
	for range 4 + m.rnd.IntN(5) {
		if m.fault != "" {
			return
		}
		m.sessions[m.rnd.IntN(len(m.sessions))].act()
	}
	for _, v := range m.sessions {
		v.agree()
	}
	if m.transcript.Len() > 1<<16 {
		m.transcript.Reset()
	}
}

// act does one thing that may be done.
func (v *viewer) act() {
	r := v.m.rnd
	switch n := r.IntN(22); {
	case n < 4 || len(v.m.messages) == 0 && !v.m.crowd:
		v.append()
	case n < 9:
		v.store(r.IntN(2) == 0)
	case n < 11:
		v.run("EXPUNGE")
		v.m.expunge(nil)
	case n == 11:
		v.uidExpunge()
	case n == 12:
		v.copy()
	case n == 13:
		v.run("NOOP")
	case n == 14:
		v.ask("SEARCH ALL")
	case n == 15:
		v.run("UID FETCH 1:* (FLAGS)")
	case n == 16:
		v.ask("FETCH 1:* (UID MODSEQ)")
	case n == 17:
		v.leave()
	case n == 18:
		v.replace()
	case n == 19:
		v.drop()
	default:
		v.pipelined()
	}
}

func (v *viewer) append() {
	m := v.m
	m.tokens++
	token := "m" + strconv.Itoa(m.tokens)
	text := "Subject: " + token + "\r\n\r\nx\r\n"
	flags := m.flags()
	v.run(fmt.Sprintf("APPEND INBOX (%s) {%d+}\r\n%s", strings.Join(flags, " "), len(text), text))
	m.arrived(&truth{set(flags), token})
}

func (m *model) arrived(t *truth) {
	if m.crowd {
		return
	}
	if m.everGiven[m.next] {
		m.fail("the UID %d was given before", m.next)
	}
	m.messages[m.next], m.everGiven[m.next] = t, true
	m.next++
}

func set(words []string) map[string]bool {
	out := map[string]bool{}
	for _, w := range words {
		out[w] = true
	}
	return out
}

// flags are some, in an order of chance.
func (m *model) flags() (out []string) {
	for _, f := range modelFlags {
		if m.rnd.IntN(4) == 0 {
			out = append(out, f)
		}
	}
	return out
}

// some picks a message that the client knows; ok is false if there is none.
func (v *viewer) some() (seq int, ok bool) {
	if len(v.uids) == 0 {
		return 0, false
	}
	return 1 + v.m.rnd.IntN(len(v.uids)), true
}

// storing is a STORE and what it must do.
func (v *viewer) storing(uid bool) (command string, effect func()) {
	m := v.m
	seq, there := v.some()
	if !there || v.uids[seq-1] == 0 {
		return "NOOP", func() {}
	}
	u := v.uids[seq-1]
	op, flags := []string{"", "+", "-"}[m.rnd.IntN(3)], m.flags()
	if m.rnd.IntN(3) == 0 {
		op, flags = "+", []string{`\Deleted`}
	}
	silent := []string{"", ".SILENT"}[m.rnd.IntN(2)]
	command = fmt.Sprintf("STORE %d %sFLAGS%s (%s)", seq, op, silent, strings.Join(flags, " "))
	if uid || v.uidOnly {
		command = fmt.Sprintf("UID STORE %d %sFLAGS%s (%s)", u, op, silent, strings.Join(flags, " "))
	}
	return command, func() {
		t := m.messages[u]
		if t == nil {
			return
		}
		if op == "" {
			t.flags = map[string]bool{}
		}
		for _, f := range flags {
			if op == "-" {
				delete(t.flags, f)
			} else {
				t.flags[f] = true
			}
		}
		if silent != "" { // the client knows it without being told
			delete(v.flags, u)
		}
	}
}

func (v *viewer) store(uid bool) {
	command, effect := v.storing(uid)
	v.run(command)
	effect()
}

// expunge removes what is flagged as deleted; among uids, unless nil.
func (m *model) expunge(uids []int) {
	for u, t := range m.messages {
		if t.flags[`\Deleted`] && (uids == nil || slices.Contains(uids, u)) {
			delete(m.messages, u)
		}
	}
}

func (v *viewer) uidExpunge() {
	a := 1 + v.m.rnd.IntN(v.m.next)
	b := a + v.m.rnd.IntN(5)
	v.run(fmt.Sprintf("UID EXPUNGE %d:%d", a, b))
	var uids []int
	for u := a; u <= b; u++ {
		uids = append(uids, u)
	}
	// "largest:beyond" holds the largest UID that the client knows: none is beyond what was given.
	v.m.expunge(uids)
}

func (v *viewer) copy() {
	seq, there := v.some()
	if !there || v.uids[seq-1] == 0 {
		return
	}
	m, u := v.m, v.uids[seq-1]
	move := m.rnd.IntN(2) == 0
	named := map[bool]int{true: u, false: seq}[v.uidOnly]
	v.ask(map[bool]string{true: "MOVE ", false: "COPY "}[move] + strconv.Itoa(named) + " INBOX")
	if t := m.messages[u]; t != nil {
		m.arrived(&truth{maps.Clone(t.flags), t.token})
		if move {
			delete(m.messages, u)
		}
	}
}

// replace puts a message in the place of one that the client knows. RFC 8508.
func (v *viewer) replace() {
	seq, there := v.some()
	if !there || v.uids[seq-1] == 0 {
		return
	}
	m, u := v.m, v.uids[seq-1]
	m.tokens++
	token := "m" + strconv.Itoa(m.tokens)
	text := "Subject: " + token + "\r\n\r\nx\r\n"
	flags := m.flags()
	command := "REPLACE " + strconv.Itoa(seq)
	if m.rnd.IntN(2) == 0 || v.uidOnly {
		command = "UID REPLACE " + strconv.Itoa(u)
	}
	v.run(fmt.Sprintf("%s INBOX (%s) {%d+}\r\n%s", command, strings.Join(flags, " "), len(text), text))
	if m.messages[u] != nil {
		m.arrived(&truth{set(flags), token})
		delete(m.messages, u)
	}
}

// drop loses the connection, and comes back: with QRESYNC, with what the client remembers.
func (v *viewer) drop() {
	_ = v.conn.Close()
	v.client = v.m.w.login()
	v.enable()
	v.choose()
}

// leave closes the mailbox and opens it again: with QRESYNC, from what the client remembers.
func (v *viewer) leave() {
	expunge := v.m.rnd.IntN(4) == 0
	if expunge {
		v.run("CLOSE")
		v.m.expunge(nil)
	} else {
		v.run("UNSELECT")
	}
	v.open = false
	v.choose()
}

func (v *viewer) choose() {
	if v.qresync && v.highest > 0 && !slices.Contains(v.uids, 0) {
		known := v.uids
		v.uids, v.open = slices.Clone(known), true
		v.run(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", v.validity, v.highest))
		return
	}
	v.uids, v.flags, v.modseqs, v.open = nil, map[int]string{}, map[int]int{}, true
	v.run("SELECT INBOX")
	v.ask("FETCH 1:* (UID FLAGS)")
}

// pipelined gives several commands before the first is answered. They must be done in order.
func (v *viewer) pipelined() {
	var commands []string
	var effects []func()
	for range 2 {
		command, effect := v.storing(true)
		commands, effects = append(commands, command), append(effects, effect)
	}
	commands = append(commands, "EXPUNGE", "UID FETCH 1:* FLAGS")
	effects = append(effects, func() { v.m.expunge(nil) }, func() {})
	v.run(commands...)
	for _, e := range effects {
		e()
	}
}

// run gives commands at once, and takes in what is answered.
func (v *viewer) run(commands ...string) {
	var text strings.Builder
	for i, c := range commands {
		fmt.Fprintf(&text, "%s%d %s\r\n", v.name, v.tag+1+i, c)
	}
	fmt.Fprintf(&v.m.transcript, "C%s: %s", v.name, text.String())
	v.send(text.String())
	for _, c := range commands {
		v.tag++
		tag := v.name + strconv.Itoa(v.tag) + " "
		for {
			line, err := v.next()
			if fmt.Fprintf(&v.m.transcript, "S%s: %s\n", v.name, line); err != nil {
				v.m.fail("the connection broke: %v", err)
				return
			}
			if rest, answer := strings.CutPrefix(line, tag); answer {
				v.answered(c, rest)
				break
			}
			if v.told(c, line); v.m.fault != "" {
				return
			}
		}
	}
}

func (v *viewer) answered(command, rest string) {
	empty := strings.HasPrefix(command, "FETCH 1:*") && len(v.uids) == 0 && strings.HasPrefix(rest, "BAD")
	gone := strings.HasPrefix(rest, "NO [EXPUNGEISSUED]")
	if !strings.HasPrefix(rest, "OK") && !empty && !gone {
		v.m.fail("%q was answered %q", command, rest)
	}
	v.code(rest)
}

// isNew: no UID is given twice, whoever asks.
func (v *viewer) isNew(text string) {
	words := strings.Fields(strings.ReplaceAll(text, "]", " "))
	at := slices.IndexFunc(words, func(w string) bool { return w == "[APPENDUID" || w == "[COPYUID" })
	if at < 0 || v.m.given == nil {
		return
	}
	uid := words[at+2]
	if words[at] == "[COPYUID" {
		uid = words[at+3]
	}
	if _, before := v.m.given.LoadOrStore(uid, v.name); before {
		v.m.fail("the UID %s was given twice", uid)
	}
}

// code takes in what a response code tells.
func (v *viewer) code(text string) {
	v.isNew(text)
	if _, after, found := strings.Cut(text, "HIGHESTMODSEQ "); found {
		v.rises(number(after))
	}
	if _, after, found := strings.Cut(text, "UIDVALIDITY "); found {
		n := number(after)
		if v.validity != 0 && v.validity != n {
			v.m.fail("UIDVALIDITY was %d and is %d", v.validity, n)
		}
		v.validity = n
	}
}

// rises: mod-sequences of a mailbox only grow.
func (v *viewer) rises(modseq int) {
	if modseq < v.highest {
		v.m.fail("HIGHESTMODSEQ fell from %d to %d", v.highest, modseq)
	}
	v.highest = max(v.highest, modseq)
}

func number(text string) (n int) {
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// told takes in one untagged response.
func (v *viewer) told(command, line string) {
	words := strings.SplitN(strings.TrimPrefix(line, "* "), " ", 3)
	switch {
	case words[0] == "OK":
		v.code(line)
	case words[0] == "VANISHED":
		v.vanished(command, strings.TrimPrefix(strings.TrimPrefix(line, "* VANISHED "), "(EARLIER) "), strings.Contains(line, "(EARLIER)"))
	case len(words) < 2:
	case words[1] == "EXISTS":
		v.exists(number(words[0]), strings.HasPrefix(command, "SELECT"))
	case words[1] == "EXPUNGE":
		n := number(words[0])
		v.mayExpunge(command)
		if n < 1 || n > len(v.uids) || v.qresync || v.uidOnly {
			v.m.fail("session %s was told %q and knows %d messages", v.name, line, len(v.uids))
			return
		}
		v.uids = slices.Delete(v.uids, n-1, n)
	case words[1] == "UIDFETCH" && v.uidOnly:
		v.named(number(words[0]), words[2])
	case words[1] == "FETCH" && !v.uidOnly:
		v.fetched(number(words[0]), words[2])
	case words[1] == "FETCH" || words[1] == "UIDFETCH":
		v.m.fail("session %s, which enabled %q, was told %q", v.name, v.enables, line)
	case words[0] == "SEARCH":
		if found := len(strings.Fields(line)) - 2; found != len(v.uids) {
			v.m.fail("session %s knows %d messages and finds %d", v.name, len(v.uids), found)
		}
	}
}

// mayExpunge: RFC 9051 §7.5.1.
func (v *viewer) mayExpunge(command string) {
	for _, verb := range []string{"FETCH", "STORE", "SEARCH"} {
		if strings.HasPrefix(command, verb) {
			v.m.fail("session %s was told of messages that are gone during %q", v.name, command)
		}
	}
}

func (v *viewer) exists(n int, fresh bool) {
	if fresh && v.qresync && len(v.uids) > 0 {
		return // what is known is brought up to date by what follows
	}
	if n < len(v.uids) {
		v.m.fail("session %s knows %d messages and is told of %d", v.name, len(v.uids), n)
		return
	}
	for len(v.uids) < n {
		v.uids = append(v.uids, 0)
	}
}

func (v *viewer) vanished(command, set string, earlier bool) {
	if !earlier {
		v.mayExpunge(command)
	}
	for _, r := range strings.Split(set, ",") {
		from, to, isRange := strings.Cut(r, ":")
		if !isRange {
			to = from
		}
		for u := number(from); u <= number(to); u++ {
			i := slices.Index(v.uids, u)
			if i < 0 && !earlier {
				i = v.unknown(u)
			}
			if i >= 0 {
				v.uids = slices.Delete(v.uids, i, i+1)
			} else if !earlier {
				v.m.fail("session %s was told that %d vanished, and never knew it", v.name, u)
			}
			if v.m.messages[u] != nil && v.m.messages[u].flags != nil && earlier {
				v.m.fail("session %s was told that %d vanished, and it is there", v.name, u)
			}
		}
	}
}

// named takes in the items of a message that is named by its UID, where numbers mean nothing.
func (v *viewer) named(u int, items string) {
	i := slices.Index(v.uids, u)
	if i < 0 {
		if i = v.unknown(u); i < 0 {
			v.m.fail("session %s knows %v and is told of %d", v.name, v.uids, u)
			return
		}
		v.uids = slices.Delete(v.uids, i, i+1)
		for i = 0; i < len(v.uids) && v.uids[i] != 0 && v.uids[i] < u; {
			i++
		}
		v.uids = slices.Insert(v.uids, i, u)
	}
	v.fetched(i+1, "UID "+strconv.Itoa(u)+" "+items)
}

// unknown finds a message that the client has not asked for yet and that can have a UID.
func (v *viewer) unknown(u int) int {
	if v.uidOnly {
		return slices.Index(v.uids, 0)
	}
	for i, have := range v.uids {
		after := slices.IndexFunc(v.uids[i:], func(n int) bool { return n != 0 })
		if have == 0 && (after < 0 || v.uids[i+after] > u) {
			return i
		}
		if have > u {
			break
		}
	}
	return -1
}

// fetched takes in the items of a message.
func (v *viewer) fetched(n int, items string) {
	u := 0
	if _, after, found := strings.Cut(items, "UID "); found {
		u = number(after)
	}
	if v.qresync && u != 0 && n > len(v.uids) && strings.HasPrefix(lastCommand(v), "SELECT") {
		v.uids = append(v.uids, u) // since the client was here
	}
	if n < 1 || n > len(v.uids) {
		v.m.fail("session %s knows %d messages and is told of number %d", v.name, len(v.uids), n)
		return
	}
	if u == 0 {
		u = v.uids[n-1]
	}
	if known := v.uids[n-1]; known != 0 && known != u {
		v.m.fail("session %s knows number %d as UID %d and is told that it is %d", v.name, n, known, u)
	}
	v.uids[n-1] = u
	if n > 1 && u != 0 && v.uids[n-2] >= u {
		v.m.fail("session %s: UIDs do not grow: %v", v.name, v.uids)
	}
	if u == 0 {
		return
	}
	if _, after, found := strings.Cut(items, "FLAGS ("); found {
		words, _, _ := strings.Cut(after, ")")
		v.flags[u] = sorted(strings.Fields(words))
	}
	if _, after, found := strings.Cut(items, "MODSEQ ("); found {
		modseq := number(after)
		if modseq < v.modseqs[u] {
			v.m.fail("the mod-sequence of %d fell from %d to %d", u, v.modseqs[u], modseq)
		}
		v.modseqs[u] = modseq
	}
}

// lastCommand is the text of the command that is being answered.
func lastCommand(v *viewer) string {
	text := v.m.transcript.String()
	at := strings.LastIndex(text, "C"+v.name+": ")
	_, rest, _ := strings.Cut(text[max(at, 0)+4:], " ")
	return rest
}

func sorted(words []string) string {
	words = slices.DeleteFunc(words, func(w string) bool { return w == `\Recent` })
	slices.Sort(words)
	return strings.Join(words, " ")
}

// agree holds what the client knows to what must be.
func (v *viewer) agree() {
	v.run("NOOP")
	v.same("what was told", true)
	v.run("UID FETCH 1:* (FLAGS)")
	v.same("what was asked", false)
}

func (v *viewer) same(what string, partly bool) {
	m := v.m
	if m.fault != "" {
		return
	}
	want := slices.Sorted(maps.Keys(m.messages))
	if len(want) != len(v.uids) {
		m.fail("session %s, by %s: it knows %v, and there are %v", v.name, what, v.uids, want)
		return
	}
	for i, u := range want {
		known := v.uids[i]
		if partly && v.uidOnly && slices.Contains(v.uids, 0) {
			known = map[bool]int{true: u}[slices.Contains(v.uids, u)]
		}
		flags, heard := v.flags[u]
		if known == 0 && partly {
			continue
		}
		expected := sorted(slices.Collect(maps.Keys(m.messages[u].flags)))
		if known != u || flags != expected && (heard || !partly) {
			m.fail("session %s, by %s: number %d is UID %d (%s), and must be %d (%s)", v.name, what, i+1, known, flags, u, expected)
		}
	}
}

// stop ends the world before its test does.
func (w *world) stop() {
	w.cancel(context.Canceled)
}
