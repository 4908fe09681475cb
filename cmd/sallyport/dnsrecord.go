package main

import "sallyport/internal/auth/dkim"

// dnsRecord is one record that somebody is to publish.
type dnsRecord struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"` // of a TXT record: its text
	Why  string `json:"why"`
}

func textRecord(name, text, why string) dnsRecord { return dnsRecord{name, "TXT", text, why} }

// zone is the data as a zone file has it.
func (r dnsRecord) zone() string {
	if r.Type == "TXT" {
		return "( " + dkim.SplitTXT(r.Data) + " )"
	}
	return r.Data
}
