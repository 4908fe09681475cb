package doors

import (
	"net"

	"sallyport/internal/access"
	"sallyport/internal/fact"
	"sallyport/internal/smtp/server"
)

// Addrs are the addresses really bound, in the order of the configuration.
type Addrs struct {
	MX          []string `json:"mx"`
	Submission  []string `json:"submission"`
	Submissions []string `json:"submissions"`
	IMAP        []string `json:"imap"`
	IMAPS       []string `json:"imaps"`
	POP3        []string `json:"pop3"`
	POP3S       []string `json:"pop3s"`
	Sendmail    string   `json:"sendmail,omitempty"` // the socket of the sendmail command
}

// Addrs returns what is bound now.
func (d *Doors) Addrs() Addrs {
	at := d.listeners.Addrs
	a := Addrs{
		MX: at("mx"), Submission: at("submission"), Submissions: at("submissions"), IMAP: at("imap"),
		IMAPS: at("imaps"), POP3: at("pop3"), POP3S: at("pop3s"),
	}
	if local := at(server.KindSendmail.String()); len(local) > 0 {
		a.Sendmail = local[0]
	}
	return a
}

// Listening names each door and its address.
func (d *Doors) Listening() []fact.Pair {
	var out []fact.Pair
	add := func(door string) {
		for _, at := range d.listeners.Addrs(door) {
			out = append(out, fact.Pair{Name: door, Value: at})
		}
	}
	for _, door := range d.o.Config().Listen.Doors() {
		add(door.Name)
	}
	add(server.KindSendmail.String())
	return out
}

// Table has the addresses of each door, as an operator sees them.
func (d *Doors) Table() map[string][]string {
	listen := map[string][]string{}
	for _, door := range d.o.Config().Listen.Doors() {
		if at := d.listeners.Addrs(door.Name); len(at) > 0 || !door.Reads {
			listen[door.Name] = at
		}
	}
	if a := d.Addrs(); a.Sendmail != "" {
		listen["sendmail"] = []string{a.Sendmail}
	}
	return listen
}

// Of returns what is bound for a service.
func (d *Doors) Of(service string) []net.Listener { return d.listeners.Of(service) }

// Posting is the configuration of the next connection of a kind of door that takes mail.
func (d *Doors) Posting(k server.Kind) server.Config { return d.posting.Of(k).Config() }

// Reading is that of a kind of door behind which mailboxes are read; false: there is none.
func (d *Doors) Reading(k access.Kind) (access.Config, bool) { return d.reading.Config(k) }

// Count is how many connections there are, and were.
type Count struct {
	Posting, Reading    int // open now
	Entered, TurnedAway uint64
}

// Count counts connections.
func (d *Doors) Count() (c Count) {
	c.Posting, c.Reading = d.admission.Open(), d.readers.Open()
	entered, away := d.readers.Counts()
	c.Entered, c.TurnedAway = d.admission.Counts()
	c.Entered, c.TurnedAway = c.Entered+entered, c.TurnedAway+away
	return c
}
