package walk

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/test/guide"
)

const doorsForPeople = `mx = ["0.0.0.0:25"]
submission = ["0.0.0.0:587"]
submissions = ["0.0.0.0:465"]
imap = ["0.0.0.0:143"]
imaps = ["0.0.0.0:993"]
pop3s = ["127.0.0.1:995"]
`

// asked is what each address of the guide's table is asked with, and what is in the answer.
var asked = map[string]struct{ how, want string }{
	"https://autoconfig.DOMAIN/mail/config-v1.1.xml":                          {"", `(?s)<clientConfig version="1.1">.*<hostname>mx\.example\.org</hostname>\s*<port>993</port>\s*<socketType>SSL</socketType>`},
	"https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml":              {"", `(?s)<outgoingServer type="smtp">\s*<hostname>mx\.example\.org</hostname>\s*<port>465</port>`},
	"https://autodiscover.DOMAIN/autodiscover/autodiscover.xml":               {outlook, `(?s)<Type>IMAP</Type>\s*<Server>mx\.example\.org</Server>\s*<Port>993</Port>`},
	"https://ua-auto-config.DOMAIN/.well-known/user-agent-configuration.json": {"", `"imap"\s*:\s*\{[^}]*"mx\.example\.org"`},
	"https://autoconfig.DOMAIN/apple.mobileconfig?emailaddress=ADDRESS":       {"", `<key>IncomingMailServerPortNumber</key>\s*<integer>993</integer>`},
}

// outlook is what Outlook sends.
const outlook = ` -H 'Content-Type: text/xml' -d '<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>ADDRESS</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>'`

// The guide to programs that configure themselves: its switch, the DNS that it has printed, and each
// address that it names, asked as a program does that believes no certificate by itself.
func TestGuideAutoconfig(t *testing.T) {
	f := follow(t, guide.Open(t, "autoconfig.md"), newcomersZone+"example.org. 300 IN A 127.0.0.1\n",
		strings.Replace(least, "mx = [\"127.0.0.1:25\"]\nsubmission = [\"127.0.0.1:587\"]\n", doorsForPeople, 1),
		"alice@example.org")
	f.doc.EveryCommand(nil)
	f.doc.Says("a certificate for `autoconfig.DOMAIN`, `autodiscover.DOMAIN` and `ua-auto-config.DOMAIN` of each domain")
	f.trusted("mx.example.org", "example.org", "autoconfig.example.org", "autodiscover.example.org", "ua-auto-config.example.org")
	f.serve("sallyport serve", "127.0.0.1:25")
	f.edit(f.doc.Block("toml", 0))
	f.doc.Says("Then restart the server: `sallyport reload` does not open this door.")
	f.gives(0, "sallyport check && "+f.doc.Command("sallyport reload"), "autoconfig.listen.*restart|restart.*autoconfig.listen")
	f.gives(7, "curl -sS https://autoconfig.example.org/mail/config-v1.1.xml --resolve autoconfig.example.org:443:127.0.0.1")
	f.halt()
	f.serve("sallyport serve", "127.0.0.1:25")
	records := f.doc.Command("sallyport domain records DOMAIN", "DOMAIN", "example.org")
	doctor := f.doc.Command("sallyport doctor")
	f.gives(1, doctor, "autoconfig.example.org", "autodiscover.example.org", "ua-auto-config.example.org", "SRV")
	f.doc.Says("an SRV record for each service, also for those that are not there")
	printed := f.gives(0, records, `(?m)^_imaps\._tcp\.example\.org\. \d+ IN SRV 0 1 993 mx\.example\.org\.$`, `(?m)^_pop3s\._tcp\.example\.org\. \d+ IN SRV 0 0 0 \.$`)
	f.names.add(t, "$ORIGIN example.org.\n"+printed)
	if out := f.gives(1, doctor); regexp.MustCompile("(?i)autoconfig|autodiscover|SRV|ua-auto-config").MatchString(out) {
		t.Errorf("the doctor is not content with what is printed:\n%s", out)
	}
	answers := f.asks()
	f.vouched(printed, answers["https://ua-auto-config.DOMAIN/.well-known/user-agent-configuration.json"])
	f.byHand()
	f.doc.Says("That one changes when a door or `hostname` does: print it again then.")
	f.must(`sed -i '/^imaps = /d' /etc/sallyport/sallyport.toml && sallyport reload`)
	f.doc.Says("`sallyport doctor` says what is missing or says something else")
	f.gives(1, doctor, "_ua-auto-config.example.org", "_imaps._tcp.example.org")
	if again := f.gives(0, records); again == printed {
		t.Error("the records are what they were")
	}
}

// asks asks everywhere, for an account and for somebody whom nobody knows.
func (f *follower) asks() map[string]string {
	f.t.Helper()
	table := regexp.MustCompile(`https://[^ \x60]*`).FindAllString(f.doc.Text(), -1)
	if len(table) != len(asked) {
		f.t.Errorf("the guide names %q", table)
	}
	answers := map[string]string{}
	for _, url := range table {
		a, ok := asked[url]
		if !ok {
			f.t.Errorf("the test does not know %s", url)
		}
		var both []string
		for _, who := range []string{"alice@example.org", "nobody@example.org"} {
			line := strings.NewReplacer("DOMAIN", "example.org", "ADDRESS", who).Replace("curl -sS --fail '" + url + "'" + a.how)
			both = append(both, f.gives(0, line, a.want))
		}
		f.doc.Says("The answers are the same for every address of a domain, whether it exists or not")
		uuid := regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}`)
		same := strings.ReplaceAll(both[1], "nobody@", "alice@")
		if uuid.ReplaceAllString(same, "") != uuid.ReplaceAllString(both[0], "") {
			f.t.Errorf("%s: the answers differ:\n%s\n%s", url, both[0], both[1])
		}
		f.doc.Says("A door on loopback is left out")
		if strings.Contains(both[0], "995") {
			f.t.Errorf("%s tells of the door on loopback:\n%s", url, both[0])
		}
		answers[url] = both[0]
	}
	f.doc.Says("Nothing is told in clear text")
	f.gives(7, "curl -sS http://autoconfig.example.org/mail/config-v1.1.xml")
	return answers
}

// vouched holds the answer to PACC against its record.
func (f *follower) vouched(records, answer string) {
	f.t.Helper()
	record := regexp.MustCompile(`(?m)^_ua-auto-config\.example\.org\. \d+ IN TXT \( "v=UAAC1; a=sha256; d=([^"]+)" \)$`).FindStringSubmatch(records)
	sum := sha256.Sum256([]byte(answer))
	if record == nil || record[1] != base64.StdEncoding.EncodeToString(sum[:]) {
		f.t.Errorf("the record %q does not vouch for\n%s", record, answer)
	}
}

// byHand is what a person is told, and a profile.
func (f *follower) byHand() {
	f.t.Helper()
	commands := strings.Split(strings.TrimSpace(f.doc.Block("", 0)), "\n")
	if len(commands) != 2 {
		f.t.Fatalf("%q", commands)
	}
	f.gives(0, commands[0], `mx.example.org +993 +SSL/TLS +alice@example.org`, `mx.example.org +465 +SSL/TLS`)
	f.gives(0, commands[1])
	profile := f.read("/root/night/alice.mobileconfig")
	d := xml.NewDecoder(strings.NewReader(profile))
	var keys []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		must(f.t, err)
		if text, ok := token.(xml.CharData); ok {
			keys = append(keys, string(text))
		}
	}
	f.doc.Says("A profile holds no password: the device asks for it.")
	if !slices.Contains(keys, "alice@example.org") || slices.Contains(keys, "IncomingPassword") || strings.Contains(profile, password) {
		f.t.Errorf("the profile:\n%s", profile)
	}
}
