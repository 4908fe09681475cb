package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Change is a key that two configurations give differently.
type Change struct {
	Key      string   // as it stands in the file: "limits.recipients"
	Position Position // in the newer one; without a line where the key is gone from it
	Restart  string   // why it takes effect at the next start alone; "": at once
}

// Changes returns the keys that stand differently in c than in former, in the order
// of their names. A value that is only written in another way counts too.
func (c Config) Changes(former Config) []Change {
	names := map[string]bool{}
	for key, text := range c.written {
		if former.written[key] != text {
			names[key] = true
		}
	}
	for key := range former.written {
		if _, ok := c.written[key]; !ok {
			names[key] = true
		}
	}
	var all []Change
	for _, key := range slices.Sorted(maps.Keys(names)) {
		restart := restartOf(key)
		if restart == "" && c.ACME.On() != former.ACME.On() && slices.Contains([]string{"tls.cert", "tls.key", "acme.names"}, key) {
			restart = acmeRestart
		}
		all = append(all, Change{Key: key, Position: c.At(key), Restart: restart})
	}
	return all
}

// Keeping returns c with those values of the running configuration that change at a
// start alone. It also says of them what running says, so that the next Changes tells
// of a key that still waits for a start, and nothing of one that went back.
func (c Config) Keeping(running Config) Config {
	c.written = c.stillSaid(running)
	c.Hostname, c.Data = running.Hostname, running.Data
	c.Maildir.Root, c.Trace.Origin = running.Maildir.Root, running.Trace.Origin
	c.TLSPolicy.Listen, c.Autoconfig = running.TLSPolicy.Listen, running.Autoconfig
	names := c.ACME.Names
	if c.ACME.On() != running.ACME.On() {
		c.TLS, names = running.TLS, running.ACME.Names // where certificates come from is one decision
	}
	c.ACME = running.ACME
	c.ACME.Names = names
	c.Metrics, c.Sendmail.Socket = running.Metrics, running.Sendmail.Socket
	c.Helpers, c.CheckPassword = running.Helpers, running.CheckPassword
	return c
}

// stillSaid returns what c says, and of the keys that wait for a start what running says.
func (c Config) stillSaid(running Config) map[string]string {
	said := maps.Clone(c.written)
	for _, change := range c.Changes(running) {
		if change.Restart == "" {
			continue
		}
		delete(said, change.Key)
		if text, ok := running.written[change.Key]; ok {
			said[change.Key] = text
		}
	}
	return said
}

// restartOf says why the key of a path needs a restart; "" for one that does not.
func restartOf(path string) string {
	for _, k := range Keys() {
		if k.Restart != "" && k.names(path) {
			return k.Restart
		}
	}
	return ""
}

// names reports whether path is this key, whatever stands for NAME.
func (k Key) names(path string) bool {
	before, after, named := strings.Cut(k.Path, "NAME")
	if !named {
		return path == k.Path
	}
	return len(path) > len(before)+len(after) && strings.HasPrefix(path, before) && strings.HasSuffix(path, after)
}

// saidString begins what a text says.
const saidString = "String "

// said returns what a value says, without the blanks and comments around it.
func (n *node) said() string {
	if n.kind != unstable.Array {
		return n.kind.String() + " " + n.text
	}
	said := "["
	for _, item := range n.items {
		said += item.said() + "\n"
	}
	return said + "]"
}
