package autoconfig

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"strconv"

	"sallyport/internal/mail"
)

// TXT returns the name and the text of the record that vouches for PACC's answer.
// draft-ietf-mailmaint-pacc-03 §5.
func (s Settings) TXT() (name, text string) {
	sum := sha256.Sum256(s.PACC())
	return "_" + paccPrefix + s.Domain.ASCII(), "v=UAAC1; a=sha256; d=" + base64.StdEncoding.EncodeToString(sum[:])
}

// Names of Thunderbird's form. https://wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat
type (
	clientConfig struct {
		XMLName  xml.Name      `xml:"clientConfig"`
		Version  string        `xml:"version,attr"`
		Provider emailProvider `xml:"emailProvider"`
	}
	emailProvider struct {
		ID       string         `xml:"id,attr"`
		Domain   string         `xml:"domain"`
		Name     string         `xml:"displayName"`
		Short    string         `xml:"displayShortName"`
		Incoming []clientServer `xml:"incomingServer"`
		Outgoing []clientServer `xml:"outgoingServer"`
	}
	clientServer struct {
		Type   string `xml:"type,attr"`
		Host   string `xml:"hostname"`
		Port   uint16 `xml:"port"`
		Socket string `xml:"socketType"`
		Auth   string `xml:"authentication"`
		User   string `xml:"username"`
	}
)

// Thunderbird returns config-v1.1.xml.
func (s Settings) Thunderbird() []byte {
	p := emailProvider{ID: s.Domain.ASCII(), Domain: s.Domain.ASCII(), Name: s.Domain.Unicode(), Short: s.Domain.Unicode()}
	for _, d := range s.Doors {
		c := clientServer{Host: s.Host.ASCII(), Port: d.Port, Socket: "STARTTLS", Auth: "password-cleartext", User: "%EMAILADDRESS%"}
		if d.Implicit {
			c.Socket = "SSL"
		}
		switch d.Protocol {
		case IMAP:
			c.Type = "imap"
		case POP3:
			c.Type = "pop3"
		default:
			c.Type = "smtp"
			p.Outgoing = append(p.Outgoing, c)
			continue
		}
		p.Incoming = append(p.Incoming, c)
	}
	return document(clientConfig{Version: "1.1", Provider: p})
}

// document writes XML. Every value in it is one that XML can hold.
func document(v any) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	_ = e.Encode(v) // of plain structs, into memory
	b.WriteByte('\n')
	return b.Bytes()
}

const (
	autodiscoverSpace = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
	outlookSpace      = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// Names of Autodiscover. [MS-OXDSCLI] §2.2.4
type (
	autodiscover struct {
		XMLName  xml.Name        `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
		Response outlookResponse `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
	}
	outlookResponse struct {
		Account outlookAccount
	}
	outlookAccount struct {
		AccountType, Action string
		Protocol            []outlookProtocol
	}
	outlookProtocol struct {
		Type, Server   string
		Port           uint16
		DomainRequired string
		LoginName      string
		SPA            string
		SSL            string
		Encryption     string `xml:",omitempty"`
		AuthRequired   string
		UsePOPAuth     string `xml:",omitempty"`
		SMTPLast       string `xml:",omitempty"`
	}
)

// Autodiscover answers Outlook: the best door of each protocol, and the address as the name of
// the user, since Outlook takes its local part otherwise.
func (s Settings) Autodiscover(user mail.Address) []byte {
	a := outlookAccount{AccountType: "email", Action: "settings"}
	for _, p := range []struct {
		protocol Protocol
		name     string
	}{{IMAP, "IMAP"}, {POP3, "POP3"}, {Submission, "SMTP"}} {
		d, ok := s.best(p.protocol)
		if !ok {
			continue
		}
		o := outlookProtocol{
			Type: p.name, Server: s.Host.ASCII(), Port: d.Port, DomainRequired: "off", LoginName: user.String(),
			SPA: "off", SSL: "on", Encryption: "TLS", AuthRequired: "on",
		}
		if d.Implicit {
			o.Encryption = "SSL"
		}
		if p.protocol == Submission {
			o.UsePOPAuth, o.SMTPLast = "off", "off"
		}
		a.Protocol = append(a.Protocol, o)
	}
	return document(autodiscover{Response: outlookResponse{a}})
}

// PACC returns the answer of draft-ietf-mailmaint-pacc. It knows TLS from the first octet at the
// usual port alone; other doors are left out. Submission stands under its name of the draft's
// third version and that of the second.
func (s Settings) PACC() []byte {
	type host struct {
		Host string `json:"host"`
	}
	type provider struct {
		Name  string `json:"name"`
		Short string `json:"shortName,omitempty"`
	}
	var out struct {
		Protocols      map[string]host `json:"protocols"`
		Authentication struct {
			Password bool `json:"password"`
		} `json:"authentication"`
		Info struct {
			Provider provider `json:"provider"`
		} `json:"info"`
	}
	out.Protocols = map[string]host{}
	for _, d := range s.Doors {
		names := map[Door][]string{
			{IMAP, 993, true}: {"imap"}, {POP3, 995, true}: {"pop3"}, {Submission, 465, true}: {"submit", "smtp"},
		}[d]
		for _, n := range names {
			out.Protocols[n] = host{s.Host.ASCII()}
		}
	}
	out.Authentication.Password = true
	out.Info.Provider = provider{cut(s.Domain.Unicode(), mostProvider), cut(s.Domain.Unicode(), mostShortProvider)}
	b, _ := json.Marshal(out) // of plain structs; keys of a map are sorted
	return b
}

// What PACC lets the names of a provider have, in characters; programs show them beside an icon.
const (
	mostProvider      = 60
	mostShortProvider = 20
)

// cut is the begin of a text.
func cut(s string, most int) string {
	r := []rune(s)
	return string(r[:min(len(r), most)])
}

// Apple returns a configuration profile for an account, without a password, which the device asks
// for. ok is false where mail cannot both be read and sent. Apple's "Configuration Profile
// Reference", com.apple.mail.managed.
func (s Settings) Apple(user mail.Address) (profile []byte, ok bool) {
	in, kind := Door{}, "EmailTypeIMAP"
	if in, ok = s.best(IMAP); !ok {
		kind = "EmailTypePOP"
		if in, ok = s.best(POP3); !ok {
			return nil, false
		}
	}
	out, ok := s.best(Submission)
	if !ok {
		return nil, false
	}
	address := user.String()
	id := func(what string) string { return uuid(what + " " + s.Host.ASCII() + " " + address) }
	var p plist
	p.begin()
	p.raw("<key>PayloadContent</key><array><dict>")
	p.text("EmailAccountDescription", address)
	p.text("EmailAccountType", kind)
	p.text("EmailAddress", address)
	p.server("IncomingMailServer", s.Host.ASCII(), in, address)
	p.server("OutgoingMailServer", s.Host.ASCII(), out, address)
	p.flag("OutgoingPasswordSameAsIncomingPassword", true)
	p.text("PayloadDisplayName", address)
	p.text("PayloadIdentifier", "sallyport.mail."+id("account"))
	p.text("PayloadType", "com.apple.mail.managed")
	p.text("PayloadUUID", id("account"))
	p.raw("<key>PayloadVersion</key><integer>1</integer></dict></array>")
	p.text("PayloadDisplayName", "Mail for "+address)
	p.text("PayloadIdentifier", "sallyport.profile."+id("profile"))
	p.text("PayloadOrganization", s.Domain.Unicode())
	p.flag("PayloadRemovalDisallowed", false)
	p.text("PayloadType", "Configuration")
	p.text("PayloadUUID", id("profile"))
	p.raw("<key>PayloadVersion</key><integer>1</integer>")
	p.end()
	return p.b.Bytes(), true
}

// uuid names something by what it is, so that a profile replaces its predecessor. RFC 9562 §5.8.
func uuid(of string) string {
	sum := sha256.Sum256([]byte(of))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	const digits = "0123456789ABCDEF"
	var out []byte
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// plist writes a property list.
type plist struct{ b bytes.Buffer }

func (p *plist) begin() {
	p.raw(xml.Header)
	p.raw(`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n")
	p.raw(`<plist version="1.0"><dict>` + "\n")
}

func (p *plist) end() { p.raw("</dict></plist>\n") }

func (p *plist) raw(s string) { p.b.WriteString(s) }

func (p *plist) text(key, value string) {
	p.raw("<key>" + key + "</key><string>")
	_ = xml.EscapeText(&p.b, []byte(value)) // into memory
	p.raw("</string>\n")
}

func (p *plist) flag(key string, on bool) {
	p.raw("<key>" + key + "</key><" + strconv.FormatBool(on) + "/>\n")
}

func (p *plist) server(which, host string, d Door, user string) {
	p.text(which+"Authentication", "EmailAuthPassword")
	p.text(which+"HostName", host)
	p.raw("<key>" + which + "PortNumber</key><integer>" + strconv.Itoa(int(d.Port)) + "</integer>\n")
	p.flag(which+"UseSSL", true) // TLS, also by STARTTLS: the port says which
	p.text(which+"Username", user)
}
