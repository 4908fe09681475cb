package sendmail

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport/internal/mail"
	imf "sallyport/internal/message"
)

func codeFrom(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e):
		return e.Code
	}
	return -1
}

func TestParse(t *testing.T) {
	for _, row := range []struct {
		args string // parted by spaces; "_" is an empty one
		want Options
	}{
		{"-t", Options{Extract: true}},
		{"-ti", Options{Extract: true, IgnoreDots: true}},
		{"-oi -t", Options{Extract: true, IgnoreDots: true}},
		{"-i -FCronDaemon -B8BITMIME -oem root", Options{IgnoreDots: true, Name: "CronDaemon", Body: mail.Body8BitMIME, Recipients: []string{"root"}}},
		{"-f a@b.test x@y.test", Options{Sender: "a@b.test", SenderSet: true, Recipients: []string{"x@y.test"}}},
		{"-fa@b.test -- -x@y.test", Options{Sender: "a@b.test", SenderSet: true, Recipients: []string{"-x@y.test"}}},
		{"-f _ x@y.test", Options{SenderSet: true, Recipients: []string{"x@y.test"}}},
		{"-r <> x@y.test", Options{Sender: "<>", SenderSet: true, Recipients: []string{"x@y.test"}}},
		{"-odf -o8 -os -oew -odqs x@y.test", Options{Recipients: []string{"x@y.test"}}},
		{"-bm -om -odb -oee -v -h 3 -Ac -U x@y.test", Options{Verbose: true, Recipients: []string{"x@y.test"}}},
		{"-N success,delay -R full -V e1 x@y.test", Options{Notify: mail.NotifySuccess | mail.NotifyDelay, Ret: mail.RetFull, EnvID: "e1", Recipients: []string{"x@y.test"}}},
		{"-bp", Options{Mode: ModeQueue}}, {"-q", Options{Mode: ModeRetry}}, {"-bi", Options{Mode: ModeAliases}}, {"-I", Options{Mode: ModeAliases}}, {"-bs", Options{Mode: ModeSMTP}},
	} {
		args := strings.Split(row.args, " ")
		for i := range args {
			args[i] = strings.TrimPrefix(args[i], "_")
		}
		got, err := Parse("sendmail", args)
		if err != nil || !slices.Equal(got.Recipients, row.want.Recipients) {
			t.Errorf("%s: %+v, %v", row.args, got, err)
		}
		got.Recipients, row.want.Recipients = nil, nil
		if got.Mode != row.want.Mode || got.Sender != row.want.Sender || got.SenderSet != row.want.SenderSet || got.Name != row.want.Name ||
			got.Extract != row.want.Extract || got.IgnoreDots != row.want.IgnoreDots || got.Notify != row.want.Notify || got.Ret != row.want.Ret ||
			got.EnvID != row.want.EnvID || got.Body != row.want.Body || got.Verbose != row.want.Verbose {
			t.Errorf("%s: %+v, want %+v", row.args, got, row.want)
		}
	}
	for name, mode := range map[string]Mode{"mailq": ModeQueue, "newaliases": ModeAliases} {
		if o, err := Parse(name, nil); err != nil || o.Mode != mode {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// M16: nothing that reads, writes, runs or reconfigures something is taken.
func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-bd"}, {"-bD"}, {"-bt"}, {"-bv", "x@y.test"}, {"-bh"}, {"-X", "/tmp/log", "x@y.test"}, {"-X/tmp/log", "x@y.test"},
		{"-C", "/etc/passwd", "x@y.test"}, {"-OQueueDirectory=/tmp", "x@y.test"}, {"-O", "LogLevel=9", "x@y.test"}, {"-O"}, {"-O", "x", "x@y.test"}, {"-oQ/tmp", "x@y.test"}, {"-oX", "x@y.test"}, {"-od/tmp", "x@y.test"}, {"-oe", "x@y.test"},
		{"-o", "x@y.test"}, {"-D", "x"}, {"-M", "x"}, {"-q30m"}, {"-qIabc"}, {"-tX/tmp/log"}, {"-f"}, {"-N", "sometimes", "x@y.test"}, {"-N", "never,delay", "x@y.test"},
		{"-R", "some", "x@y.test"}, {"-V", "\x07", "x@y.test"}, {"-B", "BINARYMIME", "x@y.test"}, {"-bp", "x@y.test"},
		{"x@y.test\nRCPT TO:<v@r.test>"}, {"x@y.test\r"}, {"-f", "a\x00b", "x@y.test"}, {"-F", "a\nBcc: x", "x@y.test"},
	} {
		if o, err := Parse("sendmail", args); codeFrom(err) != CodeUsage {
			t.Errorf("%q: %+v, %v", args, o, err)
		}
	}
}

// A message is read to its end, whatever its line ends. What stands in its text is no reason to
// throw it away; in its header nothing may be read as something else.
func TestReadMessage(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10_000)
	for _, row := range []struct {
		in   string
		dots bool
		want string
		code Code
	}{
		{"", false, "", 0},
		{"a\nb\n", false, "a\r\nb\r\n", 0},
		{"a\r\nb", false, "a\r\nb\r\n", 0},
		{"a\n.\nb\n", false, "a\r\n", 0},
		{"a\n.\r\nb\n", false, "a\r\n", 0},
		{"a\n.\nb\n", true, "a\r\n.\r\nb\r\n", 0},
		{"a\n..\n", false, "a\r\n..\r\n", 0},
		{".", false, "", 0},
		{long + "\n.\n", false, long + "\r\n", 0},
		{long + ".\nb", false, long + ".\r\nb\r\n", 0},
		{strings.Repeat(long+"\n", 20), true, strings.Repeat(long+"\r\n", 20), 0},
		{"a\rb\n", false, "a\r\nb\r\n", 0},
		{"a\x00b\n", false, "a b\r\n", 0},
		{"a\r\r\n", false, "a\r\n", 0},
		{"a\r", false, "a\r\n", 0},
		{"a\n.\r", false, "a\r\n", 0},
		{"a\r.\rb\n", false, "a\r\n.\r\nb\r\n", 0},
		{"Subject: x\n\n 1%\r 2%\r100%\n\x00\n", true, "Subject: x\r\n\r\n 1%\r\n 2%\r\n100%\r\n \r\n", 0},
		{"Subject: x\r\r\nTo: y\r\r\n\r\r\na\rb", true, "Subject: x\r\nTo: y\r\n\r\na\r\nb\r\n", 0},
		{"Subject: x\rBcc: v@r.test\n\nb\n", true, "", CodeData},
		{"Subject: x\n\ty\rBcc: v@r.test\n\nb\n", true, "", CodeData},
		{"Subject: x\r\rBcc: v@r.test\n\nb\n", true, "", CodeData},
		{"From alice Mon\nSubject: x\ry\n\nb\n", true, "", CodeData},
		{"Subject: x\x00\n\nb\n", true, "", CodeData},
		{"Subject: " + long + "\rBcc: v@r.test\n\nb\n", true, "", CodeData},
		{"Subject: x\nno field\ry\n", true, "Subject: x\r\nno field\r\ny\r\n", 0},
		// A piece of 64 KiB that ends with CR: in the middle of a line, and before its LF.
		{strings.Repeat("x", 64<<10-1) + "\ry\n", true, strings.Repeat("x", 64<<10-1) + "\r\ny\r\n", 0},
		{strings.Repeat("x", 64<<10-1) + "\r\ny\n", true, strings.Repeat("x", 64<<10-1) + "\r\ny\r\n", 0},
		{strings.Repeat("x", 64<<10-1) + "\r", true, strings.Repeat("x", 64<<10-1) + "\r\n", 0},
		{strings.Repeat("x", 64<<10) + "\x00\n", true, strings.Repeat("x", 64<<10) + " \r\n", 0},
	} {
		for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader} {
			m, err := readMessage(cut(strings.NewReader(row.in)), row.dots)
			if codeFrom(err) != row.code {
				t.Errorf("%.40q: %v", row.in, err)
			}
			if err != nil {
				continue
			}
			r, err := m.reader()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != row.want || int64(len(got)) != m.size {
				t.Errorf("%.40q: %.60q (%d octets, said %d), %v", row.in, got, len(got), m.size, err)
			}
			_ = m.drop(nil)
		}
	}
	if _, err := readMessage(iotest.ErrReader(errors.New("gone")), false); codeFrom(err) != CodeIO {
		t.Errorf("%v", err)
	}
}

func account(t *testing.T) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The header gains an author and domains, and nothing else changes.
func TestComplete(t *testing.T) {
	const ours = "<alice@local.test>\r\n"
	for _, row := range []struct{ in, header, body string }{
		{"just text\r\nmore\r\n", "From: \"Alice A.\" " + ours, "just text\r\nmore\r\n"},
		{"http://x\r\n", "From: \"Alice A.\" " + ours + "http://x\r\n", ""},
		{"Subject: x\r\n\r\nbody\r\n", "From: \"Alice A.\" " + ours + "Subject: x\r\n", "body\r\n"},
		{"Subject: x\r\nbody\r\n", "From: \"Alice A.\" " + ours + "Subject: x\r\n", "body\r\n"},
		{"From alice Mon\r\nSubject: x\r\n\r\nbody\r\n", "From: \"Alice A.\" " + ours + "Subject: x\r\n", "body\r\n"},
		{">From alice Mon\r\nSubject: x\r\n\r\nbody\r\n", "From: \"Alice A.\" " + ours + "Subject: x\r\n", "body\r\n"},
		{"From: root (Cron Daemon)\r\nTo: alice\r\n\r\n", "From: \"Cron Daemon\" " + ours + "To: alice@local.test\r\n", ""},
		{"From: root\r\nCc: a, b\r\n\r\n", "From: \"Alice A.\" " + ours + "Cc: a@local.test,\r\n b@local.test\r\n", ""},
		{"From: \"x \\\" y\" <root>\r\n\r\n", "From: \"x \\\\\\\" y\" " + ours, ""},
		{"From: bob@local.test\r\nTo: x@y.test, bare\r\n\r\n", "From: bob@local.test\r\nTo: x@y.test, bare\r\n", ""},
		{"From: a, b\r\n\r\n", "From: a, b\r\n", ""},
		{"From:\r\n alice@local.test\r\n\r\n", "From:\r\n alice@local.test\r\n", ""},
	} {
		fields, body, _, err := splitHeader(strings.NewReader(row.in))
		if err != nil {
			t.Fatal(err)
		}
		h, err := imf.ParseHeader(fields)
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(body)
		if got := string(complete(h, author{account(t), "Alice A."})); got != row.header || string(rest) != row.body {
			t.Errorf("%q:\n%q\n%q", row.in, got, rest)
		}
	}
}

func TestRecipients(t *testing.T) {
	for _, row := range []struct {
		args, header string
		want         string // parted by spaces
		code         Code
	}{
		{"x@y.test", "", "x@y.test", 0},
		{"bob", "", "bob@local.test", 0},
		{"x@y.test,z@y.test", "", "x@y.test z@y.test", 0},
		{"", "To: A <a@y.test>, \"B, b\" <b@y.test> (c)\r\nCc: list: c@y.test, d@y.test;\r\nBcc: e@y.test\r\n", "a@y.test b@y.test c@y.test d@y.test e@y.test", 0},
		{"first@y.test", "To: a@y.test\r\nTo: a@y.test,b@y.test\r\n", "first@y.test a@y.test b@y.test", 0},
		{"", "To: undisclosed-recipients:;\r\nBcc: a@y.test\r\n", "a@y.test", 0},
		{"", "To: a@y.test\r\nResent-To: b@y.test\r\nResent-Bcc: c@y.test\r\n", "b@y.test c@y.test", 0},
		{"", "To: \"a b\"@y.test, postmaster@[192.0.2.1], v6@[IPv6:2001:db8::1]\r\n", "\"a b\"@y.test postmaster@[192.0.2.1] v6@[IPv6:2001:db8::1]", 0},
		{"", "To: a@y.test (a, (b) c), , d@y.test\r\n", "a@y.test d@y.test", 0},
		{"", "To: a@y.test; B <b@y.test>;\r\nCc: list: c@y.test, d@y.test; ; e@y.test\r\n", "a@y.test b@y.test c@y.test d@y.test e@y.test", 0},
		{"x@y.test;z@y.test", "", "x@y.test z@y.test", 0},
		{"", "To: a@y.test; list: b@y.test\r\n", "", CodeData},
		{";", "", "", CodeUsage},
		{"", "Subject: x\r\n", "", CodeUsage},
		{"", "To: a b@y.test\r\n", "", CodeData},
		{"", "To: <a@y.test\r\n", "", CodeData},
		{"", "To: a@y.test <b@y.test>\r\n", "b@y.test", 0},
		{"", "To: <a@y.test> <b@y.test>\r\n", "", CodeData},
		{"", "To: list: a@y.test\r\n", "", CodeData},
		{"", "To: <@z.test:a@y.test>\r\n", "", CodeData},
		{"", "To: a@@y.test\r\n", "", CodeData},
		{"undisclosed-recipients:;", "", "", CodeUsage},
		{"(nobody)", "", "", CodeUsage},
		{" ", "", "", CodeUsage},
		{"<>", "", "", CodeData},
		{"Bob@local.test, bob@local.test", "", "Bob@local.test bob@local.test", 0},
		{"|/bin/sh", "", "|/bin/sh@local.test", 0},
		{"-oQ/tmp@y.test", "", "-oQ/tmp@y.test", 0},
	} {
		h, err := imf.ParseHeader([]byte(row.header))
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Extract: row.header != ""}
		if row.args != "" {
			o.Recipients = []string{row.args}
		}
		all, err := recipients(o, h, account(t).Domain())
		var got []string
		for _, a := range all {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != row.want || codeFrom(err) != row.code {
			t.Errorf("%q %q: %q, %v", row.args, row.header, got, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, row := range []struct {
		code     int
		enhanced string
		want     Code
	}{
		{550, "5.1.1", CodeNoUser}, {551, "5.1.6", CodeNoUser}, {556, "5.1.10", CodeNoHost}, {550, "5.1.2", CodeNoHost}, {550, "5.7.1", CodeNoPerm}, {553, "5.7.1", CodeNoPerm}, {530, "5.7.0", CodeNoPerm},
		{550, "5.4.6", CodeNoHost}, {501, "5.1.3", CodeData}, {554, "5.6.0", CodeData}, {552, "5.3.4", CodeUnavailable},
		{452, "4.5.3", CodeUnavailable}, {452, "4.3.1", CodeTempFail}, {451, "4.3.0", CodeTempFail}, {421, "4.7.0", CodeTempFail}, {0, "", CodeTempFail}, {250, "2.0.0", CodeTempFail}, {550, "", CodeUnavailable},
	} {
		if got := codeOf(mail.R(row.code, row.enhanced, "x")); got != row.want {
			t.Errorf("%d %s: %d, want %d", row.code, row.enhanced, got, row.want)
		}
	}
}

// Whatever stands in an address list: what is read parses as an address or is
// refused, and no address holds what could end a command.
func FuzzRecipients(f *testing.F) {
	for _, s := range []string{"a@y.test", "A <a@y.test>, b", "g: a, b;", "\"a\\\" b\"@y.test", "(c (d)) a@[IPv6:::1]", "<>", "a\r\nRCPT TO:<b@y.test>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		boxes, ok := readBoxes(s)
		if !ok && boxes != nil {
			t.Fatalf("%q: %+v", s, boxes)
		}
		d, err := mail.ParseDomain("local.test")
		if err != nil {
			t.Fatal(err)
		}
		all, err := recipients(Options{Recipients: []string{s}}, imf.Header{}, d)
		if err != nil {
			return
		}
		for _, a := range all {
			if strings.ContainsAny(a.String(), "\r\n\x00") || a.IsZero() {
				t.Fatalf("%q: %q", s, a)
			}
		}
	})
}

// Whatever a message holds: it is parted without loss, and its header parses.
func FuzzSplitHeader(f *testing.F) {
	for _, s := range []string{"From: root (Cron)\nTo: a\n\nx\n", "text\n", "From x\nA: b\n c\n", ".\n", "A:\n \n", "From: \"\\\" <root>\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := readMessage(strings.NewReader(string(in)), true)
		if err != nil {
			return
		}
		defer func() { _ = m.drop(nil) }()
		r, err := m.reader()
		if err != nil {
			t.Fatal(err)
		}
		fields, body, _, err := splitHeader(r)
		if err != nil {
			return
		}
		rest, err := io.ReadAll(body)
		if err != nil || int64(len(fields)+len(rest)) > m.size {
			t.Fatalf("%q: %q and %q, %v", in, fields, rest, err)
		}
		h, err := imf.ParseHeader(fields)
		if err != nil {
			return
		}
		a, err := mail.ParseAddress("alice@local.test", mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := imf.ParseHeader(complete(h, author{account: a, name: "A"})); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}

// -O takes what means nothing here, and says what does.
func TestLongOptions(t *testing.T) {
	for _, args := range [][]string{
		{"-O", "DeliveryMode=b", "x@y.test"}, {"-OErrorMode=m", "-i", "x@y.test"}, {"-O", "Timeout.initial=5m", "x@y.test"}, {"-O", "ignoredots=True", "x@y.test"},
	} {
		o, err := Parse("sendmail", args)
		if err != nil || len(o.Recipients) != 1 || o.IgnoreDots != (len(args) == 3 && (args[1] == "-i" || strings.HasPrefix(args[1], "ignore"))) {
			t.Errorf("%q: %+v, %v", args, o, err)
		}
	}
}

// Who writes lines of SMTP as this host does is understood; who writes them as the wire
// does is passed on octet for octet, however it comes in pieces.
func TestLineEndsOfSMTP(t *testing.T) {
	for in, want := range map[string]string{
		"EHLO x\nDATA\n.\n": "EHLO x\r\nDATA\r\n.\r\n", "EHLO x\r\nDATA\n.\r\n": "EHLO x\r\nDATA\n.\r\n", "EHLO x\nDATA\r\n\n": "EHLO x\r\nDATA\r\n\r\n", "QUIT": "QUIT",
	} {
		for cut := 1; cut <= len(in); cut++ {
			var out strings.Builder
			l := &lineEnds{to: &out}
			for rest := in; rest != ""; rest = rest[min(cut, len(rest)):] {
				if _, err := l.Write([]byte(rest[:min(cut, len(rest))])); err != nil {
					t.Fatal(err)
				}
			}
			if out.String() != want {
				t.Errorf("%q by %d: %q", in, cut, out.String())
			}
		}
	}
}
