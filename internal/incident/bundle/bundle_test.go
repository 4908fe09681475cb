package bundle

import (
	"bufio"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
)

var at = time.Date(2026, 11, 3, 1, 2, 3, 0, time.UTC)

func queue(n byte) mail.ID {
	var b [15]byte
	b[len(b)-1] = n
	id, _ := mail.IDFromBytes(b[:])
	return id
}

func stolen(t *testing.T) Contents {
	t.Helper()
	account, err := mail.ParseAddress("alice@example.org", mail.ASCII)
	check(t, err)
	host, err := mail.ParseDomain("mx.example.org")
	check(t, err)
	accepted := func(n byte, peer string) Entry {
		return Entry{Seq: uint64(n), Fact: fact.Fact{At: at.Add(time.Duration(n) * time.Minute), Kind: fact.KindAccept, Account: account.String(), Queue: queue(n), Peer: netip.MustParseAddr(peer),
			Sender: "alice@example.org", MessageID: "<" + string('a'+rune(n)) + "@thief.test>", Door: "submissions", Recipients: []string{"v@victim.test"}}}
	}
	signIn := func(n byte, peer string, code int) Entry {
		return Entry{Seq: uint64(n), Fact: fact.Fact{At: at, Kind: fact.KindAuth, Account: account.String(), Peer: netip.MustParseAddr(peer), Door: "submission", Reply: mail.Reply{Code: code}}}
	}
	return Contents{
		Incident: incident.Incident{Number: 7, Account: account, At: at, By: "the hijack detector", Reason: "strangers"}, Since: at, Hostname: host, Made: at,
		Facts:   []Entry{accepted(1, "192.0.2.7"), accepted(2, "192.0.2.99"), accepted(3, "2001:db8:1::1"), signIn(4, "198.51.100.1", 235), signIn(5, "203.0.113.9", 535)},
		Headers: []Header{{queue(2), "held", "From: alice@example.org\r\nSubject: gr\u00fc\u00dfe\r\nMessage-ID: <c@thief.test>"}},
		PEM:     []byte("key"), Public: "name+1+k",
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func filesOf(t *testing.T, c Contents) map[string]string {
	t.Helper()
	all, err := Files(c)
	check(t, err)
	out := map[string]string{}
	for _, f := range all {
		out[f.Name] = string(f.Data)
	}
	return out
}

// parsed reads a report as a provider does.
func parsed(t *testing.T, text string) (m *netmail.Message, kinds, parts []string) {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(text))
	check(t, err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	check(t, err)
	if kind != "multipart/report" || params["report-type"] != "feedback-report" {
		t.Fatalf("%s %v", kind, params)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return m, kinds, parts
		}
		check(t, err)
		var from io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			from = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(from)
		check(t, err)
		kinds, parts = append(kinds, p.Header.Get("Content-Type")), append(parts, string(b))
	}
}

func TestAReportIsWhatTheRFCAsksFor(t *testing.T) {
	m, kinds, parts := parsed(t, filesOf(t, stolen(t))["abuse/192.0.2.0_24.eml"])
	if want := []string{"text/plain; charset=us-ascii", "message/feedback-report", "text/rfc822-headers"}; !slices.Equal(kinds, want) {
		t.Fatal(kinds)
	}
	if m.Header.Get("To") != "" || m.Header.Get("From") != "<postmaster@mx.example.org>" || m.Header.Get("Mime-Version") != "1.0" || !strings.Contains(m.Header.Get("Subject"), "192.0.2.0/24") {
		t.Error(m.Header)
	}
	if _, err := m.Header.Date(); err != nil {
		t.Error(err)
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(parts[1] + "\r\n"))).ReadMIMEHeader()
	check(t, err)
	for name, want := range map[string]string{
		"Feedback-Type": "abuse", "User-Agent": "sallyport", "Version": "1", "Source-Ip": "192.0.2.99", "Original-Mail-From": "<alice@example.org>",
		"Incidents": "2", "Reporting-Mta": "dns; mx.example.org", "Arrival-Date": "Tue, 03 Nov 2026 01:04:03 +0000",
	} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if parts[2] != "From: alice@example.org\r\nSubject: gr\u00fc\u00dfe\r\nMessage-ID: <c@thief.test>\r\n" {
		t.Errorf("%q", parts[2])
	}
	if !strings.Contains(parts[0], "192.0.2.7") || strings.Contains(parts[0], "198.51.100.1") {
		t.Error(parts[0])
	}
}

func TestEachNetworkHasItsReport(t *testing.T) {
	c := stolen(t)
	names := reportsOf(filesOf(t, c))
	if want := []string{"abuse/192.0.2.0_24.eml", "abuse/198.51.100.0_24.txt", "abuse/2001-db8-1--_48.eml"}; !slices.Equal(names, want) {
		t.Error(names)
	}
	_, _, parts := parsed(t, filesOf(t, c)["abuse/2001-db8-1--_48.eml"])
	if parts[2] != "Return-Path: <alice@example.org>\r\nMessage-ID: <d@thief.test>\r\n" {
		t.Errorf("%q", parts[2])
	}
	// Where the evidence names a network, the owner's own is not reported.
	c.Incident.Seen = []incident.Origin{{Peer: netip.MustParseAddr("192.0.2.8"), At: at}}
	if names := reportsOf(filesOf(t, c)); !slices.Equal(names, []string{"abuse/192.0.2.0_24.eml"}) {
		t.Error(names)
	}
	// The message at which the account was stopped was never taken.
	c.Facts, c.Incident.Cause = nil, incident.Cause{Sender: "<alice@example.org>", MessageID: "<x@thief.test>", Recipients: []string{"v@victim.test"}}
	_, _, parts = parsed(t, filesOf(t, c)["abuse/192.0.2.0_24.eml"])
	if !strings.Contains(parts[1], "Source-IP: 192.0.2.8\r\n") || !strings.Contains(parts[1], "Incidents: 1\r\n") || !strings.Contains(parts[2], "<x@thief.test>") {
		t.Error(parts)
	}
}

func reportsOf(files map[string]string) (names []string) {
	for name := range files {
		if strings.HasPrefix(name, reportFolder) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// What a thief wrote cannot end a part of a report, nor add a field to it.
func TestTextOfOthersStaysText(t *testing.T) {
	c := stolen(t)
	c.Facts[0].Fact.MessageID, c.Facts[1].Fact.MessageID = "a\r\nb", "<x>\r\nTo: all@victim.test\r\n\r\n--=_"
	c.Facts[1].Fact.Sender = "a\r\nVersion: 2@x"
	c.Headers = nil
	_, kinds, parts := parsed(t, filesOf(t, c)["abuse/192.0.2.0_24.eml"])
	if len(kinds) != 3 || strings.Contains(parts[1], "\r\nVersion: 2") || strings.Contains(parts[2], "\nTo:") {
		t.Error(kinds, parts)
	}
}

func TestThePageQuotesTheNotice(t *testing.T) {
	c := stolen(t)
	if page := filesOf(t, c)[Page]; strings.Contains(page, "greeting") || !strings.Contains(page, Fingerprint(c.PEM)) || !strings.Contains(page, "incident 7") {
		t.Error(page)
	}
	c.Notice = "no unauthorised use"
	if page := filesOf(t, c)[Page]; !strings.Contains(page, "greeting:\n\n    no unauthorised use\n") {
		t.Error(page)
	}
}

func TestTheManifestNamesEveryFile(t *testing.T) {
	got := string(Manifest([]File{{"a.txt", []byte("abc")}, {"b/c", nil}}))
	want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.txt\n" + // FIPS 180-4, example of one block
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b/c\n"
	if got != want {
		t.Error(got)
	}
}
