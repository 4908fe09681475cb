package letters

import (
	"sallyport/internal/config"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/kit/pki"
)

// Change is which program is told of incidents from now on.
type Change struct {
	l    *Letters
	next webhook.Settings
}

// Build reads who is told of incidents. The error is that of a file.
func (l *Letters) Build(cfg config.Config) (*Change, error) {
	s, err := program(cfg)
	if err != nil {
		return nil, err
	}
	return &Change{l, s}, nil
}

// Adopt tells him from now on.
func (c *Change) Adopt() { c.l.Webhook.Adjust(c.next) }

// Abandon does nothing: nobody was told yet.
func (c *Change) Abandon() {}

// program says which program is told of incidents. The error is that of a file.
func program(cfg config.Config) (s webhook.Settings, err error) {
	if cfg.Webhook.URL == nil {
		return s, nil
	}
	if s.Keys, err = config.ReadWebhookKeys(cfg.Webhook.KeyFile); err != nil {
		return webhook.Settings{}, cfg.Fault("webhook.key_file", err.Error(), "")
	}
	roots, pem, err := pki.Authorities(cfg.Webhook.CA)
	if err != nil {
		return webhook.Settings{}, cfg.Fault("webhook.ca", err.Error(), "")
	}
	s.URL, s.Roots, s.Trust = cfg.Webhook.URL, roots, string(pem)
	return s, nil
}
