package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/filter/sender"
	"sallyport/internal/hijack/watch"
)

// Watch says how accounts are watched for theft.
func Watch(cfg config.Config) watch.Settings {
	return watch.Settings{Mode: cfg.Hijack.Mode, Params: cfg.Hijack.Params()}
}

// Sender says what becomes of mail by who its sender really is. What is not known is the
// strictest.
func Sender(a config.Authentication) sender.Policy {
	p := sender.Policy{Check: a.Check, Apply: a.Apply, Own: sender.OwnRefuse, Time: a.Time}
	switch a.Own {
	case config.OwnJunk:
		p.Own = sender.OwnJunk
	case config.OwnDMARC:
		p.Own = sender.OwnDMARC
	}
	return p
}
