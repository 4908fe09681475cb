package autoconfig

import (
	"slices"
	"strconv"

	"sallyport/internal/mail"
)

// Protocol is what a door speaks.
type Protocol uint8

const (
	// IMAP reads mailboxes.
	IMAP Protocol = iota + 1
	// POP3 fetches mail.
	POP3
	// Submission sends mail.
	Submission
)

// Door is one way in for mail programs.
type Door struct {
	Protocol Protocol
	Port     uint16
	Implicit bool // TLS comes first; else STARTTLS or STLS
}

// Settings are what a program needs to know of a domain of ours. A user is named by the whole
// address.
type Settings struct {
	Domain mail.Domain // of the addresses
	Host   mail.Domain // where the doors are
	Doors  []Door      // the better ones of a protocol first
}

// New returns the settings of a domain; doors with TLS from the first octet come first. RFC 8314
// §3. Of doors that are alike the first one is told.
func New(domain, host mail.Domain, doors []Door) Settings {
	s := Settings{Domain: domain, Host: host}
	for _, implicit := range []bool{true, false} {
		for _, p := range []Protocol{IMAP, POP3, Submission} {
			i := slices.IndexFunc(doors, func(d Door) bool { return d.Protocol == p && d.Implicit == implicit && d.Port != 0 })
			if i >= 0 {
				s.Doors = append(s.Doors, doors[i])
			}
		}
	}
	slices.SortStableFunc(s.Doors, func(a, b Door) int { return int(a.Protocol) - int(b.Protocol) })
	return s
}

// best returns the door of a protocol that programs should use.
func (s Settings) best(p Protocol) (Door, bool) {
	for _, d := range s.Doors {
		if d.Protocol == p {
			return d, true
		}
	}
	return Door{}, false
}

// SRV is a record that says where a service is. RFC 2782.
type SRV struct {
	Service  string // its name without an underscore
	Name     string // with the domain, without a dot at its end
	Priority uint16
	Weight   uint16
	Port     uint16
	Target   string // with a dot at its end; "." where there is no such service. RFC 6186 §3.4
}

// Data is the record as a zone file has it.
func (r SRV) Data() string {
	n := func(v uint16) string { return strconv.Itoa(int(v)) }
	return n(r.Priority) + " " + n(r.Weight) + " " + n(r.Port) + " " + r.Target
}

// SRV returns the records of the domain, for services that there are and that there are not. Those
// with TLS from the first octet are preferred. RFC 6186 §3.4, RFC 8314 §5.1.
func (s Settings) SRV() []SRV {
	var all []SRV
	for _, service := range []struct {
		name string
		door Door
	}{
		{"imaps", Door{Protocol: IMAP, Implicit: true}}, {"imap", Door{Protocol: IMAP}},
		{"pop3s", Door{Protocol: POP3, Implicit: true}}, {"pop3", Door{Protocol: POP3}},
		{"submissions", Door{Protocol: Submission, Implicit: true}}, {"submission", Door{Protocol: Submission}},
	} {
		r := SRV{Service: service.name, Name: "_" + service.name + "._tcp." + s.Domain.ASCII(), Target: "."}
		for _, d := range s.Doors {
			if d.Protocol == service.door.Protocol && d.Implicit == service.door.Implicit {
				r.Port, r.Weight, r.Target = d.Port, 1, s.Host.ASCII()+"."
				if r.Priority = 0; !d.Implicit {
					r.Priority = 10
				}
				if d.Protocol == POP3 {
					r.Priority += 20 // RFC 6186 §3.3: IMAP is preferred
				}
			}
		}
		all = append(all, r)
	}
	return all
}
