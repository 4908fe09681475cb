package parsers

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/auth/results"
	"sallyport/internal/auth/spf"
	"sallyport/internal/bind"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/filter/sender"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/workers"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/message/structure"
	"sallyport/internal/reports/format"
	"sallyport/internal/reports/tls"
	"sallyport/internal/smtp/proxy"
	"sallyport/internal/smtp/wire"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/trace/query"
)

const (
	mebi = 1 << 20
	// texts in the DNS are no longer: a message of it has 65,535 octets.
	mostText = 64000
)

// reader is one way in for octets of others.
type reader struct {
	name string
	// most is how many octets can come this way at once.
	most int
	// wrap puts a shape where the reader looks.
	wrap func(shape []byte) []byte
	read func(octets []byte)
}

// input is what a shape of about n octets becomes for this reader, and how many octets
// it counts for: of what is compressed, those that it expands to.
func (r reader) input(s shape, n int) (octets []byte, size int) {
	text := s.text(n)
	octets = r.wrap(text)
	return octets, max(len(octets), len(text))
}

func plain(text []byte) []byte { return text }

// field is a wrap: a header section with one field, between others.
func field(name string) func([]byte) []byte {
	return func(text []byte) []byte {
		section := append([]byte("Received: from a.test\r\n"+name+": "), folded(text)...)
		return append(section, "To: bob@local.test\r\n\r\n"...)
	}
}

// fields is a wrap: many fields of that name, each with a piece of the shape.
func fields(name string) func([]byte) []byte {
	return func(text []byte) []byte {
		piece := max(1, len(text)/900) // there may be a thousand
		var b bytes.Buffer
		for len(text) > 0 {
			n := min(piece, len(text))
			b.WriteString(name + ": x")
			b.Write(folded(text[:n]))
			text = text[n:]
		}
		b.WriteString("\r\n")
		return b.Bytes()
	}
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// everybody owns every address: what costs most is to look at them all.
type everybody struct{}

func (everybody) Owns(mail.Address) bool { return true }

// readers are all of them.
func readers(t testing.TB) []reader {
	t.Helper()
	all := append(headerReaders(t), wireReaders()...)
	all = append(all, imapReaders()...)
	all = append(all, dnsReaders(t)...)
	all = append(all, mailboxReaders()...)
	return append(all, fileReaders()...)
}

// headerReaders read header sections: everything that is done with one on the doors.
func headerReaders(t testing.TB) []reader {
	t.Helper()
	host := domain(t, "mx.local.test")
	strip := message.StripRules{Names: []string{"Return-Path", "Bcc"}, AuthServIDs: []mail.Domain{host, domain(t, "b\u00fccher.test")}}
	stranger := func(section []byte) {
		h, _, err := message.ReadHeader(bytes.NewReader(section), message.DefaultLimits())
		if err != nil {
			return
		}
		_ = h.Hops()
		_ = h.MessageID()
		_ = h.Without(nil, message.Strip(h, strip))
		authenticate(t, host, h)
		_, _ = bounce.DefaultLimits().Read(h, strings.NewReader(""))
	}
	account := func(section []byte) {
		h, _, err := message.ReadHeader(bytes.NewReader(section), message.DefaultLimits())
		if err != nil {
			return
		}
		h = h.Settled()
		_ = h.NeedsUTF8()
		_ = bind.Header(everybody{}, bind.Authors(h.Authors(mail.UTF8)))
		_ = h.Without(nil, message.Strip(h, strip))
		sign(t, h)
	}
	var all []reader
	for _, name := range []string{"From", "Sender", "Authentication-Results", "DKIM-Signature", "Received", "Message-ID", "Content-Type", "Subject", "TLS-Required", "To", "X"} {
		all = append(all, reader{"a stranger's " + name, mebi, field(name), stranger})
	}
	for _, name := range []string{"From", "DKIM-Signature", "Authentication-Results", "X"} {
		all = append(all, reader{"many of a stranger's " + name, mebi, fields(name), stranger})
	}
	for _, name := range []string{"From", "Sender", "Resent-From", "To", "Subject"} {
		all = append(all, reader{"an account's " + name, mebi, field(name), account})
	}
	for _, name := range []string{"From", "Resent-Sender", "X"} {
		all = append(all, reader{"many of an account's " + name, mebi, fields(name), account})
	}
	all = append(all, reader{"a header section", mebi, func(text []byte) []byte { return lined(text, 900) }, stranger})
	all = append(all, reader{"a header section of short lines", mebi, func(text []byte) []byte { return lined(text, 20) }, stranger})
	return all
}

// authenticate does with a stranger's header what the authentication of senders does,
// over a DNS that knows nothing but a key.
func authenticate(t testing.TB, host mail.Domain, h message.Header) {
	a := sender.Authenticator{
		Hostname: host, Ours: func(d mail.Domain) bool { return d.ASCII() == "local.test" },
		Policy:   func() sender.Policy { return sender.Policy{Check: true, Apply: true, Time: time.Minute} },
		Resolver: func() dnsx.Resolver { return &dnsx.Fake{} },
		Keys:     func() sender.Keys { return sender.Keys{Resolver: &dnsx.Fake{}, Time: time.Minute} },
		DKIM:     dkim.DefaultLimits(), SPF: spf.DefaultLimits(), Crew: workers.New(time.Second),
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
	}
	from, err := mail.ParseAddress("x@stranger.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	look := a.Begin(intake.Message{
		Door: gate.DoorMX, Peer: netip.MustParseAddr("192.0.2.1"), Hello: "stranger.test",
		Envelope: mail.Envelope{From: mail.PathOf(from)}, Header: h, Stored: h,
	})
	look.Body([]byte("hello\r\n"))
	look.Judge(context.Background(), intake.Content{})
}

func sign(t testing.TB, h message.Header) {
	key, err := dkim.NewSigningKey(dkim.KeyName{Selector: "s", Domain: domain(t, "local.test")}, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	s := dkim.NewSigning(h, []dkim.SigningKey{key})
	s.Body([]byte("hello\r\n"))
	if _, err := s.Fields(time.Unix(1_800_000_000, 0), 0); err != nil {
		t.Fatal(err)
	}
}

// wireReaders read what comes over a connection: of clients, of balancers, of servers
// that we send to.
func wireReaders() []reader {
	commands := func(stream []byte) {
		lr := wire.NewLineReader(bytes.NewReader(stream), &wire.Buffers{})
		for {
			line, err := lr.ReadLine(func([]byte) int { return 12288 })
			if err != nil {
				return
			}
			_, _ = wire.ParseCommand(line)
			_, _, _ = wire.ParseResponse(line)
		}
	}
	data := func(stream []byte) {
		d := wire.NewDataReader(wire.NewLineReader(bytes.NewReader(stream), &wire.Buffers{}), 1<<20)
		_, _ = io.Copy(wire.NewDataWriter(io.Discard), d)
	}
	replies := func(stream []byte) {
		br := bufio.NewReader(bytes.NewReader(stream))
		for {
			r, err := wire.ReadReply(br, wire.DefaultReplyLimits())
			if err != nil {
				return
			}
			_ = wire.ParseCapabilities(r.Text).Has("SIZE")
			_ = wire.AppendReply(nil, r)
		}
	}
	before := func(start string, width int) func([]byte) []byte {
		return func(text []byte) []byte {
			return bytes.ReplaceAll(append([]byte(start), lined(text, width)...), []byte("\r\n"), []byte("\r\n"+start))
		}
	}
	return []reader{
		{"commands", mebi, before("", 500), commands},
		{"long commands", mebi, before("AUTH PLAIN ", 12000), commands},
		{"MAIL", mebi, before("MAIL FROM:<", 500), commands},
		{"MAIL with parameters", mebi, before("MAIL FROM:<a@b.test> AUTH=", 900), commands},
		{"RCPT", mebi, before("RCPT TO:<", 500), commands},
		{"RCPT with parameters", mebi, before("RCPT TO:<a@b.test> ORCPT=rfc822;", 900), commands},
		{"EHLO", mebi, before("EHLO ", 500), commands},
		{"short lines of data", mebi, before("", 3), data},
		{"dots in data", mebi, before(".", 1), data},
		{"long lines of data", mebi, before("", 60000), data},
		{"replies", mebi, before("250 ", 500), replies},
		{"lines of replies", mebi, before("250-", 500), replies},
		{"enhanced codes in replies", mebi, before("550 5.7.1 ", 500), replies},
		{"a PROXY header", 4096, func(text []byte) []byte { return append([]byte("PROXY TCP4 "), text...) }, func(b []byte) { _, _ = proxy.Read(bytes.NewReader(b)) }},
	}
}

// mailboxReaders read stored messages for who fetches and searches them.
func mailboxReaders() []reader {
	l := structure.DefaultLimits()
	whole := func(octets []byte) {
		file := bytes.NewReader(octets)
		s, err := l.Parse(file, int64(len(octets)))
		if err != nil {
			return
		}
		back, err := structure.Decode(s.Append(nil))
		if err != nil {
			return
		}
		n := new(structure.Haystack).Needle("what is not there")
		_, _ = l.InHeader(n, back, file)
		_, _ = l.InBody(n, back, file)
		_, _ = l.Preview(back, file)
		back.Leaves(func(p *structure.Part) bool { return structure.Value(p.Params, "name") != "?" })
		section, _ := l.HeaderOf(back.Part.Header, file)
		_ = structure.Fields(section, []string{"to"}, true)
	}
	behind := func(start string, width int) func([]byte) []byte {
		return func(text []byte) []byte { return append([]byte(start), lined(text, width)...) }
	}
	field := func(start string) func([]byte) []byte {
		return func(text []byte) []byte {
			return append([]byte(start), append(folded(text), "\r\n\r\n"...)...)
		}
	}
	part := func(start string) func([]byte) []byte {
		return func(text []byte) []byte {
			return bytes.ReplaceAll(append([]byte(start), lined(text, 40)...), []byte("\r\n"), []byte("\r\n--b\r\n\r\n"))
		}
	}
	return []reader{
		{"a stored message", mebi, behind("", 70), whole},
		{"a stored To", mebi, field("To: "), whole},
		{"a stored Subject", mebi, field("Subject: "), whole},
		{"a stored Content-Type", mebi, field("Content-Type: text/plain; "), whole},
		{"a stored Content-Disposition", mebi, field("Content-Disposition: x; filename="), whole},
		{"a stored text", mebi, behind("\r\n", 70), whole},
		{"a stored text of short lines", mebi, behind("\r\n", 2), whole},
		{"a stored text of one line", mebi, behind("\r\n", 1<<30), whole},
		{"a stored text in HTML", mebi, behind("Content-Type: text/html\r\n\r\n<", 70), whole},
		{"a stored text in Shift_JIS", mebi, behind("Content-Type: text/plain; charset=shift_jis\r\n\r\n", 70), whole},
		{"a stored text in base64", mebi, behind("Content-Transfer-Encoding: base64\r\n\r\n", 70), whole},
		{"a stored text in quoted-printable", mebi, behind("Content-Transfer-Encoding: quoted-printable\r\n\r\n=", 70), whole},
		{"a stored text with many parts", mebi, part("Content-Type: multipart/mixed; boundary=b\r\n"), whole},
		{"a stored text with a long boundary", mebi, func(text []byte) []byte {
			n := min(200, len(text))
			start := append([]byte("Content-Type: multipart/mixed; boundary=\""), text[:n]...)
			return append(append(start, "\"\r\n\r\n"...), bytes.Repeat(append([]byte("\r\n--"), text[:n]...), len(text)/(n+4))...)
		}, whole},
		{"stored parts within parts", mebi, func(text []byte) []byte {
			var b bytes.Buffer
			for i := range 60 {
				b.WriteString("Content-Type: multipart/mixed; boundary=" + strings.Repeat("x", 60+i) + "\r\n\r\n--" + strings.Repeat("x", 60+i) + "\r\n")
			}
			return append(b.Bytes(), bytes.ReplaceAll(append([]byte("\r\n"), lined(text, 20)...), []byte("\r\n"), []byte("\r\n--"+strings.Repeat("x", 59)))...)
		}, whole},
	}
}

// dnsReaders read what domains publish, and policies.
func dnsReaders(t testing.TB) []reader {
	t.Helper()
	host := domain(t, "mx.local.test")
	check := func(record []byte) {
		q := spf.Query{IP: netip.MustParseAddr("192.0.2.1"), Hello: "stranger.test", Local: "x", Domain: "stranger.test", Receiver: host.ASCII(), Now: time.Unix(1_800_000_000, 0)}
		fake := &dnsx.Fake{Texts: map[string][]string{"stranger.test": {string(record)}}}
		r := spf.Check(context.Background(), spf.FromDNS(fake), q, spf.DefaultLimits())
		_ = results.Field(host, []results.Result{{Method: "spf", Value: r.Verdict.String(), Comment: r.Explanation, Reason: r.Mechanism}})
	}
	texts := func(text []byte) {
		s := string(text)
		_, _ = dmarc.Parse(s)
		_, _ = dkim.ParseRecord(s, dkim.DefaultLimits())
		_, _ = mtasts.FindRecord([]string{s})
		_, _ = tls.FindRecord([]string{s})
		_, _ = dnsx.ParseName(s)
	}
	behind := func(start string) func([]byte) []byte {
		return func(text []byte) []byte { return append([]byte(start), text...) }
	}
	return []reader{
		{"texts in the DNS", mostText, plain, texts},
		{"DMARC records", mostText, behind("v=DMARC1; p=none; rua="), texts},
		{"DKIM keys", mostText, behind("v=DKIM1; k=rsa; p="), texts},
		{"TLSRPT records", mostText, behind("v=TLSRPTv1; rua=mailto:"), texts},
		{"SPF records", mostText, behind(""), check},
		{"SPF terms", mostText, behind("v=spf1 "), check},
		{"SPF domains", mostText, behind("v=spf1 a:"), check},
		{"SPF macros", mostText, behind("v=spf1 exists:"), check},
		{"MTA-STS policies", mostText, func(text []byte) []byte {
			return append([]byte("version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\nmx: "), lined(text, 200)...)
		}, func(b []byte) { _, _ = mtasts.ParsePolicy(b) }},
		{"MTA-STS policies of many hosts", mostText, func(text []byte) []byte {
			return bytes.ReplaceAll(append([]byte("version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\nmx: "), lined(text, 200)...), []byte("\r\n"), []byte("\r\nmx: "))
		}, func(b []byte) { _, _ = mtasts.ParsePolicy(b) }},
	}
}

// fileReaders read whole messages and files: bounces, reports, answers of filters, what
// an operator pastes.
func fileReaders() []reader {
	bounces := func(body []byte) {
		h, err := message.ParseHeader([]byte("From: MAILER-DAEMON@remote.test\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"))
		if err == nil {
			_, _ = bounce.DefaultLimits().Read(h, bytes.NewReader(body))
		}
	}
	reports := func(file []byte) { _, _ = format.DefaultLimits().Read(file) }
	parts := func(header string, width int) func([]byte) []byte {
		return func(text []byte) []byte {
			return append([]byte("--b\r\n"+header+"\r\n"), append(lined(text, width), "--b--\r\n"...)...)
		}
	}
	gist := func(text []byte) {
		var g message.Gist
		_, _ = g.Write(text)
		_ = g.Sum()
	}
	return []reader{
		{"the gist of a letter", mebi, func(text []byte) []byte { return text }, gist},
		{"bounces of text", mebi, parts("", 70), bounces},
		{"bounces of short lines", mebi, parts("", 4), bounces},
		{"bounces with a returned header", mebi, parts("Content-Type: text/rfc822-headers\r\n\r\nFrom: ", 900), bounces},
		{"bounces in base64", mebi, parts("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n", 70), bounces},
		{"bounces in quoted-printable", mebi, parts("Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", 70), bounces},
		{"bounces of many parts", mebi, func(text []byte) []byte {
			return bytes.ReplaceAll(lined(text, 8), []byte("\r\n"), []byte("\r\n--b\r\n"))
		}, bounces},
		{"bounces of odd parts", mebi, parts("Content-Type: ", 900), bounces},
		{"reports in XML", mebi, func(text []byte) []byte { return append([]byte("<"), text...) }, reports},
		{"reports with text", mebi, func(text []byte) []byte {
			return append([]byte("<feedback><report_metadata><org_name>"), text...)
		}, reports},
		{"reports in gzip", mebi, func(text []byte) []byte { return zipped(append([]byte("<feedback>"), text...)) }, reports},
		{"reports in zip", mebi, func(text []byte) []byte { return archived(text) }, reports},
		{"reports in a message", mebi, func(text []byte) []byte {
			return append([]byte("Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
				lined([]byte(base64.StdEncoding.EncodeToString(zipped(text))), 76)...)
		}, reports},
		{"reports in broken base64", mebi, func(text []byte) []byte {
			return append([]byte("Content-Type: application/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n"), lined(text, 76)...)
		}, reports},
		{"messages with reports", mebi, func(text []byte) []byte {
			return append([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n"), parts("Content-Type: application/xml\r\n\r\n", 76)(text)...)
		}, reports},
		{"messages of odd parts", mebi, func(text []byte) []byte {
			return append([]byte("Content-Type: "), folded(text)...)
		}, reports},
		{"answers of Rspamd", mebi, plain, func(b []byte) { _, _ = rspamd.DefaultLimits().Parse(b) }},
		{"pasted lines", query.MaxQueryOctets, func(text []byte) []byte { return lined(text, 900) }, func(b []byte) { _, _ = query.ParseQuery(string(b)) }},
		{"a pasted header", query.MaxQueryOctets, func(text []byte) []byte {
			return append([]byte("Message-ID: <a@b.test>\r\nReceived: "), folded(text)...)
		}, func(b []byte) { _, _ = query.ParseQuery(string(b)) }},
	}
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close() // into memory
	return b.Bytes()
}

func archived(text []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if w, err := z.Create("report.xml"); err == nil {
		_, _ = w.Write(append([]byte("<feedback>"), text...))
	}
	_ = z.Close() // into memory
	return b.Bytes()
}
