package config

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// Webhook says which other program is told of incidents.
type Webhook struct {
	URL     *url.URL // nil: none
	KeyFile string
	CA      string // "": the system's authorities
}

func webhookKeys() []entry[Webhook] {
	return []entry[Webhook]{
		parsed(Key{Path: "webhook.url", Type: TypeURL, Max: "2048",
			Doc: `Where another program is told of each incident, once when it is raised and once when it is ` +
				`over: "https://hooks.example.org/mail". Requests are signed with the key of ` +
				`webhook.key_file, and its certificate must verify. [webhook.md](webhook.md) says what they ` +
				`hold and how a receiver checks them. Without it none is told.`},
			parseWebhook, func(w *Webhook) **url.URL { return &w.URL }),
		parsed(Key{Path: "webhook.key_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: `A file with the key that signs requests, as the receiver has it: "whsec_" and 24 to 64 ` +
				`octets in Base64. While keys are changed it holds two lines, and both sign. Nobody but its ` +
				`owner and its group may have access (mode 0600 or 0640).`},
			parsePath, func(w *Webhook) *string { return &w.KeyFile }),
		parsed(Key{Path: "webhook.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the certificates of the authorities that the receiver's certificate must lead " +
				"to, in PEM, in place of the system's."},
			parsePath, func(w *Webhook) *string { return &w.CA }),
	}
}

func parseWebhook(text string) (u *url.URL, message, hint string) {
	const form = `write it as "https://hooks.example.org/mail"`
	u, err := url.Parse(text)
	switch {
	case len(text) > mostURL || err != nil || u.Opaque != "" || u.Fragment != "":
		return nil, "this is no URL of a webhook", form
	case u.User != nil:
		return nil, "a URL is no place for a password", "requests are signed with the key of webhook.key_file"
	case u.Scheme != "https":
		return nil, "a webhook is reached by HTTPS alone", form
	}
	if _, message := parseHopHost(u.Hostname()); message != "" {
		return nil, message, form
	}
	return u, "", ""
}

// checkWebhook wants a key with each URL.
func (s *source) checkWebhook(c *Config, root *node) {
	at := root.child("webhook", "url")
	if c.Webhook.URL != nil && c.Webhook.KeyFile == "" && root.child("webhook", "key_file") == nil {
		s.faultAt(at, "webhook.key_file is missing, and unsigned requests are never made",
			`add key_file = "webhook.key"; echo "whsec_$(openssl rand -base64 32)" makes one`)
	}
	if c.Webhook.URL == nil && at == nil {
		if n := firstOf(root.child("webhook", "key_file"), root.child("webhook", "ca")); n != nil {
			s.faultAt(n, "it is for webhook.url, which is missing", `add url = "https://hooks.example.org/mail"`)
		}
	}
}

// checkWebhookFiles looks at the files of the webhook.
func (s *source) checkWebhookFiles(c *Config, root *node) {
	if n := root.child("webhook", "key_file"); n != nil && c.Webhook.KeyFile != "" {
		if _, err := ReadWebhookKeys(c.Webhook.KeyFile); err != nil {
			s.faultAt(n, cause(err), secretHint(err, c.Webhook.KeyFile))
		}
	}
	if n := root.child("webhook", "ca"); n != nil && c.Webhook.CA != "" {
		s.checkCA(c.Webhook.CA, n)
	}
}

// Bounds of a key that signs requests, in octets. Standard Webhooks 1.0, "Signature scheme"
const (
	leastWebhookKey = 24
	mostWebhookKey  = 64
)

// ReadWebhookKeys returns the keys in a webhook's key_file, one a line and at most two. The file must be
// closed to strangers.
func ReadWebhookKeys(path string) (keys [][]byte, err error) {
	text, err := readSecret(path, maxSecret)
	if err != nil {
		return nil, err
	}
	for line := range strings.FieldsSeq(string(text)) {
		code, named := strings.CutPrefix(line, "whsec_")
		key, err := base64.StdEncoding.DecodeString(code)
		if !named || err != nil || len(key) < leastWebhookKey || len(key) > mostWebhookKey {
			return nil, errorText(
				`a key of a webhook is "whsec_" and 24 to 64 octets in Base64; echo "whsec_$(openssl ` +
					`rand -base64 32)" makes one`)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > 2 {
		return nil, errorText("a key file of a webhook holds one key, or two while keys are changed")
	}
	return keys, nil
}
