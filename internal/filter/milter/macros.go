package milter

import (
	"cmp"
	"strings"
)

// stage is a place at which macros are given, by libmilter's numbers.
type stage uint32

const (
	stageConnect stage = iota
	stageHelo
	stageMail
	stageRcpt
	stageData
	stageEnd
	stageEOH
)

// choice is what a filter gets that does not choose for itself.
func choice(at stage) []string {
	switch at {
	case stageConnect:
		return []string{"j", "_", "{daemon_name}", "{client_addr}", "{client_name}", "v"}
	case stageHelo:
		return []string{"{tls_version}", "{cipher}"}
	case stageMail:
		return []string{"i", "{auth_authen}", "{mail_addr}", "{mail_host}", "{mail_mailer}"}
	case stageRcpt:
		return []string{"{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"}
	case stageData, stageEnd, stageEOH:
		return []string{"i"}
	}
	return nil
}

// macros returns what is known of the message beside its own words; what has no value
// is left out.
func (m Message) macros() map[string]string {
	client := cmp.Or(m.ClientName, "unknown")
	v := map[string]string{
		"j": m.Hostname.ASCII(), "v": "sallyport", "_": client + " [" + m.Client.String() + "]", "i": m.ID.String(),
		"{daemon_name}": m.Door, "{client_addr}": m.Client.String(), "{client_name}": client,
		"{tls_version}": m.TLSVersion, "{cipher}": m.TLSCipher,
		"{mail_mailer}": "smtp", "{rcpt_mailer}": "smtp",
	}
	if !m.Account.IsZero() {
		v["{auth_authen}"] = m.Account.String()
	}
	if from, ok := m.From.Address(); ok {
		v["{mail_addr}"], v["{mail_host}"] = from.String(), from.Domain().ASCII()
	}
	return v
}

// packMacros builds the packet that precedes a command: the filter's own choice where
// it made one.
func packMacros(cmd byte, names []string, values map[string]string) []byte {
	b := []byte{cmd}
	for _, name := range names {
		value, ok := values[name]
		if !ok && len(name) > 1 { // {i} is i
			value = values[strings.Trim(name, "{}")]
		}
		if value != "" {
			b = append(b, texts(name, value)...)
		}
	}
	return b
}
