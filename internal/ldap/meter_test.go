package ldap

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/ldaptest"
)

// metering follows octets, in pieces of so many, and returns what is left of the parts.
func metering(l Limits, octets []byte, piece int) (left int64, whole bool, err error) {
	l = l.complete()
	m := meter{limits: &l}
	m.left.Store(l.Parts)
	for len(octets) > 0 && err == nil {
		n := min(piece, len(octets))
		err = m.take(octets[:n])
		octets = octets[n:]
	}
	return m.left.Load(), m.open == 0 && m.at == 0, err
}

// part makes a part with a tag.
func part(tag byte, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	head := []byte{tag, 0x83, byte(len(all) >> 16), byte(len(all) >> 8), byte(len(all))}
	if len(all) < 0x80 {
		head = []byte{tag, byte(len(all))}
	}
	return append(head, all...)
}

func result(id byte) []byte {
	return part(0x30, part(0x02, []byte{id}), part(0x65, part(0x0a, []byte{0}), part(0x04), part(0x04, []byte("diagnostic"))))
}

// someEntry is an entry with so many values of mail, each of so many octets.
func someEntry(id byte, values, octets int) []byte {
	set := bytes.Repeat(part(0x04, bytes.Repeat([]byte("x"), octets)), values)
	return part(0x30, part(0x02, []byte{id}), part(0x64, part(0x04, []byte("uid=a")), part(0x30, part(0x30, part(0x04, []byte("mail")), part(0x31, set)))))
}

// Parts are counted whatever pieces they come in, and each limit is kept to the last one.
func TestPartsAreCounted(t *testing.T) {
	for _, piece := range []int{1, 2, 7, 1 << 20} {
		answer := append(someEntry(1, 3, 4), result(1)...)
		if left, whole, err := metering(Limits{Parts: 100}, answer, piece); err != nil || !whole || left != 100-11-6 {
			t.Errorf("in pieces of %d: %d are left, whole %v, %v", piece, left, whole, err)
		}
		for name, c := range map[string]struct {
			limits Limits
			octets []byte
			want   error
		}{
			"as many parts":      {Limits{Parts: 17}, answer, nil},
			"one too many":       {Limits{Parts: 16}, answer, errParts},
			"a value":            {Limits{ValueOctets: 200}, someEntry(1, 1, 200), nil},
			"a large value":      {Limits{ValueOctets: 199}, someEntry(1, 1, 200), errValue},
			"an entry":           {Limits{EntryOctets: int64(len(someEntry(1, 1, 20)) - 2)}, someEntry(1, 1, 20), nil},
			"a large entry":      {Limits{EntryOctets: int64(len(someEntry(1, 1, 20)) - 3)}, someEntry(1, 1, 20), errEntry},
			"deep":               {Limits{}, nested(mostNested), nil},
			"deeper":             {Limits{}, nested(mostNested + 1), errNested},
			"no message":         {Limits{}, part(0x04, []byte("x")), errForm},
			"out of its message": {Limits{}, []byte{0x30, 0x02, 0x04, 0x7f}, errForm},
			"without a length":   {Limits{}, []byte{0x30, 0x80, 0x00, 0x00}, errForm},
			"an endless length":  {Limits{}, []byte{0x30, 0x85, 0, 0, 0, 0, 1}, errForm},
			"a long tag":         {Limits{}, []byte{0x3f, 0x81, 0x01, 0x00}, errForm},
			"a huge length":      {Limits{}, []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, errEntry},
		} {
			if _, _, err := metering(c.limits, c.octets, piece); !errors.Is(err, c.want) {
				t.Errorf("%s, in pieces of %d: %v, want %v", name, piece, err, c.want)
			}
		}
	}
}

// nested is a message of so many parts within each other.
func nested(n int) []byte {
	out := []byte{}
	for range n {
		out = part(0x30, out)
	}
	return out
}

// An answer with too much of anything is none, at its default limits too, and says what there was too much of.
func TestAnswersAreBounded(t *testing.T) {
	s := ldaptest.Start(t)
	alice := someone("alice", "alice@local.test")
	for range 20 {
		alice.Values["mailalias"] = append(alice.Values["mailalias"], "one-more@elsewhere.test")
	}
	s.Entries = []ldaptest.Entry{alice}
	for name, c := range map[string]struct {
		narrow func(*Limits)
		words  string
	}{
		"parts": {func(l *Limits) { l.Parts = 20 }, "more parts"},
		"entry": {func(l *Limits) { l.EntryOctets = 300 }, "an entry of the answer is larger"},
		"value": {func(l *Limits) { l.ValueOctets = 22 }, "a value in the answer is larger"},
		"all":   {func(l *Limits) { l.PageOctets = 300 }, "more octets"},
	} {
		o := asking(t, s)
		if _, err := asked(t, o).Find(t.Context(), addressOf(t, "alice@local.test")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.narrow(&o.Limits)
		if p, err := asked(t, o).Find(t.Context(), addressOf(t, "alice@local.test")); err == nil || errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if l, err := asked(t, o).List(t.Context()); err == nil || len(l.People) > 0 || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: a list of %+v, %v", name, l, err)
		}
	}
	s.Change(func() {
		s.Entries = append(s.Entries, someone("b", "b@local.test"), someone("c", "b@local.test"), someone("d", "d@local.test"))
	})
	o := asking(t, s)
	o.Limits.ListOctets = 1000
	d := asked(t, o)
	if l, err := d.List(t.Context()); err != nil || len(l.People) != 2 || len(l.Doubtful) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	d.limits.ListOctets = 100
	if l, err := d.List(t.Context()); !errors.Is(err, ErrTooLarge) || len(l.People) > 0 {
		t.Errorf("%+v, %v", l, err)
	}
	d.limits.ListOctets = 20
	if all, err := d.Recipients(t.Context(), d.o.Domains); !errors.Is(err, ErrTooLarge) || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// A directory that answers with as many parts of nothing as its octets allow costs no more memory than another.
func TestPartsOfNothingCostLittle(t *testing.T) {
	d, _ := answering(t, func(c net.Conn, id int64) {
		one := someEntry(byte(id), 40_000, 0) // 80,000 octets
		for range DefaultLimits().PageOctets / int64(len(one)) {
			if _, err := c.Write(one); err != nil {
				return
			}
		}
		_, _ = c.Write(part(0x30, part(0x02, []byte{byte(id)}), part(0x65, part(0x0a, []byte{0}), part(0x04), part(0x04))))
	})
	d.limits.Timeout, d.limits.ListTimeout = time.Minute, time.Minute
	var before, behind runtime.MemStats
	runtime.ReadMemStats(&before)
	l, err := d.List(t.Context())
	runtime.ReadMemStats(&behind)
	if err == nil || len(l.People) > 0 || !strings.Contains(err.Error(), "more parts") {
		t.Errorf("%+v, %v", l, err)
	}
	const most = 400 << 20
	if took := behind.TotalAlloc - before.TotalAlloc; took > most {
		t.Errorf("it takes %d MiB", took>>20)
	}
}

// What the library makes of octets has as many parts as were counted, wherever the meter lets it have them.
func FuzzMeter(f *testing.F) {
	for _, seed := range [][]byte{result(1), someEntry(2, 3, 4), nested(3), {0x30, 0x80, 0, 0}, {0x30, 0x03, 0x3f, 0x81, 0x01}, {0x30, 0x06, 0x31, 0x82, 0, 2, 4, 0}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		in := bytes.NewReader(octets)
		packet, err := ber.ReadPacket(in)
		if err != nil {
			return
		}
		octets = octets[:len(octets)-in.Len()]
		l := DefaultLimits()
		left, whole, err := metering(l, octets, len(octets))
		if other, otherWhole, otherErr := metering(l, octets, 1); other != left || otherWhole != whole || !errors.Is(otherErr, err) {
			t.Fatalf("octet by octet %d, %v, %v; at once %d, %v, %v", other, otherWhole, otherErr, left, whole, err)
		}
		if err == nil && (!whole || l.Parts-left != count(packet)) {
			t.Fatalf("%x has %d parts, and %d were counted; whole: %v", octets, count(packet), l.Parts-left, whole)
		}
	})
}

func count(p *ber.Packet) int64 {
	n := int64(1)
	for _, c := range p.Children {
		n += count(c)
	}
	return n
}

// Only an answer to the question for TLS is one: neither a notice that nobody asked for, nor what answers another question.
func TestOnlyItsAnswerBringsTLS(t *testing.T) {
	answer := func(id byte, tag byte, code byte) []byte {
		return part(0x30, part(0x02, []byte{id}), part(tag, part(0x0a, []byte{code}), part(0x04), part(0x04)))
	}
	for name, c := range map[string]struct {
		octets []byte
		code   int // of the refusal; -1: it is none; 0: it is taken
	}{
		"yes":             {answer(1, 0x78, 0), 0},
		"no":              {answer(1, 0x78, 2), 2},
		"unavailable":     {answer(1, 0x78, 52), 52},
		"a notice":        {answer(0, 0x78, 0), -1},
		"another answer":  {answer(1, 0x61, 0), -1},
		"nothing":         {nil, -1},
		"no LDAP":         {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), -1},
		"half an answer":  {answer(1, 0x78, 0)[:6], -1},
		"no parts at all": {part(0x30), -1},
	} {
		ours, theirs := net.Pipe()
		go func() {
			asked, err := ber.ReadPacket(theirs)
			if err != nil || len(asked.Children) != 2 || asked.Children[1].Tag != wire.ApplicationExtendedRequest {
				t.Errorf("%s: asked with %v, %v", name, asked, err)
			}
			_, _ = theirs.Write(c.octets)
			if c.code == 0 {
				_, _ = theirs.Write([]byte("behind"))
			}
			_ = theirs.Close()
		}()
		d := &Directory{limits: DefaultLimits()}
		err := failed(Server{}, StepTLS, startTLS(d.metered(ours)))
		if (err == nil) != (c.code == 0) || err != nil && codeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if c.code == 0 { // nothing of what follows was taken
			b := make([]byte, 10)
			n, _ := ours.Read(b)
			if got := string(b[:n]); got != "behind" {
				t.Errorf("%s: %q is left", name, got)
			}
		}
		_ = ours.Close()
	}
}
