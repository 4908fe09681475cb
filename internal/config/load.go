package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sallyport/internal/mail"

	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxOctets is the largest configuration file that is read.
const MaxOctets = 4 << 20

// Load reads and checks the configuration at path, the files that it names too.
// Its error, where the file could be read at all, is a Faults.
func Load(path string) (Config, error) {
	text, err := readFile(path, MaxOctets)
	if err != nil {
		return Config{}, Faults{unreadable(path, err)}
	}
	s := &source{file: path, text: text}
	c, root := s.config()
	if root != nil {
		s.checkFiles(&c, root)
	}
	return s.result(c)
}

// ParseFile is Parse of the file at path.
func ParseFile(path string) (Config, error) {
	text, err := readFile(path, MaxOctets)
	if err != nil {
		return Config{}, Faults{unreadable(path, err)}
	}
	return Parse(path, text)
}

// Parse checks a configuration without looking at the files that it names. file
// is its path, for messages and relative paths.
func Parse(file string, text []byte) (Config, error) {
	s := &source{file: file, text: text}
	c, _ := s.config()
	return s.result(c)
}

// result returns c, or the faults in the order of the file.
func (s *source) result(c Config) (Config, error) {
	if len(s.faults) == 0 {
		return c, nil
	}
	slices.SortStableFunc(s.faults, func(a, b Fault) int {
		if a.Position.Line != b.Position.Line {
			return a.Position.Line - b.Position.Line
		}
		return a.Position.Column - b.Position.Column
	})
	return Config{}, s.faults
}

// config reads the text; the tree is nil where it is no TOML.
func (s *source) config() (Config, *node) {
	c := Config{File: s.file}
	root := s.parseTree()
	if root == nil {
		return c, nil
	}
	s.tables(root, &c)
	s.resolve(&c)
	s.meaning(&c, root)
	c.positions, c.written = map[string]Position{}, map[string]string{}
	s.locate(root, &c)
	s.locateDomains(root, &c)
	return c, root
}

// table returns the table name of n, or nil where it is missing or no table.
func (s *source) table(n *node, name string) *node {
	t, ok := n.children[name]
	if !ok {
		return nil
	}
	if t.kind != unstable.Table {
		s.fault(t.meant(), s.literal(t.meant()), name+" must be a table, and is "+article(t.kind),
			"write ["+name+"] in a line of its own, and its keys below")
		return nil
	}
	return t
}

// named calls read for each table of n, by its name in the file.
func (s *source) named(n *node, read func(name string, t *node)) {
	if n == nil {
		return
	}
	for _, name := range n.names {
		t := n.children[name]
		if t.kind != unstable.Table {
			s.fault(t.key, join(n.path, name), "this is a key where the name of a table is expected",
				"write ["+n.path+`."example.org"] in a line of its own, and its keys below`)
			continue
		}
		if inner := t.innerTable(); inner != "" {
			s.fault(t.key, s.literal(t.key), "this name is not quoted, and so ends at its first dot",
				fmt.Sprintf("write [%s.\"%s.%s\"]", n.path, name, inner))
			continue
		}
		read(name, t)
	}
}

// innerTable returns the path to the innermost table of n, or "" where n has none:
// what follows the first dot of a name that was not quoted.
func (n *node) innerTable() string {
	for _, name := range n.names {
		if t := n.children[name]; t.kind == unstable.Table {
			if inner := t.innerTable(); inner != "" {
				return name + "." + inner
			}
			return name
		}
	}
	return ""
}

func (s *source) domains(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		var d Domain
		block(s, t, domainKeys(), &d)
		s.settleDomain(&d, t)
		parsed, err := mail.ParseHostname(name)
		if err != nil {
			s.fault(t.key, s.literal(t.key), "this is no domain: "+reason(err), "write it as in ["+n.path+`."example.org"]`)
			return
		}
		d.Name = parsed
		if slices.ContainsFunc(c.Domains, func(o Domain) bool { return o.Name == d.Name }) {
			s.fault(t.key, s.literal(t.key), "this domain stands here a second time", "its other spelling means the same: "+d.Name.ASCII())
			return
		}
		c.Domains = append(c.Domains, d)
		s.domainAt = append(s.domainAt, t)
	})
}

func (s *source) routes(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		var r Route
		block(s, t, routeKeys(), &r)
		s.secure(&r, t)
		if name != "*" {
			d, err := mail.ParseDomain(name)
			if err != nil {
				s.fault(t.key, s.literal(t.key), "this is no domain: "+reason(err), "write it as in ["+n.path+`."example.org"]`)
				return
			}
			r.Domain = d
		}
		if slices.ContainsFunc(c.Routes, func(o Route) bool { return o.Domain == r.Domain }) {
			s.fault(t.key, s.literal(t.key), "this domain has a route already", "its other spelling means the same: "+r.Domain.ASCII())
			return
		}
		c.Routes = append(c.Routes, r)
		s.routeAt = append(s.routeAt, t)
	})
}

// resolve makes paths relative to the file, and fills what follows from others.
func (s *source) resolve(c *Config) {
	dir := filepath.Dir(s.file)
	paths := []*string{
		&c.Sendmail.Socket, &c.Helpers.Socket, &c.CheckPassword.Socket, &c.CheckPassword.Kick,
		&c.CheckPassword.KickKeyFile, &c.Data, &c.TLS.Cert, &c.TLS.Key, &c.Maildir.Root, &c.TLSPolicy.CA,
		&c.Rspamd.PasswordFile, &c.Webhook.KeyFile, &c.Webhook.CA, &c.Screen.List, &c.Screen.ASFile,
		&c.Screen.CountryFile, &c.OIDC.CA, &c.OIDC.AskSecretAt,
	}
	for i := range c.Domains {
		paths = append(paths, &c.Domains[i].CA, &c.Domains[i].RecipientsFile)
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		paths = append(paths, &r.CA, &r.PasswordFile, &r.Cert, &r.CertKey, &r.Token.CA, &r.Token.SecretFile, &r.Token.RefreshFile)
	}
	for i := range c.LDAP {
		paths = append(paths, &c.LDAP[i].CA, &c.LDAP[i].PasswordFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if c.Maildir.Root == "" && c.Data != "" {
		c.Maildir.Root = filepath.Join(c.Data, "mail")
	}
	for _, l := range c.listeners() {
		if ip := l.Addr(); !ip.IsUnspecified() && !slices.Contains(c.Literals, ip) {
			c.Literals = append(c.Literals, ip)
		}
	}
	if c.Trace.Origin == "" && !c.Hostname.IsZero() {
		c.Trace.Origin = c.Hostname.ASCII() + "/sallyport"
	}
}

// locate notes where each key and table stands, and what each key says.
func (s *source) locate(n *node, into *Config) {
	if n.path != "" {
		into.positions[n.path] = s.position(n.meant().offset)
	}
	for _, item := range n.items {
		s.locate(item, into)
	}
	for _, name := range n.names {
		child := n.children[name]
		s.locate(child, into)
		if child.kind != unstable.Table {
			into.written[child.path] = child.said()
		}
	}
}

// locateDomains notes once more, by the one canonical name, where each domain and each route stands whose name is
// written otherwise: who asks for a place knows the domain, and not how it was written.
func (s *source) locateDomains(root *node, into *Config) {
	for _, table := range []string{"domain", "route"} {
		t := root.children[table]
		if t == nil {
			continue
		}
		for name, child := range t.children {
			if d, err := mail.ParseDomain(name); err == nil && d.ASCII() != name {
				s.alsoAt(child, join(table, d.ASCII()), into)
			}
		}
	}
}

func (s *source) alsoAt(n *node, path string, into *Config) {
	into.positions[path] = s.position(n.meant().offset)
	for name, child := range n.children {
		s.alsoAt(child, join(path, name), into)
	}
}

// readFile reads a regular file of at most limit octets.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errorText("it is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, errorText(fmt.Sprintf("it is larger than %d octets", limit))
	}
	return text, err
}

// unreadable is the fault of a configuration file that could not be read.
func unreadable(path string, err error) Fault {
	f := Fault{Position: Position{File: path}, Message: "cannot be read: " + cause(err), Hint: "name the configuration with -c"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Message, f.Hint = "there is no such file", "name another with -c, or make one with: sallyport init"
	case errors.Is(err, fs.ErrPermission):
		f.Hint = "run this as root or as the server's user, or name another with -c"
	case isFolder(path):
		f.Hint = "name the file in it: -c " + filepath.Join(path, "sallyport.toml")
	}
	return f
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// cause returns an error of the file system without operation and path.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Locate returns what it takes to find a running server by its configuration file
// at path: a Config of which only File, Data and the paths of sockets are set. It reads past any other
// fault, since a server must stay within reach while its file is being edited.
func Locate(path string) (Config, error) {
	text, err := readFile(path, MaxOctets)
	if err != nil {
		return Config{}, Faults{unreadable(path, err)}
	}
	s := &source{file: path, text: text}
	root := s.parseTree()
	if root == nil {
		return s.result(Config{})
	}
	found := &source{file: path, text: text}
	c := Config{File: path}
	n := root.child("data")
	if n == nil {
		found.fault(span{}, "data", "this key is missing", `add data = "/var/lib/sallyport"`)
		return found.result(Config{})
	}
	if data, ok := found.str(n); ok {
		c.Data = data
		if door := root.child("listen", "sendmail"); door != nil {
			c.Sendmail.Socket, _ = found.str(door)
		}
		if asks := root.child("helpers", "socket"); asks != nil {
			c.Helpers.Socket, _ = found.str(asks)
		}
		found.resolve(&c)
	}
	return found.result(c)
}
