package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/kit/pki"
)

// Webhook says which program is told of incidents. The error is that of a file.
func Webhook(cfg config.Config) (s webhook.Settings, err error) {
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
