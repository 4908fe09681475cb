package server_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// act does one thing.
func (b *busy) act() {
	seq, uid := b.some()
	other := []string{"INBOX", "Other"}[b.rnd.IntN(2)]
	switch n := b.rnd.IntN(24); {
	case n < 3:
		b.append(other, 1+b.rnd.IntN(3))
	case n < 7:
		b.run(b.store())
	case n == 7 && len(b.uids) > 20, n == 8 && len(b.uids) > 5:
		b.run([]string{"EXPUNGE", "UID EXPUNGE 11:*"}[b.rnd.IntN(2)])
	case n == 9 && uid != 0:
		b.run([]string{fmt.Sprintf("COPY %d %s", seq, other), fmt.Sprintf("UID COPY %d %s", uid, other)}[b.rnd.IntN(2)])
	case n == 10 && b.mortal(uid):
		b.run([]string{fmt.Sprintf("MOVE %d %s", seq, other), fmt.Sprintf("UID MOVE %d %s", uid, other)}[b.rnd.IntN(2)])
	case n == 11 && b.mortal(uid):
		text := "Subject: replaced\r\n\r\nby another\r\n"
		b.run(fmt.Sprintf("UID REPLACE %d %s (\\Flagged) {%d+}\r\n%s", uid, other, len(text), text))
	case n == 12:
		b.run("NOOP")
	case n == 13:
		b.idle()
	case n == 14:
		b.run("STATUS " + other + " (MESSAGES UIDNEXT UNSEEN)")
	case n == 15 && b.rnd.IntN(3) == 0:
		b.choose(other)
	case n < 18:
		b.run([]string{"SEARCH ALL", "SEARCH FLAGGED", "UID SEARCH UNSEEN", "SEARCH NOT DELETED", "SEARCH KEYWORD kw", "SORT (ARRIVAL) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "UID SEARCH ALL"}[b.rnd.IntN(8)])
	case n < 20:
		b.run("FETCH 1:* (UID FLAGS)")
	case n == 20:
		b.run(b.store(), "UID FETCH 1:* (UID FLAGS)", "NOOP", "UID SEARCH ALL")
	case uid != 0:
		b.read(seq, uid)
	}
}

func (b *busy) append(box string, count int) {
	command := "APPEND " + box
	for range count {
		text := fmt.Sprintf("From: %s <x@example.org>\r\nSubject: %s %d\r\n\r\n%s", b.name, b.name, b.rnd.IntN(1000), strings.Repeat("line of "+b.name+"\r\n", b.rnd.IntN(200)))
		flags := []string{"", `\Seen`, `\Flagged kw`, "kw"}[b.rnd.IntN(4)]
		command += fmt.Sprintf(` (%s) "%02d-Mar-2020 10:00:00 +0000" {%d+}`+"\r\n%s", flags, 1+b.rnd.IntN(28), len(text), text)
	}
	b.run(command)
}

func (b *busy) store() string {
	seq, uid := b.some()
	if uid == 0 {
		return "NOOP"
	}
	flags := []string{`\Seen`, `\Flagged`, `kw`, `\Answered`, `\Seen \Flagged`, ""}[b.rnd.IntN(6)]
	if b.mortal(uid) && b.rnd.IntN(3) == 0 {
		flags = `\Deleted`
	}
	item := []string{"FLAGS", "+FLAGS", "-FLAGS", "+FLAGS.SILENT"}[b.rnd.IntN(4)]
	if strings.HasSuffix(item, "SILENT") { // the client knows it itself, and forgets it here
		delete(b.flags, uid)
		b.mute[uid] = true
	}
	return []string{
		fmt.Sprintf("UID STORE %d %s (%s)", uid, item, flags),
		fmt.Sprintf("UID STORE %d %s (%s)", uid, item, flags),
		fmt.Sprintf("STORE %d %s (%s)", seq, item, flags),
	}[b.rnd.IntN(3)]
}

// read asks what a message is, as a whole and in pieces.
func (b *busy) read(seq, uid int) {
	which := []string{
		fmt.Sprint("FETCH ", seq), fmt.Sprint("UID FETCH ", uid), fmt.Sprintf("UID FETCH %d:%d", uid, uid+3),
		fmt.Sprintf("FETCH %d:*", max(1, len(b.uids)-3)),
	}[b.rnd.IntN(4)]
	from, octets := b.rnd.IntN(300), 1+b.rnd.IntN(500)
	b.run(which + " (UID " + []string{
		"RFC822.SIZE INTERNALDATE BODY.PEEK[]", "ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)]", fmt.Sprintf("BODY.PEEK[]<%d.%d>", from, octets),
		"RFC822.SIZE BODY.PEEK[TEXT] BODY.PEEK[HEADER]", "BODY[]", "BINARY.SIZE[1] PREVIEW",
	}[b.rnd.IntN(6)] + ")")
}

func (b *busy) idle() {
	b.tag++
	tag := b.name + strconv.Itoa(b.tag) + " "
	b.note("C: " + tag + "IDLE")
	b.send(tag + "IDLE\r\n")
	if line, err := b.client.next(); err != nil || !strings.HasPrefix(line, "+ ") {
		b.fail("IDLE: %q %v", line, err)
		return
	}
	time.Sleep(time.Duration(b.rnd.IntN(20)) * time.Millisecond)
	b.send("DONE\r\n")
	b.answer("IDLE", tag)
}

// told takes in an untagged response.
func (b *busy) told(command, line string) {
	words := strings.SplitN(strings.TrimPrefix(line, "* "), " ", 3)
	byNumber := false // EXPUNGE may not be told: RFC 9051 §7.5.1
	for _, verb := range []string{"FETCH", "STORE", "SEARCH", "SORT", "THREAD"} {
		byNumber = byNumber || strings.HasPrefix(command, verb+" ")
	}
	switch {
	case len(words) < 2:
	case words[0] == "OK":
		b.learn(command, strings.TrimPrefix(line, "* OK "))
	case words[0] == "VANISHED":
		for _, u := range expanded(words[1]) {
			i := slices.Index(b.uids, u)
			if i < 0 {
				i = unknownPlace(b.uids, u)
			}
			b.gone(command, i, byNumber)
		}
	case words[1] == "EXPUNGE":
		b.gone(command, number(words[0])-1, byNumber)
	case words[1] == "EXISTS":
		n := number(words[0])
		if n < len(b.uids) {
			b.fail("it knows %d messages and is told of %d", len(b.uids), n)
		}
		b.uids = append(b.uids, make([]int, max(0, n-len(b.uids)))...)
	case words[1] == "RECENT":
		if n := number(words[0]); n > len(b.uids) || b.kind%4 == 3 {
			b.fail("%d of %d messages are recent", n, len(b.uids))
		}
	case words[1] == "FETCH":
		b.fetched(number(words[0]), words[2])
	case words[0] == "SEARCH" || words[0] == "ESEARCH" || words[0] == "SORT":
		b.found(command, line)
	}
}

// expanded are the numbers of a set.
func expanded(set string) (all []int) {
	for _, r := range strings.Split(set, ",") {
		from, to, isRange := strings.Cut(r, ":")
		if !isRange {
			to = from
		}
		for u := number(from); u <= number(to); u++ {
			all = append(all, u)
		}
	}
	return all
}

// unknownPlace is where a UID stands that was not told yet; -1: it can stand nowhere.
func unknownPlace(uids []int, u int) int {
	for i, have := range uids {
		if have > u {
			break
		}
		after := slices.IndexFunc(uids[i:], func(n int) bool { return n != 0 })
		if have == 0 && (after < 0 || uids[i+after] > u) {
			return i
		}
	}
	return -1
}

func (b *busy) gone(command string, i int, byNumber bool) {
	switch {
	case byNumber:
		b.fail("it is told what is gone during %q", command)
	case i < 0 || i >= len(b.uids):
		b.fail("number %d of %d is gone", i+1, len(b.uids))
	case b.uids[i] != 0 && !b.mortal(b.uids[i]):
		b.fail("UID %d is gone, which nobody removed", b.uids[i])
	default:
		b.uids = slices.Delete(b.uids, i, i+1)
	}
}
