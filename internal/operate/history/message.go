package history

import (
	"errors"
	"io"
	netmail "net/mail"
	"time"

	"sallyport/internal/mail"
)

// Message reads the header section of a message that somebody sent: its author, whom To,
// Cc and Bcc name, and its date. filed is when the copy was kept; it stands for a date
// that is missing, does not read, or is later.
func Message(r io.Reader, filed time.Time, l Limits) (Sent, error) {
	within := &io.LimitedReader{R: r, N: int64(l.Header)}
	m, err := netmail.ReadMessage(within)
	if err != nil {
		return Sent{}, err
	}
	if within.N == 0 {
		if n, _ := io.ReadFull(m.Body, make([]byte, 1)); n == 0 {
			return Sent{}, errors.New("its header section is too long") // and was cut
		}
	}
	from := addresses(m.Header, "From")
	if len(from) != 1 {
		return Sent{}, errors.New("it has no author, or several")
	}
	s := Sent{From: from[0], At: filed}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		s.To = append(s.To, addresses(m.Header, name)...)
	}
	if at, err := m.Header.Date(); err == nil && at.Before(filed) {
		s.At = at
	}
	return s, nil
}

// addresses reads every field of a name; one that does not read names nobody.
func addresses(h netmail.Header, name string) (out []mail.Address) {
	for _, text := range h[name] {
		all, err := netmail.ParseAddressList(text)
		if err != nil {
			continue
		}
		for _, one := range all {
			if a, err := mail.ParseAddress(one.Address, mail.UTF8); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}
