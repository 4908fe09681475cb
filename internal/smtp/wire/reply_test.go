package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/internal/mail"
)

func TestAppendReply(t *testing.T) {
	for _, tt := range []struct {
		r    mail.Reply
		want string
	}{
		{mail.R(250, "2.1.0", "ok"), "250 2.1.0 ok\r\n"},
		{mail.R(250, "", "mx.test\nPIPELINING\nSIZE 1"), "250-mx.test\r\n250-PIPELINING\r\n250 SIZE 1\r\n"},
		{mail.R(550, "5.7.1", "no\nreally"), "550-5.7.1 no\r\n550 5.7.1 really\r\n"},
		{mail.R(354, "", "go on"), "354 go on\r\n"},
		{mail.R(250, "5.7.1", "x"), "250 x\r\n"}, // the classes disagree
		{mail.R(221, "2.0.0", ""), "221 2.0.0 \r\n"},
		{mail.R(550, "5.1.1", "a\r\n250 ok\x00é"), "550-5.1.1 a?\r\n550 5.1.1 250 ok???\r\n"},
		{mail.Reply{}, "451 4.3.0 no decision was made\r\n"},
		{mail.R(199, "", "x"), "451 4.3.0 no decision was made\r\n"},
		{mail.R(600, "", "x"), "451 4.3.0 no decision was made\r\n"},
	} {
		if got := string(AppendReply(nil, tt.r)); got != tt.want {
			t.Errorf("%+v: %q; want %q", tt.r, got, tt.want)
		}
	}
	long := string(AppendReply(nil, mail.R(550, "5.0.0", strings.Repeat("x", 2000))))
	for line := range strings.SplitSeq(strings.TrimSuffix(long, "\r\n"), "\r\n") {
		if len(line)+2 > 512 {
			t.Errorf("a reply line of %d octets", len(line)+2)
		}
	}
	if strings.Count(long, "x") != 2000 {
		t.Error("text was lost")
	}
}

func TestReadReply(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"250 ok\r\n", "250 ok"},
		{"250\r\n", "250 "},
		{"250 2.1.0 ok\r\n", "250 2.1.0 ok"},
		{"250-mx.test\r\n250-SIZE 1\r\n250 DSN\r\n", "250 mx.test / SIZE 1 / DSN"},
		{"550-5.7.1 no\r\n550-5.7.1 really\r\n550 5.7.1 no\r\n", "550 5.7.1 no / really / no"},
		{"550-5.7.1 no\r\n550 plain\r\n", "550 5.7.1 no / plain"},
		{"550-no such mailbox\r\n550-5.1.1 really\r\n550 5.1.6 no\r\n", "550 5.1.1 no such mailbox / really / 5.1.6 no"},
		{"550 #5.1.0 Address rejected.\r\n", "550 5.1.0 Address rejected."},
		{"550-#5.7.1 no\r\n550 #5.7.1 relaying\r\n", "550 5.7.1 no / relaying"},
		{"550 # no\r\n", "550 # no"},
		{"550 #4.1.0 no\r\n", "550 #4.1.0 no"},
		{"250 5.7.1 x\r\n", "250 5.7.1 x"}, // no enhanced code of this class: text
		{"250 caf\xc3\xa9 \x1b[2J\xff\r\n", "250 café ?[2J?"},
		{"", "EOF"},
		{"250 ok", "unexpected EOF"},
		{"250-a\r\n", "unexpected EOF"},
		{"250 ok\n", ErrBareLF.Error()},
		{"250 o\rk\r\n", ErrBareCR.Error()},
		{"250 o\x00k\r\n", ErrNUL.Error()},
		{"250-a\r\n550 b\r\n", ErrReply.Error()},
		{"250_a\r\n", ErrReply.Error()},
		{"199 a\r\n", ErrReply.Error()},
		{"690 a\r\n", ErrReply.Error()},
		{"571 a\r\n", "571 a"}, // of no RFC, and in use
		{"499-a\r\n499 4.7.1 b\r\n", "499 4.7.1 a / b"},
		{"2a0 a\r\n", ErrReply.Error()},
		{"25\r\n", ErrReply.Error()},
		{"\r\n", ErrReply.Error()},
		{"HTTP/1.1 400 Bad Request\r\n", ErrReply.Error()},
		{"250 " + strings.Repeat("x", 5000), ErrReplyTooLong.Error()},
		{strings.Repeat("250-x\r\n", 200), ErrReplyTooLong.Error()},
	} {
		r, err := ReadReply(bufio.NewReader(strings.NewReader(tt.in)), DefaultReplyLimits())
		got := r.String()
		if err != nil {
			if got = err.Error(); !r.IsZero() {
				t.Errorf("%.40q: %v and a reply: %v", tt.in, err, r)
			}
		}
		if got != tt.want {
			t.Errorf("%.40q: %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestReadReplyTakesNoMoreThanOne(t *testing.T) {
	br := bufio.NewReader(strings.NewReader("250-a\r\n250 b\r\n354 go\r\n"))
	for _, want := range []string{"250 a / b", "354 go"} {
		if r, err := ReadReply(br, DefaultReplyLimits()); err != nil || r.String() != want {
			t.Errorf("%v, %v; want %s", r, err, want)
		}
	}
	if _, err := ReadReply(br, DefaultReplyLimits()); err != io.EOF {
		t.Error(err)
	}
}

// Of a reply of any length, a bounded text is kept, and the next one is read as ever.
func TestALongReplyIsKeptInPart(t *testing.T) {
	lim := DefaultReplyLimits()
	long := strings.Repeat("550-5.7.1 "+strings.Repeat("ü", 2000)+"\r\n", lim.Lines-1) + "550 5.7.1 end\r\n"
	br := bufio.NewReader(strings.NewReader(long + "250 ok\r\n"))
	r, err := ReadReply(br, lim)
	if err != nil || r.Code != 550 || r.Enhanced != (mail.Enhanced{Class: 5, Subject: 7, Detail: 1}) || len(r.Text) > lim.TextOctets || len(r.Text) < lim.TextOctets-10 || !utf8.ValidString(r.Text) {
		t.Errorf("%d octets of %s, %v", len(r.Text), r.Enhanced, err)
	}
	if r, err := ReadReply(br, lim); err != nil || r.String() != "250 ok" {
		t.Errorf("then %v, %v", r, err)
	}
}

// A reply that was read can be written, and reads back as itself.
func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 2.0.0 b\r\n", "550-5.7.1 a\r\n550-5.7.1 b\r\n550 c\r\n", "354\r\n", "250 ok\n", "250-a\r\n251 b\r\n", "220 \xff\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		lim := ReplyLimits{LineOctets: 100, Lines: 5, TextOctets: 1000}
		r, err := ReadReply(bufio.NewReader(bytes.NewReader(in)), lim)
		if err != nil {
			if !r.IsZero() {
				t.Fatalf("%q: %v and %v", in, err, r)
			}
			return
		}
		if r.Class() == mail.ClassNone || strings.ContainsAny(r.Text, "\r\x00") || strings.Count(r.Text, "\n") >= lim.Lines || len(r.Text) > 4*lim.Lines*lim.LineOctets {
			t.Fatalf("%q: %+v", in, r)
		}
		again, err := ReadReply(bufio.NewReader(bytes.NewReader(AppendReply(nil, r))), DefaultReplyLimits())
		if err != nil || again.Code != r.Code || mail.IsPlain(strings.ReplaceAll(r.Text, "\n", "")) && r.Enhanced.Class != 0 && again != r {
			t.Fatalf("%q: %+v, then %+v, %v", in, r, again, err)
		}
	})
}

func TestCapabilities(t *testing.T) {
	c := ParseCapabilities("mx.test greets you\nPIPELINING\nsize 1000\nAUTH PLAIN SCRAM-SHA-256\n\nBAD=LINE x\nauth=LOGIN PLAIN\nAUTH=\nAUTH XOAUTH2")
	if !c.Has("PIPELINING") || !c.Has("SIZE") || c.Has("MX.TEST") || c.Has("BAD") || c.Has("CHUNKING") {
		t.Errorf("%+v", c)
	}
	if p, ok := c.Params("AUTH"); !ok || strings.Join(p, " ") != "PLAIN SCRAM-SHA-256 LOGIN PLAIN XOAUTH2" {
		t.Errorf("%q", p)
	}
	if (Capabilities{}).Has("PIPELINING") || ParseCapabilities("").Has("") {
		t.Error("something was offered by nobody")
	}
	if many := ParseCapabilities(strings.Repeat("x\n", 1000)); len(many.lines) > maxCapabilities {
		t.Errorf("%d lines are kept", len(many.lines))
	}
}

func TestXtextReadsBack(t *testing.T) {
	for c := range 256 {
		in := "a" + string([]byte{byte(c)}) + "b"
		enc := string(AppendXtext(nil, in))
		if out, ok := decodeXtext(enc); !ok || out != in {
			t.Errorf("%q is %q is %q", in, enc, out)
		}
		if strings.ContainsAny(enc, "= \r\n\x00\x7f") {
			t.Errorf("%q is unfit for a command: %q", in, enc)
		}
	}
}

func TestFaultIsAnError(t *testing.T) {
	_, f := ParseCommand([]byte("BDAT x"))
	var err error = f
	var as *Fault
	if !errors.As(err, &as) || !strings.HasPrefix(err.Error(), "501 5.5.4 ") {
		t.Error(err)
	}
	if VerbBDAT.String() != "BDAT" || VerbUnknown.String() != "unknown" || Verb(200).String() != "unknown" {
		t.Error("verbs have lost their names")
	}
}
