package milter_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/filter/milter"
	"sallyport/internal/mail"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sample(t *testing.T) milter.Message {
	t.Helper()
	id, err := mail.NewID(time.Unix(1700000000, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	return milter.Message{
		Hostname: host, Door: "mx", ID: id, Client: netip.MustParseAddr("2001:db8::7"), Hello: "client\x00.test",
		From: mail.PathOf(address(t, "x@far.test")), To: []mail.Recipient{{Address: address(t, "bob@local.test")}, {Address: address(t, "carl@local.test")}},
		Fields: []milter.Field{{"From", " x@far.test"}, {"Subject", "  hi\r\n there"}},
	}
}

func pack(cmd byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(cmd) + data
}

func negotiate(version, actions, protocol uint32, lists string) string {
	b := binary.BigEndian.AppendUint32(nil, version)
	b = binary.BigEndian.AppendUint32(b, actions)
	return pack('O', string(binary.BigEndian.AppendUint32(b, protocol))+lists)
}

// filter is a milter by script: what it says to each command, "c" to others.
type filter struct {
	negotiation string
	say         map[byte]string
	silent      string // commands that it does not answer

	mu   sync.Mutex
	seen []string // commands with their arguments, bodies as lengths
}

func (f *filter) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		data := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
		if _, err := io.ReadFull(r, data); err != nil {
			return
		}
		cmd := head[4]
		f.mu.Lock()
		line := fmt.Sprintf("%c %s", cmd, strings.ReplaceAll(string(data), "\x00", "|"))
		if cmd == 'B' {
			line = fmt.Sprintf("B %d", len(data))
		}
		f.seen = append(f.seen, line)
		f.mu.Unlock()
		answer, scripted := f.say[cmd]
		switch {
		case cmd == 'O':
			answer = f.negotiation
		case cmd == 'Q':
			return
		case cmd == 'D' || strings.IndexByte(f.silent, cmd) >= 0:
			continue
		case !scripted:
			answer = pack('c', "")
		}
		if answer == "close" {
			return
		}
		if answer == "hang" {
			_, _ = io.Copy(io.Discard, r)
			return
		}
		if rest, ok := strings.CutPrefix(answer, "trickle"); ok {
			for _, octet := range []byte(strings.Repeat(rest, 1000)) {
				if _, err := c.Write([]byte{octet}); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (f *filter) ask(t *testing.T, m milter.Message, body string, l milter.Limits) (milter.Advice, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if c, err := listener.Accept(); err == nil {
			f.serve(c)
		}
	}()
	a, err := milter.New(milter.Options{Network: "tcp", Address: listener.Addr().String(), Limits: l}).Check(context.Background(), m, strings.NewReader(body))
	_ = listener.Close()
	<-served
	return a, err
}

const allActions, allSteps = 0x1ff, 0x1fffff

// A filter is shown everything in its order, with the macros of each stage.
func TestWholeConversation(t *testing.T) {
	f := &filter{negotiation: negotiate(6, 0x1f1&allActions, 0x100000, "\x00\x00\x00\x02i {auth_authen}\x00")}
	m := sample(t)
	m.Account = address(t, "bob@local.test")
	a, err := f.ask(t, m, strings.Repeat("x", 70_000), milter.DefaultLimits())
	if err != nil || a.Action != milter.Accept {
		t.Fatal(a, err)
	}
	id := m.ID.String()
	want := strings.Join([]string{
		"D Cj|mx.local.test|_|unknown [2001:db8::7]|{daemon_name}|mx|{client_addr}|2001:db8::7|{client_name}|unknown|v|sallyport|",
		"C [2001:db8::7]|6||2001:db8::7|", "H client?.test|",
		"D Mi|" + id + "|{auth_authen}|bob@local.test|", "M <x@far.test>|",
		"D R{rcpt_addr}|bob@local.test|{rcpt_host}|local.test|{rcpt_mailer}|smtp|", "R <bob@local.test>|",
		"D R{rcpt_addr}|carl@local.test|{rcpt_host}|local.test|{rcpt_mailer}|smtp|", "R <carl@local.test>|",
		"D Ti|" + id + "|", "T ", "L From| x@far.test|", "L Subject|  hi\n there|", "D Ni|" + id + "|", "N ",
		"B 65535", "B 4465", "D Ei|" + id + "|", "E ", "Q ",
	}, "\n")
	got := strings.Join(f.seen[1:], "\n")
	got = strings.Replace(got, "6||", "6|", 1) // the port, two NULs
	want = strings.Replace(want, "6||", "6|", 1)
	if strings.Replace(got, "6|", "6|", 1) != want {
		t.Errorf("shown\n%s\nwant\n%s", got, want)
	}
}

// Filters hold it against a client that it has no name: they are told the one that its address proves.
func TestClientsWithAName(t *testing.T) {
	f := &filter{negotiation: negotiate(6, 0, 0, "")}
	m := sample(t)
	m.ClientName = "mx.far.test"
	if _, err := f.ask(t, m, "hi\r\n", milter.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	shown := strings.Join(f.seen, "\n")
	for _, want := range []string{"|_|mx.far.test [2001:db8::7]|", "|{client_name}|mx.far.test|", "\nC mx.far.test|6||2001:db8::7|"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not told in %q", want, shown)
		}
	}
}

// What a filter does not want it is not shown, and where it does not answer nobody
// waits.
func TestStepsLeftOut(t *testing.T) {
	f := &filter{negotiation: negotiate(6, 0, 0x01|0x02|0x80|0x8000|0x100|0x200|0x40, ""), silent: "LR"}
	a, err := f.ask(t, sample(t), "body", milter.DefaultLimits())
	if err != nil || a.Action != milter.Accept {
		t.Fatal(a, err)
	}
	var cmds []string
	for _, s := range f.seen {
		if s[0] != 'D' {
			cmds = append(cmds, s[:1])
		}
	}
	if got := strings.Join(cmds, ""); got != "OMRRLLBEQ" {
		t.Errorf("shown %s", got)
	}
	if !strings.Contains(strings.Join(f.seen, "\n"), "L Subject| hi\n there|") {
		t.Errorf("the first space stays: %q", f.seen)
	}
}

// TestAnOlderFilterIsNotToldOfDATA: the command came with version 4, and who speaks an older
// version has not asked to be spared it.
func TestAnOlderFilterIsNotToldOfDATA(t *testing.T) {
	for version, told := range map[uint32]bool{2: false, 3: false, 4: true, 5: true, 6: true} {
		f := &filter{negotiation: negotiate(version, 0, 0, "")}
		if _, err := f.ask(t, sample(t), "hi\r\n", milter.DefaultLimits()); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		got := slices.ContainsFunc(f.seen, func(s string) bool { return strings.HasPrefix(s, "T ") })
		if got != told {
			t.Errorf("version %d is told of DATA: %v, in %q", version, got, f.seen)
		}
	}
}

func TestAdvice(t *testing.T) {
	field := pack('h', "X-One\x001\x00")
	for _, tc := range []struct {
		cmd    byte
		answer string
		want   string
	}{
		{'E', pack('c', ""), "accept at end of message"},
		{'C', pack('a', ""), "accept at connect"},
		{'R', pack('r', ""), "reject at RCPT"},
		{'R', pack('r', ""), "reject at RCPT"},
		{'L', pack('t', ""), "tempfail at header"},
		{'M', pack('4', ""), "tempfail at MAIL"},
		{'N', pack('f', ""), "tempfail at end of header"},
		{'E', pack('d', ""), "discard at end of message"},
		{'E', pack('p', "") + pack('p', "") + pack('r', ""), "reject at end of message"},
		{'H', pack('p', "") + pack('y', "550 5.7.9 go away\x00"), "reject at HELO 550 5.7.9 go away"},
		{'E', pack('y', "451 wait\x01a bit\x00"), "tempfail at end of message 451 wait?a bit"},
		{'E', pack('y', "554-5.7.1 one\r\n554 5.7.1 two\x00"), "reject at end of message 554 5.7.1 one"},
		{'E', pack('q', "looks odd\x00") + field + pack('a', ""), "quarantine at end of message: looks odd X-One: 1"},
		{'E', field + pack('i', "\x00\x00\x00\x01X-Two\x00a\n\tb\x00") + pack('c', ""), "accept at end of message X-One: 1 X-Two: a\r\n\tb"},
		{'E', pack('m', "\x00\x00\x00\x01Subject\x00[SPAM] hi\x00") + pack('c', ""), "accept at end of message undone: change of field \"Subject\" 1"},
		{'E', pack('b', "new") + pack('b', " body") + field + pack('c', ""), "accept at end of message X-One: 1 undone: another body"},
		{'E', pack('+', "<evil@far.test>\x00") + pack('-', "<bob@local.test>\x00") + pack('a', ""),
			"accept at end of message undone: added recipient \"<evil@far.test>\" undone: removed recipient \"<bob@local.test>\""},
		{'E', pack('2', "<evil@far.test>\x00NOTIFY=NEVER\x00") + pack('r', ""), "reject at end of message undone: added recipient \"<evil@far.test>\""},
		{'E', pack('e', "<evil\x1b@far.test>\x00") + pack('q', "odd\x00") + pack('c', ""), `quarantine at end of message: odd undone: change of the sender to "<evil\x1b@far.test>"`},
		{'B', pack('s', ""), "accept at end of message"},
	} {
		f := &filter{negotiation: negotiate(6, allActions, 0x400, ""), say: map[byte]string{tc.cmd: tc.answer}}
		a, err := f.ask(t, sample(t), "body", milter.DefaultLimits())
		got := []string{"unknown", "accept", "reject", "tempfail", "quarantine", "discard"}[a.Action] + " at " + a.Stage
		if a.Reason != "" {
			got += ": " + a.Reason
		}
		if !a.Reply.IsZero() {
			got += " " + a.Reply.String()
		}
		for _, f := range a.Fields {
			got += " " + f.Name + ":" + f.Value
		}
		for _, u := range a.Undone {
			got += " undone: " + u
		}
		if err != nil || got != tc.want {
			t.Errorf("%c %q: %s, %v; want %s", tc.cmd, tc.answer, got, err, tc.want)
		}
	}
}

// A field that is longer than a packet may be is shown as far as it fits: libmilter hangs up at a longer
// one, and whoever writes one would silence the filter.
func TestLongFieldsAreShownInPart(t *testing.T) {
	const most = 65535 // MILTER_MAX_DATA_SIZE
	m := sample(t)
	m.Fields = []milter.Field{
		{"X-Fits", " " + strings.Repeat("f", most-len("X-Fits")-2)}, // the first blank is not shown
		{"X-Long", " " + strings.Repeat("l", 1<<20)},
		{strings.Repeat("N", 70_000), " v"},
		{"Subject", " hi"},
	}
	f := &filter{negotiation: negotiate(6, 0, 0, ""), say: map[byte]string{'E': pack('r', "")}}
	a, err := f.ask(t, m, "body", milter.DefaultLimits())
	if err != nil || a.Action != milter.Reject || a.Cut != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	var got []int
	for _, s := range f.seen {
		if rest, ok := strings.CutPrefix(s, "L "); ok {
			got = append(got, len(rest))
		}
	}
	if want := []int{most, most, most, len("Subject|hi|")}; !slices.Equal(got, want) {
		t.Errorf("fields of %v octets were shown, want %v", got, want)
	}
	if !slices.Contains(f.seen, "L "+strings.Repeat("N", most-2)+"||") || !slices.Contains(f.seen, "L X-Long|"+strings.Repeat("l", most-len("X-Long")-2)+"|") {
		t.Error("what is shown is not the begin of the fields")
	}
}

// Of what a filter adds beyond the bounds nothing is taken, and its verdict counts.
func TestTooManyAddedFields(t *testing.T) {
	one, long := pack('h', "X-One\x001\x00"), pack('h', "X-Long\x00"+strings.Repeat("x", 20_000)+"\x00")
	for _, tc := range []struct {
		answer string
		fields int
		undone string
	}{
		{strings.Repeat(one, 60) + pack('r', ""), 50, `"X-One"`},
		{one + long + one + pack('r', ""), 2, `"X-Long"`},
	} {
		f := &filter{negotiation: negotiate(6, 1, 0, ""), say: map[byte]string{'E': tc.answer}}
		a, err := f.ask(t, sample(t), "body", milter.DefaultLimits())
		if err != nil || a.Action != milter.Reject || len(a.Fields) != tc.fields || len(a.Undone) != 1 || !strings.Contains(a.Undone[0], tc.undone) {
			t.Errorf("%d fields, undone %q, %v at %q: %v", len(a.Fields), a.Undone, a.Action, a.Stage, err)
		}
	}
}

// What breaks the protocol or the bounds is an error, never an acceptance.
func TestHostileFilters(t *testing.T) {
	good := negotiate(6, 0x131, 0, "") // without the actions that some take all the same
	for name, f := range map[string]*filter{
		"closes":                         {negotiation: "close"},
		"closes in the middle":           {negotiation: good, say: map[byte]string{'B': "close"}},
		"hangs":                          {negotiation: "hang"},
		"hangs by progress now and then": {negotiation: good, say: map[byte]string{'E': "trickle" + pack('p', "")}},
		"hangs in a long field":          {negotiation: good, say: map[byte]string{'E': "trickle" + pack('h', "X\x00"+strings.Repeat("1", 900)+"\x00")}},
		"hangs in the negotiation":       {negotiation: "trickle" + good},
		"hangs at the end":               {negotiation: good, say: map[byte]string{'E': "hang"}},
		"progresses for ever":            {negotiation: good, say: map[byte]string{'E': strings.Repeat(pack('p', ""), 11_000)}},
		"is no milter":                   {negotiation: "220 hello\r\n"},
		"huge packet":                    {negotiation: good, say: map[byte]string{'E': "\x7f\xff\xff\xffh"}},
		"empty packet":                   {negotiation: good, say: map[byte]string{'E': "\x00\x00\x00\x00"}},
		"half a packet":                  {negotiation: good, say: map[byte]string{'E': "\x00\x00\x00\x09h"}},
		"another version":                {negotiation: negotiate(7, 0, 0, "")},
		"version 1":                      {negotiation: negotiate(1, 0, 0, "")},
		"wants what there is not":        {negotiation: negotiate(6, 0x200, 0, "")},
		"wants steps not offered":        {negotiation: negotiate(6, 0, 0x200000, "")},
		"malformed macros":               {negotiation: negotiate(6, 0, 0, "\x00\x00\x00\x09x\x00")},
		"cut macros":                     {negotiation: negotiate(6, 0, 0, "\x00\x00")},
		"adds a recipient":               {negotiation: good, say: map[byte]string{'E': pack('+', "<evil@far.test>\x00") + pack('a', "")}},
		"deletes a recipient":            {negotiation: good, say: map[byte]string{'E': pack('-', "<bob@local.test>\x00") + pack('a', "")}},
		"replaces the body":              {negotiation: good, say: map[byte]string{'E': pack('b', "new") + pack('a', "")}},
		"changes the sender":             {negotiation: good, say: map[byte]string{'E': pack('e', "<evil@far.test>\x00") + pack('a', "")}},
		"adds a field too early":         {negotiation: good, say: map[byte]string{'M': pack('h', "X\x001\x00")}},
		"adds a field unasked":           {negotiation: negotiate(6, 0, 0, ""), say: map[byte]string{'E': pack('h', "X\x001\x00") + pack('a', "")}},
		"a field without end":            {negotiation: good, say: map[byte]string{'E': pack('h', "X\x001") + pack('a', "")}},
		"an index cut short":             {negotiation: good, say: map[byte]string{'E': pack('i', "\x00") + pack('a', "")}},
		"says yes with a code":           {negotiation: good, say: map[byte]string{'E': pack('y', "250 fine\x00")}},
		"says nothing in its code":       {negotiation: good, say: map[byte]string{'E': pack('y', "\x00")}},
		"skips what is no body":          {negotiation: negotiate(6, 0, 0x400, ""), say: map[byte]string{'M': pack('s', "")}},
		"answers with unknown letters":   {negotiation: good, say: map[byte]string{'M': pack('Z', "")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := milter.DefaultLimits()
			start := time.Now()
			if strings.HasPrefix(name, "hangs") || name == "half a packet" {
				l.Time = 100 * time.Millisecond
			}
			if a, err := f.ask(t, sample(t), "body", l); err == nil || a.Action != milter.ActionUnknown {
				t.Errorf("advice %+v, %v", a, err)
			}
			if took := time.Since(start); strings.HasPrefix(name, "hangs") && took > 10*time.Second {
				t.Errorf("it held us for %v", took)
			}
		})
	}
}

// Nobody listens, or all turns are taken: an error within the time.
func TestNobodyThere(t *testing.T) {
	l := milter.DefaultLimits()
	l.Time = 50 * time.Millisecond
	for _, o := range []milter.Options{{Network: "unix", Address: t.TempDir() + "/none", Limits: l}, {Network: "tcp", Address: "127.0.0.1:1", Limits: milter.Limits{Time: l.Time}}} {
		if a, err := milter.New(o).Check(t.Context(), sample(t), strings.NewReader("")); err == nil || a.Action != milter.ActionUnknown {
			t.Errorf("%+v: %+v", o, a)
		}
	}
}
