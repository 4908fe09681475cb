package main

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/autoconfig"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
)

type accountSettings struct {
	configFlag
	jsonFlag
	Address string `arg:"" help:"The account's full address."`
	Apple   bool   `help:"Print a configuration profile for Apple's devices instead."`
}

// Help shows examples.
func (accountSettings) Help() string {
	return `What a mail program or a phone wants to know: the server, the ports, and the name to sign in
with. It comes from the configuration; nobody looks whether the account exists. A profile
holds no password: the device asks for it.

Examples:
  sallyport account settings alice@example.org
  sallyport account settings alice@example.org --apple > alice.mobileconfig`
}

// programSetting is one door as a person enters it.
type programSetting struct {
	For      string `json:"for"`
	Server   string `json:"server"`
	Port     uint16 `json:"port"`
	Security string `json:"security"`
	User     string `json:"user"`
}

// Run prints the settings.
func (a accountSettings) Run(_ context.Context, c console) error {
	address, err := mail.ParseAddress(a.Address, mail.UTF8)
	if err != nil {
		return usageError{err.Error()}
	}
	cfg, err := config.Load(a.Config)
	if err != nil {
		return err
	}
	s := settings.Programs(cfg, address.Domain())
	if a.Apple {
		profile, ok := s.Apple(address)
		if !ok {
			return errors.New("a profile needs a door to read mail at and one to send it at; [listen] has none of one kind")
		}
		c.lines(string(profile))
		return nil
	}
	if len(s.Doors) == 0 {
		return errors.New("[listen] has no door for mail programs")
	}
	t := newTable(c, "FOR", "SERVER", "PORT", "SECURITY", "USER NAME")
	for _, d := range s.Doors {
		v := programSetting{
			For: doorPurpose(d.Protocol), Server: s.Host.ASCII(), Port: d.Port, Security: "STARTTLS",
			User: address.String(),
		}
		if d.Implicit {
			v.Security = "SSL/TLS"
		}
		if a.JSON {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
			continue
		}
		t.row(v.For, v.Server, fmt.Sprint(v.Port), v.Security, v.User)
	}
	if a.JSON {
		return nil
	}
	return t.flushOr("")
}

func doorPurpose(p autoconfig.Protocol) string {
	switch p {
	case autoconfig.IMAP:
		return "reading (IMAP)"
	case autoconfig.POP3:
		return "fetching (POP3)"
	}
	return "sending (SMTP)"
}
