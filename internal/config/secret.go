package config

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// withoutSecrets hides what may be a password in a fault: faults go into the journal, and
// a refused reload into the trace. Each character of it is an asterisk, so that columns
// stay what they are.
func (f Fault) withoutSecrets() Fault {
	for _, secret := range secretsIn(f.Source) {
		hidden := strings.Repeat("*", utf8.RuneCountInString(secret))
		f.Source = strings.ReplaceAll(f.Source, secret, hidden)
		f.Text = strings.ReplaceAll(f.Text, `"`+secret+`"`, `"`+hidden+`"`)
		if len(secret) < shortSecret {
			// It would be found within our own words.
			f.Text = strings.ReplaceAll(f.Text, ":"+secret+"@", ":"+hidden+"@")
			continue
		}
		f.Text = strings.ReplaceAll(f.Text, secret, hidden)
		f.Message = strings.ReplaceAll(f.Message, secret, hidden)
		f.Hint = strings.ReplaceAll(f.Hint, secret, hidden)
	}
	return f
}

// shortSecret is shorter than any word that a fault says by chance.
const shortSecret = 4

// secretsIn finds what may be a password in a line of a configuration, which need not be
// well formed: what stands behind the name in a URL, and the value of a key whose name
// speaks of one.
func secretsIn(line string) (found []string) {
	for rest := line; ; {
		_, behind, isURL := strings.Cut(rest, "://")
		if !isURL {
			break
		}
		rest = behind
		authority := behind
		if end := strings.IndexAny(behind, "/\"' \t?#"); end >= 0 {
			authority = behind[:end]
		}
		at := strings.LastIndexByte(authority, '@')
		if _, password, has := strings.Cut(authority[:max(at, 0)], ":"); has && password != "" {
			found = append(found, password)
		}
	}
	name, value, assigned := strings.Cut(line, "=")
	name = strings.ToLower(strings.Trim(name, " \t\"'{"))
	speaks := slices.ContainsFunc([]string{"pass", "secret", "token", "credential"},
		func(word string) bool { return strings.Contains(name, word) })
	if value = strings.TrimSpace(value); !assigned || !speaks || value == "" {
		return found
	}
	if quote := value[0]; quote == '"' || quote == '\'' {
		value = value[1:]
		if end := strings.LastIndexByte(value, quote); end >= 0 {
			value = value[:end]
		}
	}
	// What names a file is none, nor what says where and how a token is got.
	if value == "" || strings.Contains(name, "file") ||
		slices.Contains([]string{"token_url", "token_scope", "token_auth", "token_ca"}, name) {
		return found
	}
	return append(found, value)
}
