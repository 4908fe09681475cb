package config

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"sallyport/internal/mail"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// readRecipients returns the addresses of a domain that its recipients_file names. Lines of
// other domains and other kinds of addresses are passed over, so that one export serves
// several domains; a file that names addresses, and none of this domain, is an error. The error names
// the line that is no address, or says why the file cannot be read.
func readRecipients(path string, domain mail.Domain) ([]mail.Address, error) {
	text, err := readFile(path, MaxRecipientsOctets)
	if err != nil {
		return nil, err
	}
	// Windows PowerShell writes UTF-16, or UTF-8 with a mark. What has no mark is UTF-8.
	if text, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), text); err != nil {
		return nil, errorText("this is no text")
	}
	var all []mail.Address
	others := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line, ok := recipientIn(lines.Text())
		if !ok {
			continue
		}
		a, err := parseRecipientLine(line, domain)
		switch {
		case err != nil:
			return nil, errorText(fmt.Sprintf("line %d: %s", number, reason(err)))
		case a.Domain() != domain:
			others++
			continue
		case len(all) == MaxRecipients:
			return nil, errorText(fmt.Sprintf("line %d: there are more than %d", number, MaxRecipients))
		}
		all = append(all, a)
	}
	if err := lines.Err(); err != nil {
		return nil, errorText("a line is too long")
	}
	if len(all) == 0 && others > 0 {
		return nil, errorText(fmt.Sprintf("all %d addresses are of other domains", others))
	}
	return all, nil
}

// recipientIn returns what a line names by SMTP; false for a comment, an empty line, and an
// address of another kind, as Exchange keeps them beside (SIP:, X500:, EUM:).
func recipientIn(line string) (name string, ok bool) {
	line = strings.Trim(strings.TrimSpace(line), "\"")
	if line == "" || strings.HasPrefix(line, "#") {
		return "", false
	}
	kind, rest, found := strings.Cut(line, ":")
	if !found || kind == "" ||
		strings.ContainsFunc(kind, func(c rune) bool { return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') }) {
		return line, true
	}
	return strings.TrimSpace(rest), strings.EqualFold(kind, "smtp")
}

// parseRecipientLine reads a whole address, or what stands before the @ of one.
func parseRecipientLine(line string, domain mail.Domain) (mail.Address, error) {
	a, err := mail.ParseAddress(line, mail.UTF8)
	if err != nil && !strings.Contains(line, "@") {
		return mail.ParseAddress(line+"@"+domain.String(), mail.UTF8)
	}
	return a, err
}
