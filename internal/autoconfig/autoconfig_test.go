package autoconfig

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/mail"
)

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// all are the doors of a server that has each kind, some of them twice.
func all() []Door {
	return []Door{
		{Submission, 587, false}, {Submission, 2587, false}, {Submission, 465, true}, {POP3, 110, false}, {POP3, 995, true},
		{IMAP, 0, true}, {IMAP, 143, false}, {IMAP, 993, true},
	}
}

func settings(t testing.TB, doors ...Door) Settings {
	t.Helper()
	return New(domain(t, "example.org"), domain(t, "mx.example.net"), doors)
}

func TestBetterDoorsComeFirst(t *testing.T) {
	want := []Door{{IMAP, 993, true}, {IMAP, 143, false}, {POP3, 995, true}, {POP3, 110, false}, {Submission, 465, true}, {Submission, 587, false}}
	if d := cmp.Diff(want, settings(t, all()...).Doors); d != "" {
		t.Error(d)
	}
}

func TestThunderbird(t *testing.T) {
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.org">
    <domain>example.org</domain>
    <displayName>example.org</displayName>
    <displayShortName>example.org</displayShortName>
    <incomingServer type="imap">
      <hostname>mx.example.net</hostname>
      <port>143</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mx.example.net</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>
`
	if got := string(settings(t, Door{IMAP, 143, false}, Door{Submission, 465, true}).Thunderbird()); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestAutodiscover(t *testing.T) {
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
  <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>
      <Protocol>
        <Type>IMAP</Type>
        <Server>mx.example.net</Server>
        <Port>993</Port>
        <DomainRequired>off</DomainRequired>
        <LoginName>o&#39;hara&amp;co@example.org</LoginName>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>SSL</Encryption>
        <AuthRequired>on</AuthRequired>
      </Protocol>
      <Protocol>
        <Type>SMTP</Type>
        <Server>mx.example.net</Server>
        <Port>587</Port>
        <DomainRequired>off</DomainRequired>
        <LoginName>o&#39;hara&amp;co@example.org</LoginName>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>TLS</Encryption>
        <AuthRequired>on</AuthRequired>
        <UsePOPAuth>off</UsePOPAuth>
        <SMTPLast>off</SMTPLast>
      </Protocol>
    </Account>
  </Response>
</Autodiscover>
`
	got := string(settings(t, Door{IMAP, 143, false}, Door{IMAP, 993, true}, Door{Submission, 587, false}).Autodiscover(address(t, "o'hara&co@example.org")))
	if got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestPACC(t *testing.T) {
	const want = `{"protocols":{"imap":{"host":"mx.example.net"},"pop3":{"host":"mx.example.net"},"smtp":{"host":"mx.example.net"},"submit":{"host":"mx.example.net"}},"authentication":{"password":true},"info":{"provider":{"name":"example.org","shortName":"example.org"}}}`
	s := settings(t, all()...)
	if got := string(s.PACC()); got != want {
		t.Error(cmp.Diff(want, got))
	}
	sum := sha256.Sum256([]byte(want))
	name, text := s.TXT()
	if name != "_ua-auto-config.example.org" || text != "v=UAAC1; a=sha256; d="+base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("%s %s", name, text)
	}
	// What is not at the usual port, or begins in clear text, the draft cannot say.
	var v struct{ Protocols map[string]any }
	if err := json.Unmarshal(settings(t, Door{IMAP, 1993, true}, Door{Submission, 587, false}).PACC(), &v); err != nil || len(v.Protocols) != 0 {
		t.Errorf("%v, %v", v, err)
	}
}

func TestSRV(t *testing.T) {
	var got []string
	for _, r := range settings(t, Door{IMAP, 993, true}, Door{IMAP, 143, false}, Door{POP3, 995, true}, Door{Submission, 587, false}).SRV() {
		got = append(got, r.Name+" "+r.Data())
	}
	want := []string{
		"_imaps._tcp.example.org 0 1 993 mx.example.net.", "_imap._tcp.example.org 10 1 143 mx.example.net.",
		"_pop3s._tcp.example.org 20 1 995 mx.example.net.", "_pop3._tcp.example.org 0 0 0 .",
		"_submissions._tcp.example.org 0 0 0 .", "_submission._tcp.example.org 10 1 587 mx.example.net.",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestApple(t *testing.T) {
	profile, ok := settings(t, all()...).Apple(address(t, "a&b@example.org"))
	if !ok {
		t.Fatal("no profile")
	}
	again, _ := settings(t, all()...).Apple(address(t, "a&b@example.org"))
	other, _ := settings(t, all()...).Apple(address(t, "c@example.org"))
	if string(again) != string(profile) || uuid("a") == uuid("b") || string(other) == string(profile) {
		t.Error("a profile is not named by its account")
	}
	for _, want := range []string{"<string>a&amp;b@example.org</string>", "<key>IncomingMailServerPortNumber</key><integer>993</integer>", "<key>OutgoingMailServerPortNumber</key><integer>465</integer>", "<string>EmailTypeIMAP</string>", "<key>OutgoingMailServerUseSSL</key><true/>"} {
		if !strings.Contains(string(profile), want) {
			t.Errorf("%s is missing in %s", want, profile)
		}
	}
	for name, doors := range map[string][]Door{"nothing to read with": {{Submission, 465, true}}, "nothing to send with": {{IMAP, 993, true}}} {
		if _, ok := settings(t, doors...).Apple(address(t, "a@example.org")); ok {
			t.Errorf("a profile with %s", name)
		}
	}
	if p, ok := settings(t, Door{POP3, 995, true}, Door{Submission, 465, true}).Apple(address(t, "a@example.org")); !ok || !strings.Contains(string(p), "EmailTypePOP") {
		t.Error("no profile for POP3")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", `import plistlib,sys
p=plistlib.loads(sys.stdin.buffer.read()); m=p["PayloadContent"][0]
print(p["PayloadType"],p["PayloadVersion"],m["EmailAddress"],m["IncomingMailServerHostName"],m["IncomingMailServerPortNumber"],m["OutgoingMailServerUseSSL"],p["PayloadUUID"]!=m["PayloadUUID"])`)
	cmd.Stdin = strings.NewReader(string(profile))
	out, err := cmd.CombinedOutput()
	if want := "Configuration 1 a&b@example.org mx.example.net 993 True True\n"; string(out) != want || err != nil {
		t.Errorf("Python reads %s (%v)", out, err)
	}
}

const request = `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>ADDRESS</EMailAddress><AcceptableResponseSchema>SCHEMA</AcceptableResponseSchema></Request></Autodiscover>`

// Programs are answered under the names and paths that they ask; nobody else is, and nobody learns
// whether an address exists.
func TestServer(t *testing.T) {
	ours := domain(t, "example.org")
	web := httptest.NewTLSServer(Server{
		Ours:     func(d mail.Domain) bool { return d == ours },
		Settings: func(d mail.Domain) Settings { return New(d, domain(t, "mx.example.net"), all()) },
	})
	defer web.Close()
	ask := func(method, host, path, body string) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b), resp.Header
	}
	outlook := strings.NewReplacer("SCHEMA", outlookSpace, "ADDRESS", "anybody@example.org").Replace(request)
	for _, c := range []struct {
		method, host, path, body string
		code                     int
		kind                     string
	}{
		{"GET", "autoconfig.example.org", "/mail/config-v1.1.xml", "", 200, "text/xml; charset=utf-8"},
		{"GET", "AUTOCONFIG.example.org:443", "/mail/config-v1.1.xml?emailaddress=anybody%40example.org", "", 200, "text/xml; charset=utf-8"},
		{"GET", "example.org", "/.well-known/autoconfig/mail/config-v1.1.xml", "", 200, "text/xml; charset=utf-8"},
		{"GET", "ua-auto-config.example.org", "/.well-known/user-agent-configuration.json", "", 200, "application/json"},
		{"GET", "autoconfig.example.org", "/apple.mobileconfig?emailaddress=anybody@example.org", "", 200, "application/x-apple-aspen-config"},
		{"POST", "autodiscover.example.org", "/Autodiscover/Autodiscover.xml", outlook, 200, "text/xml; charset=utf-8"},
		{"POST", "example.org", "/autodiscover/autodiscover.xml", outlook, 200, "text/xml; charset=utf-8"},

		{"GET", "autoconfig.other.org", "/mail/config-v1.1.xml", "", 404, ""},
		{"GET", "example.org", "/mail/config-v1.1.xml", "", 404, ""},
		{"GET", "autoconfig.example.org", "/mail%2Fconfig-v1.1.xml", "", 404, ""},
		{"GET", "autoconfig.example.org", "/", "", 404, ""},
		{"GET", "mx.example.net", "/mail/config-v1.1.xml", "", 404, ""},
		{"POST", "autoconfig.example.org", "/mail/config-v1.1.xml", "", 405, ""},
		{"GET", "autodiscover.example.org", "/autodiscover/autodiscover.xml", "", 405, ""},
		{"POST", "autodiscover.example.org", "/autodiscover/autodiscover.xml", "<a", 400, ""},
		{"POST", "autodiscover.example.org", "/autodiscover/autodiscover.xml", strings.Replace(outlook, "responseschema", "mobilesync", 1), 400, ""},
		{"POST", "autodiscover.example.org", "/autodiscover/autodiscover.xml", strings.Replace(outlook, "anybody@example.org", "a@other.org", 1), 400, ""},
		{"POST", "autodiscover.example.org", "/autodiscover/autodiscover.xml", strings.Replace(outlook, "anybody", strings.Repeat(" ", maxRequestOctets)+"a", 1), 400, ""},
		{"GET", "autoconfig.example.org", "/apple.mobileconfig", "", 404, ""},
		{"GET", "autoconfig.example.org", "/apple.mobileconfig?emailaddress=a@other.org", "", 404, ""},
		{"POST", "autoconfig.example.org", "/apple.mobileconfig?emailaddress=a@example.org", "", 405, ""},
	} {
		code, body, header := ask(c.method, c.host, c.path, c.body)
		if code != c.code || c.code == 200 && header.Get("Content-Type") != c.kind || c.code != 200 && body != "" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s%s: %d %v %q", c.method, c.host, c.path, code, header, body)
		}
		if c.code == 200 && strings.Contains(c.kind, "xml") && xml.Unmarshal([]byte(body), new(struct{})) != nil {
			t.Errorf("%s%s is no XML: %s", c.host, c.path, body)
		}
	}
}

// Whatever is sent as Autodiscover, what is read of it is an address, or nothing.
func FuzzReadRequest(f *testing.F) {
	f.Add(request)
	f.Add(strings.NewReplacer("SCHEMA", outlookSpace, "ADDRESS", "a@b.test").Replace(request))
	f.Add("<a><b>&x;</b></a>")
	f.Fuzz(func(t *testing.T, text string) {
		s := settings(t, all()...)
		in, err := readRequest(strings.NewReader(text))
		if err != nil {
			return
		}
		if user, ok := s.user(in); ok && xml.Unmarshal(s.Autodiscover(user), new(struct{})) != nil {
			t.Fatalf("%q makes an answer that is no XML", text)
		}
	})
}
